// The sentence that the project exists for, on a real Kubernetes: conduit install | kubectl apply, conduit inject |
// kubectl apply, and the pods roll into the mesh: mutual TLS, figures, policies; then back out of it.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import { caller, eventually, INSTALL_FLAGS, Mesh, workload } from "./mesh.ts"
import type { Cluster } from "./mod.ts"
import { SHOP, TEST_TAG } from "./test_images.ts"

const ROOT = join(import.meta.dir, "../..")
/** Not the path of the probe, which anybody may ask. */
const TARGET = "http://api/books"
/** Who calls whom in the shop. */
const SHOP_EDGES = [
  "load storefront",
  "storefront catalog",
  "storefront cart",
  "storefront payments",
  "payments ledger",
  "load cart",
  "load orders",
  "load notify",
]
let mesh: Mesh
let cluster: Cluster

beforeAll(async () => {
  mesh = await Mesh.up(SHOP)
  cluster = mesh.cluster
}, 30 * 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function injectLive(name: string): Promise<void> {
  const live = await cluster.kubectl(["get", "deployment", name, "-o", "yaml"])
  const { stdout, stderr } = await mesh.conduit(["inject", "-"], live)
  expect(stderr.trim()).toBe(`deployment "${name}" injected`)
  await cluster.kubectl(["apply", "--validate=strict", "-f", "-"], { input: stdout })
  await mesh.rolledOut("default", name)
}

test("conduit install | kubectl apply: every pod of the control plane is ready, with a certificate of its own", async () => {
  const { stdout } = await mesh.conduit(["install", ...INSTALL_FLAGS])
  const started = performance.now()
  await mesh.apply(stdout)
  expect(await mesh.deployments("conduit")).toContain("conduit-identity")
  await mesh.controlPlaneRolledOut()
  console.log(`control plane ready after ${((performance.now() - started) / 1000).toFixed(1)} s`)
  const pods = await cluster.kubectl([
    "get",
    "pods",
    "-n",
    "conduit",
    "--output=jsonpath={range .items[*]}{.status.containerStatuses[*].restartCount}{' '}{end}",
  ])
  expect(new Set(pods.trim().split(/\s+/))).toEqual(new Set(["0"]))
}, 300_000)

test("a caller rolls into the mesh, and goes on reaching what is outside of it", async () => {
  await mesh.applyObjects([
    ...workload("api", {}, { replicas: 2 }),
    ...caller("web", TARGET),
    ...caller("plain", TARGET),
  ])
  await mesh.rolledOut("default", "api", "web", "plain")
  await injectLive("web")
  const { ok, failed, last } = await mesh.afterReset("web")
  expect({ failed, last }).toEqual({ failed: 0, last: "" })
  expect(ok).toBeGreaterThan(10)
  expect(await mesh.metric("web", "response_total", ['direction="outbound"', 'tls="true"'])).toBe(0)
}, 240_000)

test("a live Deployment is injected under load from inside and outside of the mesh with 0 failed requests", async () => {
  const seen = await mesh.underLoad(["web", "plain"], () => injectLive("api"))
  await mesh.expectNoFailure("api rolled into the mesh", seen)
}, 240_000)

test("traffic between meshed pods is mutual TLS, as both ends say, and the callee knows who called", async () => {
  await mesh.afterReset("web")
  const [server, client] = ["api", "web"].map(
    name => `${name}.default.serviceaccount.identity.conduit.cluster.local`,
  )
  const secured = ['direction="outbound"', 'tls="true"', `server_id="${server}"`]
  expect(await mesh.metric("web", "response_total", secured)).toBeGreaterThan(10)
  const known = ['direction="inbound"', 'tls="true"', `client_id="${client}"`]
  expect(await mesh.metric("api", "response_total", known)).toBeGreaterThan(5)
  const outside = ['direction="inbound"', 'tls="no_identity"']
  expect(await mesh.metric("api", "response_total", outside)).toBeGreaterThan(5)
  const ends = await mesh.within("default", "api", "http://127.0.0.1:4191/metrics")
  const [, end = "0"] = /^identity_cert_expiration_timestamp_seconds(?:\{[^}]*\})? (\S+)$/m.exec(ends) ?? []
  const hours = (Number(end) - Date.now() / 1000) / 3600
  expect(hours).toBeGreaterThan(23)
  expect(hours).toBeLessThan(25)
}, 60_000)

test("conduit stat deploy shows it", async () => {
  const args = ["stat", "deploy", "-n", "default", "-o", "json"]
  let rows: { name: string; meshed: { running: number; total: number }; success: number; rps: number }[] = []
  for (let turn = 0; turn < 20; turn++) {
    rows = JSON.parse((await mesh.conduit(args)).stdout)
    if ((rows.find(({ name }) => name === "api")?.rps ?? 0) > 0) break
    await Bun.sleep(500)
  }
  const row = (name: string) => rows.find(one => one.name === name)
  expect(row("api")).toMatchObject({ meshed: { running: 2, total: 2 }, success: 1 })
  expect(row("api")?.rps).toBeGreaterThan(5)
  expect(row("web")?.meshed).toEqual({ running: 1, total: 1 })
  expect(row("plain")?.meshed).toEqual({ running: 0, total: 1 })
}, 60_000)

test("a policy lets one caller in by its identity and keeps the other out, and is told on its status", async () => {
  const policy = {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name: "api-callers", namespace: "default" },
    spec: {
      target: { kind: "Deployment", name: "api", ports: ["http"] },
      action: "Allow",
      rules: [{ from: [{ deployments: ["default/web"] }] }],
    },
  }
  await mesh.apply(JSON.stringify(policy))
  const end = performance.now() + 20_000
  while ((await mesh.afterReset("plain")).ok > 0 && performance.now() < end);
  const denied = await mesh.afterReset("plain")
  expect(denied.ok).toBe(0)
  expect(denied.last).toStartWith("403")
  const let_in = await mesh.afterReset("web")
  expect({ failed: let_in.failed, last: let_in.last }).toEqual({ failed: 0, last: "" })
  const wait = ["wait", "authorizationpolicy/api-callers", "--for=condition=Accepted", "--timeout=15s"]
  await cluster.kubectl(wait)
  await cluster.kubectl(["delete", "authorizationpolicy", "api-callers"])
  while ((await mesh.afterReset("plain")).failed > 0 && performance.now() < end + 20_000);
  expect((await mesh.afterReset("plain")).failed).toBe(0)
}, 90_000)

test("uninject gives back what was there, and the pods roll out of the mesh with 0 failed requests", async () => {
  const uninject = async (): Promise<void> => {
    const live = await cluster.kubectl(["get", "deployment", "api", "-o", "yaml"])
    const { stdout } = await mesh.conduit(["uninject", "-"], live)
    await cluster.kubectl(["apply", "--validate=strict", "-f", "-"], { input: stdout })
    await mesh.rolledOut("default", "api")
  }
  await mesh.expectNoFailure("api rolled out of it", await mesh.underLoad(["web", "plain"], uninject))
  const { spec } = JSON.parse(await cluster.kubectl(["get", "deployment", "api", "-o", "json"])).spec.template
  expect(spec.containers.map(({ name }: { name: string }) => name)).toEqual(["app"])
  expect({ volumes: spec.volumes, init: spec.initContainers }).toEqual({
    volumes: undefined,
    init: undefined,
  })
}, 240_000)

test("the demo shop, all of its protocols, runs in the mesh", async () => {
  await cluster.kubectl([
    "delete",
    "deployment/api",
    "deployment/web",
    "deployment/plain",
    "--wait=false",
    "--ignore-not-found",
  ])
  const { stdout } = await mesh.conduit(["inject", "-"], shop())
  await mesh.apply(stdout)
  for (const namespace of ["shop", "backend"])
    await mesh.rolledOut(namespace, ...(await mesh.deployments(namespace)))
  interface Edge {
    readonly from: { readonly name: string }
    readonly to: { readonly name: string }
    readonly secured: boolean
  }
  let edges: Edge[] = []
  const secured = (): Set<string> =>
    new Set(edges.filter(edge => edge.secured).map(({ from, to }) => `${from.name} ${to.name}`))
  await eventually("every edge is secured", async () => {
    const args = ["edges", "deploy", "-A", "-o", "json"]
    edges = JSON.parse((await mesh.conduit(args)).stdout)
    return SHOP_EDGES.every(edge => secured().has(edge))
  }).catch(() => {})
  expect([...secured()]).toEqual(expect.arrayContaining(SHOP_EDGES))
}, 300_000)

/** The shop as it is published, with an image that this cluster has. */
function shop(): string {
  const text = readFileSync(join(ROOT, "deploy/local/demo/shop.yaml"), "utf8")
  const documents = parseAllDocuments(text).map(document => ("toJS" in document ? document.toJS() : null))
  for (const object of documents) {
    for (const container of object?.spec?.template?.spec?.containers ?? []) {
      container.image = `conduit/shop:${TEST_TAG}`
      container.imagePullPolicy = "Never"
      // The image's own program is main.ts, bundled.
      container.args = container.command.slice(-1)
      delete container.command
    }
  }
  return documents.map(object => `---\n${JSON.stringify(object)}\n`).join("")
}
