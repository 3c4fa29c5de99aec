// ExplainCall as programs meet it: what makes no sense is refused with a sentence, certificates are asked of the proxies, and
// an answer says all that was decided.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { CallOutcome, ExplainCallRequestSchema } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { service, workload } from "../explain/cases.ts"
import { POLICY_DEFAULTS } from "../policy/mod.ts"
import { explainCallOf } from "./explain_call.ts"

const HOUR_MS = 3_600_000
const NAMES = { trustDomain: "cluster.local", controlNamespace: "conduit" }
const ITEMS = [
  ...workload("web", "web-1", "127.0.0.1"),
  ...workload("cart", "cart-1", "127.0.0.1"),
  service("cart", "10.96.0.1"),
]

let server: Server
let asked = 0
let endsInMs = HOUR_MS

beforeAll(async () => {
  server = createServer((_, response) => {
    asked++
    const now = Date.now()
    response.end(JSON.stringify({ notBefore: now - HOUR_MS, notAfter: now + endsInMs }))
  })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
})

afterAll(() => void server.close())

function explain(init: MessageInitShape<typeof ExplainCallRequestSchema>) {
  const read = readManifestFile("shop.json", JSON.stringify({ kind: "List", items: ITEMS }))
  const store = new ClusterStore()
  store.apply([...read.objects.values()].map(put => ({ put })))
  store.markSynced()
  asked = 0
  const { port: adminPort } = server.address() as AddressInfo
  return explainCallOf(store, create(ExplainCallRequestSchema, init), AbortSignal.timeout(5_000), {
    policy: POLICY_DEFAULTS,
    names: NAMES,
    nowMs: Date.now,
    proxies: { adminPort, timeoutMs: 2_000 },
  })
}

const FROM = { namespace: "shop", kind: "deployment", name: "web" }
const TO = { host: "cart" }

test("both proxies are asked for their certificates, each once", async () => {
  endsInMs = HOUR_MS
  const { steps, verdict, fromPod } = await explain({ from: FROM, to: TO, path: "/items" })
  expect(asked).toBe(2)
  expect(fromPod).toBe("web-1")
  expect(verdict).toMatchObject({ answered: 1, step: "" })
  expect(steps?.map(({ outcome }) => outcome)).toEqual(Array(8).fill(CallOutcome.OK))
})

test("certificates that have ended end the call, or what is proven by it", async () => {
  endsInMs = -1
  const { steps } = await explain({ from: FROM, to: TO })
  expect(steps?.find(({ name }) => name === "identity")).toMatchObject({
    outcome: CallOutcome.WARN,
    reason: "pod shop/web-1 has no certificate that holds (its certificate has expired)",
    object: { kind: "Deployment", namespace: "shop", name: "web" },
  })
})

test.each([
  [{ from: FROM }, Code.InvalidArgument, "to: a resource (kind and name) or a host is missing"],
  [{ from: FROM, to: { kind: "service" } }, Code.InvalidArgument, "to: a resource has a name, and no host"],
  [{ from: FROM, to: TO, path: "items" }, Code.InvalidArgument, 'path: "items" does not begin with a slash'],
  [
    { from: FROM, to: TO, protocol: "http3" },
    Code.InvalidArgument,
    'protocol cannot be "http3"; it is one of http1, http2, grpc, tcp, tls',
  ],
  [
    { from: FROM, to: TO, headers: [{ name: " ", value: "x" }] },
    Code.InvalidArgument,
    "headers: a field has no name",
  ],
  [
    { from: { ...FROM, name: "wep" }, to: TO },
    Code.NotFound,
    'there is no deployment "wep" in namespace "shop" (did you mean "web"?)',
  ],
  [
    { from: { ...FROM, namespace: "desk" }, to: TO },
    Code.NotFound,
    'there is no deployment "web" in namespace "desk"; there is one in namespace shop',
  ],
  [
    { from: { kind: "service", name: "cart" }, to: TO },
    Code.InvalidArgument,
    "a service runs no pods of its own; name a workload, such as deploy/web, or a pod",
  ],
  [
    { from: { host: "web" }, to: TO },
    Code.InvalidArgument,
    'the caller is a workload, such as deploy/web, or an address, and "web" is neither',
  ],
] as const)("a question that makes no sense is refused: %j", async (request, code, sentence) => {
  const error = await explain(request as MessageInitShape<typeof ExplainCallRequestSchema>).catch(
    caught => caught,
  )
  expect(error).toBeInstanceOf(ConnectError)
  expect([(error as ConnectError).code, (error as ConnectError).rawMessage]).toEqual([code, sentence])
})
