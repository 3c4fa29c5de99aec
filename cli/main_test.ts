// `conduit` as a person or a program meets it: a process, its two outputs and its exit code, against a real API server
// on the loopback interface.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Code, ConnectError } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import {
  Access,
  ApiService,
  CertificateState,
  ErrorDetailSchema,
  type LearnRequest,
  PolicyChange,
  type StatRequest,
  type WhatIfRequest,
} from "../protos/mod.ts"

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url))
const BUSY = {
  resource: { namespace: "shop", kind: "deployment", name: "web" },
  meshedPods: 2,
  totalPods: 2,
  http: {
    success: 0.9876,
    rps: 12.34,
    latencyMs: { p50: 1.5, p95: 20, p99: 42.4 },
    responses: 740n,
    failures: 9n,
  },
  tcp: { open: 3n, readBytesPerSec: 2048, writeBytesPerSec: 10 },
}
const NAMED: Record<string, object> = {
  route: {
    resource: { namespace: "shop", kind: "route", name: "GET /cart" },
    service: { namespace: "shop", kind: "service", name: "cart" },
    http: BUSY.http,
    retriesRps: 2.5,
  },
  authority: { resource: { namespace: "shop", kind: "authority", name: "cart" }, http: BUSY.http },
}
const QUIET = {
  resource: { namespace: "shop", kind: "deployment", name: "worker" },
  meshedPods: 0,
  totalPods: 1,
}

let server: Server
let address = ""
let lastStat: StatRequest | null = null
let lastWhatIf: WhatIfRequest | null = null
let lastLearn: LearnRequest | null = null
/** What cart's traffic would meet; a test adds what it needs. */
let whatIfAnswer: object = {}
/** Answers of learn, one after the other; the last one stays. */
let learnAnswers: object[] = []
let folder = ""

const CART = { namespace: "shop", kind: "deployment", name: "cart" }
const LEARNT = {
  seenMs: 3_600_000,
  policies: [
    {
      target: CART,
      port: 8080,
      portName: "http",
      rules: [
        {
          source: "deployments",
          caller: "shop/web",
          count: 60n,
          routes: [
            { method: "GET", path: "/cart", pattern: "/cart", count: 30n },
            { method: "GET", path: "/items/{id}", pattern: "/items/*", count: 20n },
            { method: "PUT", path: "/items/{id}", pattern: "/items/*", count: 10n },
          ],
        },
        { source: "serviceAccounts", caller: "shop/batch", count: 5n },
      ],
    },
  ],
  unproven: [
    {
      from: { namespace: "shop", kind: "deployment", name: "legacy" },
      clientIp: "10.0.0.3",
      to: CART,
      port: 8080,
      count: 7n,
      reason: "its pod is not meshed",
    },
  ],
}

beforeAll(async () => {
  const handler = connectNodeAdapter({
    routes: router => {
      router.service(ApiService, {
        version: () => ({ controlPlane: "9.9.9", proxies: [{ version: "9.9.8", pods: 1 }] }),
        stat: request => {
          lastStat = request
          if (request.target?.labelSelector === "!!")
            throw new ConnectError('"!!" is no label selector', Code.InvalidArgument)
          if (request.target?.namespace === "old") {
            const value = { reason: "UNKNOWN_KIND", field: "target.kind", hint: "" }
            const details = [{ desc: ErrorDetailSchema, value }]
            throw new ConnectError("target: unknown kind", Code.InvalidArgument, undefined, details)
          }
          const name = NAMED[request.target?.kind ?? ""]
          if (name !== undefined) return { rows: [name] }
          return {
            rows: [BUSY, QUIET].filter(row => ["", row.resource.name].includes(request.target?.name ?? "")),
          }
        },
        edges: () => ({
          edges: [
            {
              from: BUSY.resource,
              to: { ...BUSY.resource, name: "cart" },
              http: BUSY.http,
              reason: "no identity",
            },
          ],
        }),
        endpoints: request => ({
          services:
            request.service === "nothing"
              ? []
              : [
                  {
                    namespace: "shop",
                    service: "web",
                    port: 80,
                    portName: "http",
                    endpoints: [
                      {
                        ip: "10.0.0.7",
                        port: 8080,
                        namespace: "shop",
                        pod: "web-1",
                        workload: BUSY.resource,
                        meshed: true,
                      },
                    ],
                  },
                  { namespace: "shop", service: "idle", port: 81, endpoints: [] },
                ],
        }),
        async *identities() {
          const end = Date.now() + 23.5 * 3_600_000
          yield {
            namespace: "shop",
            pod: "web-1",
            workload: BUSY.resource,
            state: CertificateState.VALID,
            identity: "web.shop.serviceaccount.identity.conduit.cluster.local",
            spiffeId: "spiffe://cluster.local/ns/shop/sa/web",
            issuer: "CN=identity",
            serialNumber: "0a1b",
            notBeforeMs: end - 86_400_000,
            notAfterMs: end,
          }
          yield {
            namespace: "shop",
            pod: "web-2",
            state: CertificateState.EXPIRING,
            notBeforeMs: 1,
            notAfterMs: Date.now() + 119_500,
          }
          yield {
            namespace: "shop",
            pod: "web-3",
            state: CertificateState.NONE,
            error: "the proxy has no identity",
          }
        },
        policies: () => ({
          workloads: [
            {
              resource: CART,
              defaultPolicy: "all-unauthenticated",
              ports: [
                { port: 8080, name: "http" },
                { port: 9000, defaultInForce: true },
              ],
              policies: [
                {
                  namespace: "shop",
                  name: "clients",
                  action: "Allow",
                  ports: [8080],
                  decided: { allowedRps: 12.34 },
                  problems: ["spec.rules[0].from[0].deployments[0]: there is no Deployment"],
                },
              ],
              byDefault: { allowedRps: 1 },
              notAllowed: { deniedRps: 2 },
            },
          ],
          unused: [{ namespace: "shop", name: "nowhere", action: "Deny", problems: [] }],
        }),
        whatIf: request => {
          lastWhatIf = request
          return whatIfAnswer
        },
        plugins: () => ({
          plugins: [
            {
              ...{ name: "team-label", address: "team-label.plugins:9090", state: "Ready", version: "1.0.0" },
              hooks: [
                { hook: "Injection", mode: "Audit", failurePolicy: "Ignore", unknown: true },
                {
                  ...{ hook: "Check", mode: "Enforce", failurePolicy: "Ignore" },
                  ...{ calls: 6n, callsPerSecond: 0.1, errors: 1n, p50Ms: 2, p99Ms: 12.4, refused: 0n },
                },
              ],
            },
          ],
          unknown: ["conduit-injector-1: no answer within 1000 ms"],
        }),
        learn: request => {
          lastLearn = request
          return (learnAnswers.length > 1 ? learnAnswers.shift() : learnAnswers[0]) ?? {}
        },
        authorization: () => ({
          rows: [
            {
              ...{
                to: CART,
                port: 8080,
                portName: "http",
                from: BUSY.resource,
                spiffeId: "spiffe://x/ns/shop/sa/web",
              },
              access: Access.SOME,
              ...{
                policy: "shop/clients",
                reason: "",
                requests: ["GET /items/*: allowed by shop/clients spec.rules[0]"],
              },
            },
            {
              to: CART,
              port: 8080,
              from: QUIET.resource,
              access: Access.DENIED,
              policy: "shop/clients",
              reason: "no rule",
            },
          ],
        }),
        async *proxyMetrics(request) {
          if (request.target?.name === "none") return
          yield { namespace: "shop", pod: "web-1", text: "request_total 5\n" }
          if (request.target?.name === "half")
            yield { namespace: "shop", pod: "web-2", error: "ECONNREFUSED" }
        },
      })
    },
  })
  folder = mkdtempSync(join(tmpdir(), "conduit-cli-"))
  server = createServer(handler)
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`
})

afterAll(() => {
  rmSync(folder, { recursive: true, force: true })
  server.closeAllConnections()
  server.close()
})

interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number
}

async function conduit(words: string, env: Record<string, string> = {}): Promise<Ended> {
  const child = Bun.spawn([process.execPath, MAIN, ...words.split(" ")], {
    env: { PATH: process.env.PATH ?? "", CONDUIT_API_ADDR: address, ...env },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("stat shows a table, with a dash where no traffic was", async () => {
  const { out, err, code } = await conduit("stat deploy -n shop")
  expect(out).toBe(
    [
      "NAME     MESHED   SUCCESS    RPS     P50    P95    P99   TCP_CONN",
      "web         2/2    98.76%   12.3   1.5ms   20ms   42ms          3",
      "worker      0/1         -      -       -      -      -          -",
      "",
    ].join("\n"),
  )
  expect({ err, code }).toEqual({ err: "", code: 0 })
})

test("stat -o json is the contract's array, null where no traffic was", async () => {
  const { out } = await conduit("stat deploy -n shop -o json")
  expect(JSON.parse(out)).toEqual([
    {
      namespace: "shop",
      kind: "deployment",
      name: "web",
      meshed: { running: 2, total: 2 },
      success: 0.9876,
      rps: 12.34,
      latencyMs: { p50: 1.5, p95: 20, p99: 42.4 },
      tcp: { open: 3, readBytesPerSec: 2048, writeBytesPerSec: 10 },
    },
    {
      namespace: "shop",
      kind: "deployment",
      name: "worker",
      meshed: { running: 0, total: 1 },
      success: null,
      rps: null,
      latencyMs: { p50: null, p95: null, p99: null },
      tcp: { open: null, readBytesPerSec: null, writeBytesPerSec: null },
    },
  ])
})

test("stat passes on window, labels, namespace and the other end", async () => {
  await conduit("-n=shop stat deploy/web -t30s -l app=web --to deploy/cart --to-namespace back")
  expect(lastStat?.windowMs).toBe(30_000)
  expect(lastStat?.target).toMatchObject({
    namespace: "shop",
    kind: "deployment",
    name: "web",
    labelSelector: "app=web",
  })
  expect(lastStat?.to).toMatchObject({ namespace: "back", kind: "deployment", name: "cart" })
  expect(lastStat?.from).toBeUndefined()
})

test("stat of routes and authorities has the same columns and shape, without pods, which names have none of", async () => {
  const { out } = await conduit("stat route -n shop --to svc/cart --from deploy/web -o wide")
  expect(out.split("\n").map(line => line.split(/ {3,}/))).toEqual([
    "NAME SERVICE MESHED SUCCESS RPS P50 P95 P99 TCP_CONN READ WRITE UNAUTHORIZED RETRIES".split(" "),
    ["GET /cart", ...["cart", "-", "98.76%", "12.3", "1.5ms", "20ms", "42ms", "-", "-", "-", "-", "2.5"]],
    [""],
  ])
  expect(lastStat).toMatchObject({
    retries: true,
    from: { name: "web" },
    to: { kind: "service", name: "cart" },
  })
  expect(JSON.parse((await conduit("stat au -n shop -o json")).out)).toEqual([
    {
      namespace: "shop",
      kind: "authority",
      name: "cart",
      meshed: { running: null, total: null },
      success: 0.9876,
      rps: 12.34,
      latencyMs: { p50: 1.5, p95: 20, p99: 42.4 },
      tcp: { open: null, readBytesPerSec: null, writeBytesPerSec: null },
    },
  ])
  expect(await conduit("stat authority -l app=web")).toMatchObject({
    err: expect.stringContaining("authorities have none; --from and --to choose whose traffic is shown"),
    code: 2,
  })
})

test("a kind that the control plane does not know is of another release, and that is said", async () => {
  const { err, code } = await conduit("stat route -n old")
  expect(err).toContain("does not know this request")
  expect(err).toContain("9.9.9")
  expect(code).toBe(1)
})

test("a resource that does not exist is a failure, an empty list is not", async () => {
  expect(await conduit("stat deploy/nope")).toMatchObject({
    out: "",
    err: 'conduit: deploy/nope was not found in namespace "default" (-n chooses another, -A takes all)\n',
    code: 1,
  })
})

test("-A adds the namespace", async () => {
  expect((await conduit("stat deploy -A")).out.split("\n")[0]).toStartWith("NAMESPACE   NAME ")
})

test("edges are the contract's rows", async () => {
  expect(JSON.parse((await conduit("edges -o json")).out)).toEqual([
    {
      from: { namespace: "shop", kind: "deployment", name: "web" },
      to: { namespace: "shop", kind: "deployment", name: "cart" },
      clientId: null,
      serverId: null,
      secured: false,
      reason: "no identity",
      rps: 12.34,
      success: 0.9876,
    },
  ])
  expect((await conduit("edges")).out.split("\n")[1]).toBe(
    "web    shop      cart   shop    no         98.76%   12.3   no identity",
  )
})

test("identity shows certificates with their end, and warns of one that was not renewed", async () => {
  const { out, err, code } = await conduit("identity deploy/web -n shop")
  expect(out.split("\n").map(line => line.trimEnd().split(/ {3,}/))).toEqual([
    ["NAMESPACE", "POD", "STATE", "ENDS", "IDENTITY"],
    ["shop", "web-1", "valid", "in 23h", "web.shop.serviceaccount.identity.conduit.cluster.local"],
    ["shop", "web-2", "expiring", expect.stringMatching(/^in 11[89]s$/), "-"],
    ["shop", "web-3", "none", "-", "the proxy has no identity"],
    [""],
  ])
  expect(err).toBe(
    "conduit: the certificate of shop/web-2 is near its end and was not renewed: can its proxy reach conduit-identity?\n",
  )
  expect(code).toBe(0)
  const [first, , third] = JSON.parse((await conduit("identity -o json")).out)
  expect(Object.keys(first)).toEqual([
    "namespace",
    "pod",
    "workload",
    "state",
    "identity",
    "spiffeId",
    "issuer",
    "serialNumber",
    "notBefore",
    "notAfter",
    "error",
  ])
  expect(third).toMatchObject({ state: "none", identity: null, notAfter: null })
})

test("policy list shows what each policy decided, the default where it holds, and problems", async () => {
  const { out, err, code } = await conduit("policy list -n shop")
  expect(out).toBe(
    [
      "WORKLOAD           POLICY                         ACTION   PORTS   ALLOWED   DENIED   AUDITED",
      "shop/deploy/cart   clients                        Allow    8080       12.3      0.0       0.0",
      "shop/deploy/cart   default: all-unauthenticated   -        9000        1.0      0.0       0.0",
      "shop/deploy/cart   none allows it                 -        -           0.0      2.0       0.0",
      "-                  nowhere                        Deny     -             -        -         -",
      "",
    ].join("\n"),
  )
  expect(err).toBe("conduit: shop/clients: spec.rules[0].from[0].deployments[0]: there is no Deployment\n")
  expect(code).toBe(0)
  const [cart, unused] = JSON.parse((await conduit("policy list -o json")).out)
  expect(cart).toMatchObject({
    workload: CART,
    ports: [
      { port: 8080, name: "http", inForce: "policies" },
      { port: 9000, name: null, inForce: "default" },
    ],
    policies: [{ name: "clients", allowedRps: 12.34, deniedRps: 0 }],
    notAllowed: { deniedRps: 2 },
  })
  expect(unused).toMatchObject({ workload: null, policies: [{ name: "nowhere" }] })
})

test("policy who says who may call, and of whom only some requests are taken", async () => {
  const { out, code } = await conduit("policy who deploy/cart -n shop")
  expect(out.split("\n").map(line => line.split(/ {3,}/))).toEqual([
    ["CALLED", "PORT", "CALLER", "MAY_CALL", "WHY"],
    [
      ...["shop/deploy/cart", "8080 (http)", "shop/deploy/web", "some requests"],
      "GET /items/*: allowed by shop/clients spec.rules[0]",
    ],
    ["shop/deploy/cart", "8080", "shop/deploy/worker", "no", "shop/clients: no rule"],
    [""],
  ])
  expect(code).toBe(0)
  const [web, worker] = JSON.parse((await conduit("policy who deploy/cart -o json")).out)
  expect(web).toMatchObject({ access: "some", spiffeId: "spiffe://x/ns/shop/sa/web", connectionsPass: false })
  expect(worker).toMatchObject({ access: "denied", portName: null, spiffeId: null, requests: [] })
})

const POLICY = `apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: clients }
spec:
  target: { kind: Deployment, name: cart }
  action: Allow
  rules:
    - from: [{ deployments: [shop/web] }]
`

const LIVE = {
  from: BUSY.resource,
  to: CART,
  clientId: "web.shop",
  clientIps: ["10.0.0.1"],
  port: 8080,
  protocol: "http1",
  method: "GET",
  path: "/items/{id}",
  rps: 12.34,
  count: 740n,
  before: { allowed: true, reason: "default policy all-unauthenticated" },
  after: { allowed: true, policy: "shop/clients", reason: "spec.rules[0] allows it" },
}
const DENIED = {
  ...LIVE,
  change: PolicyChange.DENIED,
  from: undefined,
  clientId: "",
  clientIps: ["192.0.2.1"],
  method: "PUT",
  rps: 2,
  after: { allowed: false, policy: "shop/clients", reason: "shop/clients has no rule for this caller" },
}

test("policy what-if shows what would change, by which policy and clause, and fails if live traffic is denied", async () => {
  const file = join(folder, "new.yaml")
  writeFileSync(file, POLICY)
  whatIfAnswer = {
    rows: [DENIED, { ...LIVE, change: PolicyChange.UNCHANGED }],
    policies: ["shop/clients"],
    unjudged: 3n,
  }
  const { out, err, code } = await conduit(`policy what-if ${file} -n shop -t 30s`)
  expect(out).toBe(
    [
      "CHANGE   FROM        TO                 PORT   ROUTE             RPS   BY             WHY",
      "denied   192.0.2.1   shop/deploy/cart   8080   PUT /items/{id}   2.0   shop/clients   shop/clients has no rule for this caller",
      "",
    ].join("\n"),
  )
  expect(err).toBe(
    [
      "conduit: 3 requests could not be judged: proxies had no room to tell them apart",
      "Denied 2.0/s, newly allowed 0.0/s, unchanged 12.3/s.",
      "conduit: live traffic would be denied: 2.0 requests a second",
      "",
    ].join("\n"),
  )
  expect(code).toBe(1)
  expect(lastWhatIf).toMatchObject({
    windowMs: 30_000,
    namespace: "shop",
    files: [{ name: file, content: POLICY }],
  })
  const [first, second] = JSON.parse((await conduit(`policy what-if ${folder} -o json`)).out)
  expect(first).toMatchObject({ change: "denied", from: null, clientId: null, requests: 740 })
  expect(second).toEqual({
    change: "unchanged",
    from: BUSY.resource,
    clientId: "web.shop",
    clientIps: ["10.0.0.1"],
    to: CART,
    port: 8080,
    protocol: "http1",
    method: "GET",
    path: "/items/{id}",
    rps: 12.34,
    requests: 740,
    before: { allowed: true, policy: null, reason: "default policy all-unauthenticated" },
    after: { allowed: true, policy: "shop/clients", reason: "spec.rules[0] allows it" },
    approximate: false,
  })
})

test("policy what-if tries what plugins in mode Audit supply, without a file", async () => {
  whatIfAnswer = { notes: ['the plugin "hours" supplies no policy now'] }
  const { err, code } = await conduit("policy what-if --plugin hours,nights")
  expect(lastWhatIf).toMatchObject({ files: [], plugins: ["hours", "nights"] })
  expect(err).toStartWith('conduit: the plugin "hours" supplies no policy now\n')
  expect(code).toBe(0)
})

test("plugin list has a dash for what nobody could say, and says why", async () => {
  const { out, err } = await conduit("plugin list -o wide")
  expect(out.split("\n").map(line => line.split(/ {2,}/).slice(3))).toEqual([
    ["HOOK", "MODE", "FAILURE", "CALLS/S", "CALLS", "P50", "P99", "ERRORS", "REFUSED", "OPEN", "LAST ERROR"],
    ["Injection", "Audit", "Ignore", "-", "-", "-", "-", "-", "-", "no", "-"],
    ["Check", "Enforce", "Ignore", "0.1", "6", "2.0ms", "12ms", "1", "0", "no", "-"],
    [],
  ])
  expect(err).toBe("conduit: figures are missing: conduit-injector-1: no answer within 1000 ms\n")
  const [{ hooks }] = JSON.parse((await conduit("plugin list -o json")).out)
  expect(hooks[0]).toMatchObject({ calls: null, errors: null, refused: null, p99Ms: null })
})

test("policy what-if that denies nothing succeeds, with nothing on standard output", async () => {
  const file = join(folder, "new.yaml")
  writeFileSync(file, POLICY)
  whatIfAnswer = { rows: [{ ...LIVE, change: PolicyChange.UNCHANGED }] }
  expect(await conduit(`policy what-if ${file}`)).toEqual({
    out: "",
    err: "Denied 0.0/s, newly allowed 0.0/s, unchanged 12.3/s.\n",
    code: 0,
  })
})

test("policy what-if names file, line and field of what is wrong, also where only the cluster knows it", async () => {
  const file = join(folder, "bad.yaml")
  writeFileSync(file, POLICY.replace("action: Allow", "acton: Allow"))
  const bad = await conduit(`policy what-if ${file}`)
  expect(bad.code).toBe(1)
  expect(bad.err).toContain(
    `${file}, document 1, line 6: spec.acton of AuthorizationPolicy "clients" is not a field`,
  )
  writeFileSync(file, POLICY)
  whatIfAnswer = {
    problems: [{ where: `${file}, document 1, line 5`, message: "spec.target.ports[0] is 81" }],
  }
  expect(await conduit(`policy what-if ${file}`)).toEqual({
    out: "",
    err: `conduit: ${file}, document 1, line 5: spec.target.ports[0] is 81\n`,
    code: 1,
  })
  rmSync(file)
  expect((await conduit(`policy what-if ${file}`)).err).toContain("no such file or folder")
})

test("policy learn writes YAML that is the same for the same traffic, and says who cannot be allowed", async () => {
  learnAnswers = [LEARNT]
  const { out, err, code } = await conduit("policy learn deploy/cart -n shop")
  expect(out).toBe(`apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: cart-http-learned
  namespace: shop
spec:
  target:
    kind: Deployment
    name: cart
    ports: [http]
  action: Allow
  rules:
    # 60 seen
    - from:
        - deployments: [shop/web]
      to:
        - methods: [GET]
          paths:
            - /cart # GET 30
        - methods: [GET, PUT]
          paths:
            - "/items/*" # /items/{id}: GET 20, PUT 10
    # 5 seen
    - from:
        - serviceAccounts: [shop/batch]
      # connections that are not HTTP: nothing to say of requests
    # 7 seen of a caller that is not authenticated (shop/legacy, its pod is not meshed). To allow its address:
    # - from:
    #     - networks: ["10.0.0.3/32"]
`)
  expect(err).toContain("conduit: shop/deploy/legacy (10.0.0.3) called shop/deploy/cart port 8080 7 times")
  expect(code).toBe(0)
  expect(lastLearn).toMatchObject({ windowMs: 0, target: { kind: "deployment", name: "cart" } })
  expect((await conduit("policy learn deploy/cart -n shop")).out).toBe(out)
  const file = join(folder, "learnt.yaml")
  writeFileSync(file, out)
  whatIfAnswer = {}
  expect((await conduit(`policy what-if ${file}`)).code).toBe(0)
})

test("policy learn waits for the time that it was asked to see", async () => {
  learnAnswers = [
    { ...LEARNT, seenMs: 1000 },
    { ...LEARNT, seenMs: 2000 },
    { ...LEARNT, seenMs: 4000 },
  ]
  const { err, out } = await conduit("policy learn -n shop --for 5s -o json")
  expect(err.split("\n")[0]).toBe("seen 1s of 5s; waiting for the rest")
  expect(learnAnswers).toHaveLength(1)
  expect(lastLearn?.windowMs).toBe(5000)
  expect(JSON.parse(out)[0].policies[0].rules[0]).toMatchObject({ caller: "shop/web", count: 60 })
})

test("endpoints name the pod behind each address, and Services with nothing behind them", async () => {
  const { out } = await conduit("endpoints -n shop")
  expect(out.split("\n")[1]).toBe("shop        web       80/http   10.0.0.7:8080   web-1   deploy/web   yes")
  expect(out.split("\n")[2]).toBe("shop        idle      81        -               -       -            -")
  expect(await conduit("endpoints nothing")).toMatchObject({ out: "", code: 1 })
  expect(JSON.parse((await conduit("endpoints -n shop -o json")).out)[0].endpoints[0]).toMatchObject({
    ip: "10.0.0.7",
    zone: null,
  })
})

test("metrics are raw text under the pod's name; a proxy that does not answer is told and fails", async () => {
  expect(await conduit("metrics deploy/web")).toEqual({
    out: "# pod shop/web-1\nrequest_total 5\n\n",
    err: "",
    code: 0,
  })
  const half = await conduit("metrics deploy/half")
  expect(half.code).toBe(1)
  expect(half.err).toContain("no metrics of shop/web-2: ECONNREFUSED")
  expect((await conduit("metrics deploy/none")).err).toContain("no meshed pod of deploy/none")
})

test("version knows client, control plane and proxies, and the client alone without a mesh", async () => {
  expect((await conduit("version -o json")).out).toContain('"controlPlane": "9.9.9"')
  expect((await conduit("version")).out).toContain("proxies        9.9.8 (1 pod)")
  expect((await conduit("version --client", { CONDUIT_API_ADDR: "127.0.0.1:1" })).code).toBe(0)
})

test("a control plane that is not there is one sentence and exit code 1", async () => {
  const { out, err, code } = await conduit("stat deploy", { CONDUIT_API_ADDR: "127.0.0.1:1" })
  expect({ out, code }).toEqual({ out: "", code: 1 })
  expect(err).toMatch(
    /^conduit: cannot reach 127\.0\.0\.1:1: no control plane answers at [^\n]+ECONNREFUSED[^\n]*\n$/,
  )
})

test("wrong usage of every kind is one sentence without a stack, nothing on standard output, exit code 2", async () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["stta", 'unknown command "stta" (did you mean "stat"?)'],
    ["stat deploy --namespac shop", 'did you mean "--namespace"?'],
    ["stat deplyo", 'did you mean "deploy"?'],
    ["stat", "RESOURCE is missing"],
    ["stat deploy -t 3x", "write a duration"],
    ["stat deploy -o xml", "one of table, wide, json, yaml"],
    ["stat deploy -l !!", '"!!" is no label selector'],
    ["stat deploy --from deploy/a --to deploy/b", "cannot be used together"],
    ["policy what-if", "needs FILE with policies, or --plugin NAME"],
    ["policy lst", 'unknown command "lst" (did you mean "list"?)'],
    ["policy learn --for 25h", "figures are kept for 1s to 24h"],
    ["policy learn -o table", "one of yaml, json"],
    ["identity -o xml", "one of table, wide, json, yaml"],
    ["completion tcsh", "choose bash, zsh, fish"],
    ["version now", '"now" is one argument too many'],
  ]
  for (const [words, said] of wrong) {
    const { out, err, code } = await conduit(words)
    expect({ words, out, code }).toEqual({ words, out: "", code: 2 })
    expect(err).toContain(said)
    expect(err.trimEnd().split("\n")).toHaveLength(1)
    expect(err).not.toMatch(/\n\s+at /)
  }
}, 30_000)

test("an identity that dev up cannot take is wrong usage, and nothing is started", async () => {
  const pod = join(folder, "identity-pod.json")
  writeFileSync(
    pod,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "a" },
      spec: { containers: [{ name: "a", command: ["true"] }] },
    }),
  )
  const wrong: readonly (readonly [string, string])[] = [
    ["--identity-issuance-lifetime 9s", '--identity-issuance-lifetime must be from 10s to 720h, not "9s"'],
    [
      "--identity-issuance-lifetime 721h",
      '--identity-issuance-lifetime must be from 10s to 720h, not "721h"',
    ],
    ["--identity-issuance-lifetime soon", "--identity-issuance-lifetime"],
    [
      "--identity-clock-skew-allowance 61m",
      '--identity-clock-skew-allowance must be from 0s to 1h, not "61m"',
    ],
    [`--identity-issuer-key-file ${pod}`, "must stand beside --identity-issuer-key-file"],
  ]
  for (const [flags, said] of wrong) {
    const { out, err, code } = await conduit(`dev up -f ${pod} --name main-test-identity ${flags}`)
    expect({ flags, out, code }).toEqual({ flags, out: "", code: 2 })
    expect(err).toContain(said)
    expect(err.trimEnd().split("\n")).toHaveLength(1)
  }
})

test("help stands on standard output for the program and for each command", async () => {
  for (const words of [
    "--help",
    "help",
    "stat --help",
    "stat deploy -h",
    "help stat",
    "identity -h",
    "policy what-if -h",
    "policy learn -h",
    "policy list -h",
  ]) {
    const { out, err, code } = await conduit(words)
    expect({ words, err, code }).toEqual({ words, err: "", code: 0 })
    expect(out).toContain("Usage\n  conduit ")
    expect(out).not.toContain("\u001b")
  }
})

test("as kubectl's plugin it calls itself what is typed, in usage, examples and mistakes", async () => {
  const plugin = fileURLToPath(new URL("./kubectl_main.ts", import.meta.url))
  const run = (...words: string[]) => {
    const { stdout, stderr, exitCode } = Bun.spawnSync([process.execPath, plugin, ...words])
    return { out: stdout.toString(), err: stderr.toString(), code: exitCode }
  }
  const help = run("policy", "what-if", "--help").out
  expect(help).toContain("Usage\n  kubectl conduit policy what-if [FILE ...] [FLAGS]")
  expect(help).toContain("kubectl conduit policy learn -n shop | kubectl conduit policy what-if -")
  expect(run("--help").out).toContain("Usage\n  kubectl conduit COMMAND")
  const { err, code } = run("stta")
  expect({ err, code }).toEqual({
    err: 'conduit: unknown command "stta" (did you mean "stat"?); kubectl conduit --help lists the commands\n',
    code: 2,
  })
})

test("help tells which control plane is asked", async () => {
  const { out } = await conduit("--help")
  expect(out).toMatch(
    /1\. --api-addr, --mesh, or --context.*\n.*2\. the local mesh.*\n.*3\. the current context of KUBECONFIG/,
  )
})

test("bash completes a command line with the words that conduit itself gives", async () => {
  const { out } = await conduit("completion bash")
  const script = `conduit() { "${process.execPath}" "${MAIN}" "$@"; }
${out}
COMP_WORDS=(conduit stat -n shop de); COMP_CWORD=4
_conduit; echo "\${COMPREPLY[@]}"
COMP_WORDS=(conduit ""); COMP_CWORD=1
_conduit; echo "\${COMPREPLY[0]}"`
  const bash = Bun.spawn(["bash", "--norc", "-c", script], { stdout: "pipe", stderr: "pipe" })
  expect(await bash.stdout.text()).toBe("deploy\ninstall\n")
  expect(await bash.stderr.text()).toBe("")
})

test("a reader that leaves early is no error", async () => {
  const child = Bun.spawn(["sh", "-c", `${process.execPath} ${MAIN} stat --help | true; echo done`], {
    stderr: "pipe",
  })
  expect(await child.stdout.text()).toBe("done\n")
  expect(await child.stderr.text()).toBe("")
})

test("watching ends with 130 on Ctrl-C", async () => {
  const child = Bun.spawn([process.execPath, MAIN, "stat", "deploy", "-n", "shop", "-w"], {
    env: { PATH: process.env.PATH ?? "", CONDUIT_API_ADDR: address },
    stdout: "pipe",
    stderr: "pipe",
  })
  const reader = child.stdout.getReader()
  await reader.read()
  child.kill("SIGINT")
  expect(await child.exited).toBe(130)
})
