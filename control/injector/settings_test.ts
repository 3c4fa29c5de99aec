// What the injector's environment may say, and what is said about the rest.
import { expect, test } from "bun:test"
import { parseSettings } from "../settings.ts"
import { injectorSettings } from "./settings.ts"

test("without settings it is the injector of namespace conduit, with this release's images", () => {
  expect(injectorSettings({}, "1.2.3")).toEqual({
    conduitNamespace: "conduit",
    webhookName: "conduit-conduit-injector",
    clusterDomain: "cluster.local",
    trustDomain: "cluster.local",
    trustAnchorsFile: "",
    images: null,
    cni: false,
    certificateLifetimeMs: 24 * 3_600_000,
  })
})

test("whether a CNI plugin redirects pods is the installation's to say", () => {
  expect(injectorSettings({ CONDUIT_PROXY_CNI: "true" }, "1.2.3")).toMatchObject({ cni: true })
  expect(injectorSettings({ CONDUIT_PROXY_CNI: "yes" }, "1.2.3")).toBe(
    'CONDUIT_PROXY_CNI must be true or false, not "yes"',
  )
})

test("images follow the installation's", () => {
  const env = {
    CONDUIT_PROXY_IMAGE_REGISTRY: "registry.example/mesh",
    CONDUIT_PROXY_IMAGE_PULL_POLICY: "Always",
  }
  expect(injectorSettings(env, "1.2.3")).toMatchObject({
    images: { registry: "registry.example/mesh", tag: "1.2.3", pullPolicy: "Always" },
  })
  expect(injectorSettings({ ...env, CONDUIT_PROXY_IMAGE_VERSION: "9" }, "1.2.3")).toMatchObject({
    images: { tag: "9" },
  })
})

test.each([
  [{ CONDUIT_NAMESPACE: "a b" }, "CONDUIT_NAMESPACE must be the name of a namespace"],
  [{ CONDUIT_CLUSTER_DOMAIN: "-" }, "CONDUIT_CLUSTER_DOMAIN must be a DNS name"],
  [{ CONDUIT_INJECTOR_CERTIFICATE_LIFETIME: "soon" }, "must be a duration"],
  [{ CONDUIT_INJECTOR_CERTIFICATE_LIFETIME: "59s" }, "must be from 60s to 720h"],
])("%j is refused with a sentence", (env, sentence) => {
  expect(injectorSettings(env, "1.2.3")).toContain(sentence)
})

test("it needs an API server to be called by; all services together run without it", () => {
  expect(parseSettings(["injector", "--manifests", "/tmp"], {})).toContain("injector needs --kubernetes")
  const settings = parseSettings(["all", "--manifests", "/tmp"], {})
  if (typeof settings === "string") throw new Error(settings)
  expect(settings.services.has("injector")).toBe(false)
})
