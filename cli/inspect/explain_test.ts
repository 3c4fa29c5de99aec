// `conduit explain` as a person meets it: the story of a refusal, and what is said where none is known.
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { ApiService, CallOutcome, type ExplainCallRequest, type ExplainRequest } from "../../protos/mod.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const CART = { namespace: "shop", kind: "deployment", name: "cart" }
const DENIED = {
  namespace: "shop",
  pod: "cart-1",
  workload: CART,
  id: "7h2k9m4x",
  timeMs: Date.now() - 42_500,
  direction: "inbound",
  reason: "denied",
  status: 403,
  method: "POST",
  authority: "cart.shop",
  path: "/admin",
  clientIp: "10.0.0.7",
  clientId: "web.shop.serviceaccount.identity.conduit.cluster.local",
  from: { ...CART, name: "web" },
  destination: "10.0.0.8:8080",
  cause: "policy",
  policy: "shop/admin",
  rule: 1,
}

let server: Server
let asked: ExplainRequest | null = null
let answer: object = {}
let call: ExplainCallRequest | null = null
let callAnswer: object = {}

beforeAll(async () => {
  server = createServer(
    connectNodeAdapter({
      routes: router => {
        router.service(ApiService, {
          explain: request => {
            asked = request
            return answer
          },
          explainCall: request => {
            call = request
            return callAnswer
          },
        })
      },
    }),
  )
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
})

beforeEach(() => {
  answer = { refusals: [DENIED], proxies: 3, kept: 256 }
})

afterAll(() => {
  server.closeAllConnections()
  server.close()
})

async function explain(...words: string[]) {
  const { port } = server.address() as AddressInfo
  const child = Bun.spawn([process.execPath, MAIN, "explain", ...words], {
    env: { PATH: process.env.PATH ?? "", CONDUIT_API_ADDR: `127.0.0.1:${port}` },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("a denial is told with its client, request, policy and rule", async () => {
  const { out, err, code } = await explain("--id", "7h2k9m4x")
  expect({ err, code }).toEqual({ err: "", code: 0 })
  expect(out.split("\n").slice(1)).toEqual([
    "By:         the proxy of pod shop/cart-1 (shop/deploy/cart), inbound",
    "From:       shop/deploy/web, address 10.0.0.7, identity web.shop.serviceaccount.identity.conduit.cluster.local",
    "To:         10.0.0.8:8080",
    "What:       POST cart.shop/admin",
    "Answer:     403 denied",
    "Why:        policy does not let this client send this",
    "Decided by: AuthorizationPolicy shop/admin, rule 1 (spec.rules[1])",
    "See:        conduit policy list deploy/cart -n shop -o wide",
    "",
  ])
  expect(out).toMatch(/^Refused: {4}\S+Z \(4\ds ago\), id 7h2k9m4x\n/)
})

test("the whole field may be pasted, and -n asks one namespace only", async () => {
  await explain("--id", "denied; id=7h2k9m4x", "-n", "shop")
  expect(asked).toMatchObject({ id: "7h2k9m4x", namespace: "shop" })
})

test("-o json is a stable shape, null where nothing is known", async () => {
  answer = {
    refusals: [
      DENIED,
      {
        ...DENIED,
        reason: "connect-failed",
        status: 502,
        direction: "outbound",
        clientId: "",
        endpoint: "10.0.0.9:80",
        cause: "",
        policy: "",
        rule: -1,
        detail: "ECONNREFUSED",
      },
    ],
  }
  const { out } = await explain("--id", "7h2k9m4x", "-o", "json")
  const [denied, failed] = JSON.parse(out)
  expect(denied).toEqual({
    id: "7h2k9m4x",
    time: new Date(DENIED.timeMs).toISOString(),
    proxy: { namespace: "shop", pod: "cart-1", workload: CART },
    direction: "inbound",
    reason: "denied",
    status: 403,
    method: "POST",
    authority: "cart.shop",
    path: "/admin",
    from: { ip: "10.0.0.7", identity: DENIED.clientId, workload: { ...CART, name: "web" } },
    destination: "10.0.0.8:8080",
    endpoint: null,
    decision: { cause: "policy", policy: "shop/admin", rule: 1, defaultPolicy: null },
    detail: null,
  })
  expect(failed).toMatchObject({ decision: null, endpoint: "10.0.0.9:80", detail: "ECONNREFUSED" })
})

test("a connection and each way to decide has its words", async () => {
  const connection = {
    ...DENIED,
    status: 0,
    method: "",
    authority: "",
    path: "",
    from: undefined,
    clientId: "",
  }
  answer = {
    refusals: [
      { ...connection, cause: "default", policy: "", defaultPolicy: "deny" },
      { ...connection, cause: "not-allowed", policy: "" },
      { ...connection, cause: "hidden-requests" },
      { ...connection, policy: "shop/hours:closed" },
    ],
  }
  const [{ out }, json] = await Promise.all([
    explain("--id", "7h2k9m4x"),
    explain("--id", "7h2k9m4x", "-o", "json"),
  ])
  expect(JSON.parse(json.out)[0]).toMatchObject({ status: null, method: null, from: { workload: null } })
  expect(out).toContain("From:       nothing that the cluster knows, address 10.0.0.7, no identity\n")
  expect(out).toContain(
    "What:       a connection that is not HTTP\nAnswer:     the connection was closed (denied)",
  )
  expect(out).toContain('the default policy "deny"')
  expect(out).toContain("none of them allows this")
  expect(out).toContain("requests that AuthorizationPolicy shop/admin denies could be within, unseen")
  expect(out).toContain("Decided by: policy shop/hours:closed of plugin/hours, rule 1 (spec.rules[1])")
})

test("an id that nobody knows says how many are kept and whom could not be asked", async () => {
  answer = { proxies: 3, kept: 256, unanswered: ["shop/web-1: no answer within 3000 ms"] }
  const { out, err, code } = await explain("--id", "7h2k9m4x")
  expect({ out, code }).toEqual({ out: "", code: 1 })
  expect(err).toBe(
    "conduit: could not ask shop/web-1: no answer within 3000 ms\n" +
      'conduit: none of the 3 proxies that answered knows a refusal "7h2k9m4x": each keeps its latest 256, until it ends; ' +
      "the log of the proxy that answered has it still (id=...)\n",
  )
})

test("without an id nothing is asked", async () => {
  expect(await explain()).toMatchObject({
    code: 2,
    err: expect.stringContaining("FROM and TO are missing, or --id ID"),
  })
})

test("FROM and TO ask of a call, and the exit code says whether an application answers it", async () => {
  const steps = [{ name: "name", outcome: CallOutcome.OK, decision: "cart is Service shop/cart" }]
  callAnswer = { steps, verdict: { answered: 1, summary: "answered by 1 endpoint" }, fromPod: "web-1" }
  const words = [
    "deploy",
    "web",
    "svc/cart",
    "--port",
    "http",
    "--method",
    "post",
    "--path",
    "/items",
    "-n",
    "shop",
  ]
  const { out, err, code } = await explain(...words, "--header", "X-Canary: yes", "--header", "host: cart")
  expect({ err, code }).toEqual({ err: "", code: 0 })
  expect(out).toBe(
    "deploy/web (pod web-1) calls svc/cart: POST /items\n\n[ok]   name       cart is Service shop/cart\n\n[ok]   answered by 1 endpoint\n",
  )
  expect(call).toMatchObject({
    from: { namespace: "shop", kind: "deployment", name: "web" },
    to: { namespace: "", kind: "service", name: "cart", port: "http" },
    method: "POST",
    path: "/items",
    headers: [
      { name: "X-Canary", value: "yes" },
      { name: "host", value: "cart" },
    ],
  })
  callAnswer = { steps, verdict: { answered: 0.5, summary: "half" } }
  expect(await explain("deploy/web", "cart", "-o", "json")).toMatchObject({ code: 1, err: "" })
})

test("what contradicts itself is wrong usage", async () => {
  for (const [words, sentence] of [
    [["deploy/web", "cart", "--id", "7h2k9m4x"], "--id ID stands alone"],
    [["deploy/web", "cart:80", "--port", "90"], "names port 80, and --port says 90"],
    [["deploy/web", "cart", "--header", "canary"], "write it as in HTTP"],
  ] as const) {
    expect(await explain(...words)).toMatchObject({
      code: 2,
      out: "",
      err: expect.stringContaining(sentence),
    })
  }
})
