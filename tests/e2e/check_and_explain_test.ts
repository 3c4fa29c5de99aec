// A person asks a local mesh what is wrong with it, and why a request was refused: `conduit check` and `conduit explain`.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { CheckReport } from "../../cli/check/print.ts"
import type { RefusalLine } from "../../cli/inspect/explain.ts"
import { conduit, DevMesh } from "../lab/dev_mesh.ts"

const SERVER = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("ok") })
Bun.listen({ hostname: "0.0.0.0", port: 9000, socket: { data() {}, open(s) { s.write("hello\\n") } } })`

function deployment(name: string, script: string): object {
  const ports = [
    { name: "http", containerPort: 8080 },
    { name: "raw", containerPort: 9000 },
  ]
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          serviceAccountName: name,
          containers: [{ name: "app", image: "app", command: [process.execPath, "-e", script], ports }],
        },
      },
    },
  }
}

function policy(name: string, spec: object): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "shop" },
    spec,
  }
}

const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  deployment("cart", SERVER),
  deployment("web", "setInterval(() => {}, 1000)"),
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "cart", namespace: "shop" },
    spec: {
      selector: { app: "cart" },
      ports: [
        { name: "http", port: 80, targetPort: "http" },
        { name: "raw", port: 9000, targetPort: "raw" },
      ],
    },
  },
  {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "nobody", namespace: "shop" },
    spec: { selector: { app: "nobody" }, ports: [{ port: 80 }] },
  },
  policy("no-admin", {
    target: { kind: "Deployment", name: "cart", ports: ["http"] },
    action: "Deny",
    rules: [
      { from: [{ deployments: ["shop/web"] }], to: [{ methods: ["DELETE"] }] },
      { from: [{ deployments: ["shop/web"] }], to: [{ paths: ["/admin/*"] }] },
    ],
  }),
  policy("no-raw", {
    target: { kind: "Deployment", name: "cart", ports: ["raw"] },
    action: "Deny",
    rules: [{ from: [{ deployments: ["shop/web"] }] }],
  }),
]

let mesh: DevMesh
let folder = ""

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-check-"))
  mesh = await DevMesh.up({ name: "check", objects: OBJECTS })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

async function check(...flags: string[]) {
  const { status, stdout, stderr } = await mesh.cli("check", "--wait", "0s", "-o", "json", ...flags)
  expect(stderr).toBe("")
  const { sections } = JSON.parse(stdout) as CheckReport
  const all = sections.flatMap(({ checks }) => checks)
  const wrong = all.filter(({ result }) => result !== "success")
  return {
    status,
    ids: all.map(({ id }) => id),
    wrong: wrong.map(({ id, result, why }) => ({ id, result, why })),
  }
}

/** The id of what a request from web is refused with. */
async function refusedId(...curl: string[]): Promise<string> {
  const { stdout } = await mesh.exec("shop", "web", ["curl", "-sSi", ...curl])
  const id = /conduit-proxy-error: \S+; id=(\S+)/i.exec(stdout)?.[1]
  if (id === undefined) throw new Error(`no id in ${stdout}`)
  return id
}

async function explained(id: string): Promise<RefusalLine> {
  const { status, stdout, stderr } = await mesh.cli("explain", "--id", id, "-o", "json")
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
  return (JSON.parse(stdout) as RefusalLine[])[0] as RefusalLine
}

test("everything is well with a mesh that was just started, its certificates and its data plane", async () => {
  const installed = await check()
  expect(installed).toMatchObject({ status: 0, wrong: [] })
  expect(installed.ids).toContain("identity-expiry")
  expect(installed.ids).toContain("machine-redirect")
  const proxy = await check("--proxy", "-n", "shop")
  expect(proxy).toMatchObject({ status: 0, wrong: [] })
  expect(proxy.ids).toContain("proxy-certificates")
}, 60_000)

test("a denied request's id leads to the policy and the rule, client and request", async () => {
  const id = await refusedId("-X", "POST", "http://cart.shop/admin/users?x=1")
  const line = await explained(id)
  const cart = { namespace: "shop", kind: "deployment", name: "cart" }
  expect(line).toMatchObject({
    id,
    proxy: { namespace: "shop", workload: cart },
    direction: "inbound",
    reason: "denied",
    status: 403,
    method: "POST",
    authority: "cart.shop",
    path: "/admin/users?x=1",
    from: { identity: expect.stringContaining("web.shop."), workload: { ...cart, name: "web" } },
    decision: { cause: "policy", policy: "shop/no-admin", rule: 1, defaultPolicy: null },
  })
  const { stdout } = await mesh.cli("explain", "--id", `denied; id=${id}`)
  expect(stdout).toContain("Decided by: AuthorizationPolicy shop/no-admin, rule 1 (spec.rules[1])\n")
}, 60_000)

test("what the caller's own proxy refuses is told from its side", async () => {
  const line = await explained(await refusedId("http://nobody.shop/"))
  expect(line).toMatchObject({
    direction: "outbound",
    reason: "no-endpoint",
    status: 503,
    from: { workload: { name: "web" } },
    decision: null,
  })
}, 60_000)

test("a denied connection's id stands in the log of the proxy that closed it", async () => {
  await mesh.exec("shop", "web", ["sh", "-c", "curl -sS --max-time 5 telnet://cart.shop:9000 </dev/null"])
  const id = /a connection is refused: denied.*?\bid=(\w+)/.exec(
    await mesh.logs("shop", "cart", "conduit-proxy"),
  )?.[1]
  expect(await explained(id ?? "none")).toMatchObject({
    reason: "denied",
    status: null,
    method: null,
    decision: { policy: "shop/no-raw", rule: 0 },
  })
}, 60_000)

test("an id that no proxy knows says what is kept", async () => {
  const { status, stderr } = await mesh.cli("explain", "--id", "00000000")
  expect(status).toBe(1)
  expect(stderr).toContain('knows a refusal "00000000": each keeps its latest 256')
}, 60_000)

test("a policy that names nobody and a route that leads nowhere are warned of, and a pod that never gets ready fails", async () => {
  const file = join(folder, "wrong.json")
  const broken = deployment("broken", "process.exit(3)")
  const lost = policy("lost", {
    target: { kind: "Deployment", name: "crt" },
    action: "Deny",
    rules: [{ from: [{ deployments: ["shop/web"] }] }],
  })
  const astray = {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: "astray", namespace: "shop" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "nobody" }],
      rules: [{ backendRefs: [{ name: "crt", port: 80 }] }],
    },
  }
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: [broken, lost, astray] }))
  const applied = await conduit(["dev", "apply", "--name", mesh.name, "-f", file])
  expect(applied.stderr).not.toContain("conduit: ")
  const end = performance.now() + 20_000
  let found = await check()
  while (found.wrong.length < 3 && performance.now() < end) found = await check()
  expect(found.status).toBe(1)
  expect(found.wrong).toEqual([
    {
      id: "mesh-policies",
      result: "warning",
      why: expect.stringContaining(
        'AuthorizationPolicy shop/lost: spec.target.name: there is no Deployment "crt"',
      ),
    },
    {
      id: "mesh-routes",
      result: "warning",
      why: expect.stringContaining(
        "HTTPRoute shop/astray: BackendNotFound: spec.rules[0].backendRefs[0]: there is",
      ),
    },
    { id: "proxy-ready", result: "failure", why: expect.stringContaining("pod shop/broken-") },
  ])
}, 120_000)
