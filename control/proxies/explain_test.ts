// A refusal's story is found by its id at the proxy that refused, and told with what the cluster knows of both ends.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { create } from "@bufbuild/protobuf"
import { ExplainRequestSchema } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { explain } from "./explain.ts"

let server: Server
let asked: string[] = []
/** What the proxies answer, all alike: they share an address here. */
let answer: { status: number; text: string } = { status: 200, text: "" }

beforeAll(async () => {
  server = createServer((request, response) => {
    asked.push(request.url ?? "")
    response.writeHead(answer.status).end(answer.text)
  })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
})

afterAll(() => void server.close())

function pod(name: string, ip: string): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { "conduit.io/control-plane-ns": "conduit" } },
    spec: { serviceAccountName: name, containers: [{ name: "app" }, { name: "conduit-proxy" }] },
    status: { podIP: ip, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  }
}

function story(id: string, namespace = "") {
  const text = JSON.stringify({
    apiVersion: "v1",
    kind: "List",
    items: [pod("cart", "127.0.0.1"), pod("web", "127.0.0.2")],
  })
  const store = new ClusterStore()
  store.apply([...readManifestFile("shop.json", text).objects.values()].map(put => ({ put })))
  const policy = {
    ...{ namespace: "shop", name: "hours:closed", action: "Deny" as const, ask: null, rules: [] },
    target: { kind: "Namespace" as const, name: "shop", ports: null },
    suppliedBy: { plugin: "hours", reason: "outside of business hours" },
  }
  const { namespace: supplied, name } = policy
  store.apply([{ put: { kind: "authorizationpolicy", namespace: supplied, name, policy } }])
  store.markSynced()
  asked = []
  const adminPort = (server.address() as AddressInfo).port
  const request = create(ExplainRequestSchema, { id, namespace })
  return explain(store, request, AbortSignal.timeout(5_000), { adminPort, timeoutMs: 500 })
}

const DENIED = {
  id: "abc",
  timeMs: 1_750_000_000_000,
  direction: "inbound",
  reason: "denied",
  status: 403,
  method: "POST",
  authority: "cart",
  path: "/admin",
  clientIp: "127.0.0.2",
  clientId: "web.shop.serviceaccount.identity.conduit.cluster.local",
  destination: "127.0.0.1:80",
  endpoint: "",
  cause: "policy",
  policy: "shop/admin",
  rule: 2,
  defaultPolicy: "",
  detail: "",
}

test("the story comes with the workloads of both ends", async () => {
  answer = { status: 200, text: JSON.stringify({ kept: 256, refusals: [DENIED] }) }
  const { refusals, proxies, kept } = await story("abc")
  expect({ proxies, kept, asked }).toEqual({
    proxies: 1,
    kept: 256,
    asked: expect.arrayContaining(["/refusals?id=abc"]),
  })
  expect(refusals).toEqual([
    {
      ...DENIED,
      namespace: "shop",
      pod: "cart",
      workload: { namespace: "shop", kind: "pod", name: "cart" },
      from: { namespace: "shop", kind: "pod", name: "web" },
    },
  ])
})

test("a policy that a plugin supplies comes with the plugin's reason", async () => {
  const denied = { ...DENIED, policy: "shop/hours:closed" }
  answer = { status: 200, text: JSON.stringify({ kept: 256, refusals: [denied] }) }
  const [told] = (await story("abc")).refusals ?? []
  expect(told).toMatchObject({
    policy: "shop/hours:closed",
    detail: "plugin/hours: outside of business hours",
  })
})

test("what a pod sent itself comes from its own workload", async () => {
  const sent = { ...DENIED, direction: "outbound", clientId: "", clientIp: "10.9.9.9" }
  answer = { status: 200, text: JSON.stringify({ kept: 256, refusals: [sent] }) }
  expect((await story("abc")).refusals?.[0]).toMatchObject({ from: { name: "cart" } })
})

test("an id that nobody knows is no refusal, and proxies that cannot be asked are told", async () => {
  answer = { status: 200, text: JSON.stringify({ kept: 256, refusals: [] }) }
  const unknown = await story("abc")
  expect(unknown.refusals).toEqual([])
  expect(unknown.kept).toBe(256)
  expect((unknown.proxies ?? 0) + (unknown.unanswered?.length ?? 0)).toBe(2)
  answer = { status: 404, text: "nothing at /refusals" }
  expect((await story("abc")).unanswered).toContain("shop/cart: its proxy is too old to keep refusals")
  answer = { status: 200, text: "[]" }
  expect((await story("abc")).unanswered).toContain("shop/cart: the proxy's answer cannot be read")
})

test("an answer with fields that are none of ours is read as far as it goes", async () => {
  const odd = { ...DENIED, status: "403", rule: -7, path: 5, timeMs: Number.MAX_VALUE }
  answer = { status: 200, text: JSON.stringify({ kept: 1, refusals: [odd, null, 3] }) }
  expect((await story("abc")).refusals).toMatchObject([{ status: 0, rule: -1, path: "", timeMs: 0 }])
})

test("what is no id is refused before a proxy is asked", async () => {
  for (const id of ["", "a&x=1", "../x", "x".repeat(65)])
    await expect(story(id)).rejects.toThrow("is no id of a refusal")
  expect(asked).toEqual([])
})
