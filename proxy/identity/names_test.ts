import { expect, test } from "bun:test"
import { identityName, provenIdentity, readAltNames, spiffeIdOf } from "./names.ts"

const MESH = { trustDomain: "cluster.local", controlNamespace: "conduit" }
const WEB = "web.shop.serviceaccount.identity.conduit.cluster.local"
const WEB_ID = "spiffe://cluster.local/ns/shop/sa/web"

test("the two names of an identity follow from each other", () => {
  expect(identityName(MESH, "shop", "web")).toBe(WEB)
  expect(spiffeIdOf(MESH, WEB)).toBe(WEB_ID)
})

test("a service account may have dots in its name", () => {
  expect(spiffeIdOf(MESH, identityName(MESH, "shop", "web.v1"))).toBe(
    "spiffe://cluster.local/ns/shop/sa/web.v1",
  )
})

test.each([
  "",
  "web",
  "web.shop",
  `x${WEB.slice(3)}`,
  ".shop.serviceaccount.identity.conduit.cluster.local",
  `${WEB}.`,
])("%p is no identity of the mesh", name => {
  expect(spiffeIdOf(MESH, name)).toBe(name.startsWith("x.") ? "spiffe://cluster.local/ns/shop/sa/x" : "")
})

test("a certificate proves its identity by both names", () => {
  const names = readAltNames(`DNS:${WEB}, URI:${WEB_ID}`)
  expect(provenIdentity(MESH, names)).toEqual({ dnsName: WEB, spiffeId: WEB_ID })
})

test.each([
  ["no URI", `DNS:${WEB}`],
  ["no DNS name", `URI:${WEB_ID}`],
  ["names that disagree", `DNS:${WEB}, URI:spiffe://cluster.local/ns/shop/sa/admin`],
  ["two URIs", `DNS:${WEB}, URI:${WEB_ID}, URI:spiffe://cluster.local/ns/shop/sa/admin`],
  ["another trust domain", `DNS:${WEB}, URI:spiffe://other/ns/shop/sa/web`],
  ["a name within quotes", `DNS:"a, URI:${WEB_ID}", DNS:${WEB}`],
])("a certificate with %s proves nothing", (_what, text) => {
  expect(provenIdentity(MESH, readAltNames(text))).toBeNull()
})
