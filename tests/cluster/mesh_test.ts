// The sentence that the project exists for, on a real Kubernetes: conduit install | kubectl apply, conduit inject |
// kubectl apply, and the pods roll into the mesh: mutual TLS, figures, policies; then back out of it, and nothing left.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import { buildImages } from "../../deploy/images/mod.ts"
import { Cluster } from "./mod.ts"
import { ARCHITECTURE, SHOP, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

const ROOT = join(import.meta.dir, "../..")
const PEER_IMAGE = `conduit/peer:${TEST_TAG}`
const INSTALL = ["--image-version", TEST_TAG, "--image-pull-policy", "Never"]
/** A rollout takes seconds; on a machine that does much else, more. */
const ROLLOUT_SECONDS = 120
/** Longer than it takes until no node sends new connections to a pod that ends. */
const LEAVING_SECONDS = 3
let cluster: Cluster
let before: string[] = []

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-mesh-test-"))
  try {
    const images = [...TEST_IMAGES.filter(({ name }) => name !== "cli"), SHOP]
    const [started, built] = await Promise.all([
      Cluster.up({ parts: "node" }),
      buildImages({ images, architectures: [ARCHITECTURE], folder, tag: TEST_TAG }),
    ])
    cluster = started
    for (const { path } of built) await cluster.loadImage(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
}, 30 * 60_000)

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
})

async function conduit(args: readonly string[], input = "") {
  const child = Bun.spawn([process.execPath, "cli/main.ts", ...args], {
    cwd: ROOT,
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    stdin: new Blob([input]),
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`conduit ${args.join(" ")} ended with ${code}: ${stderr}`)
  return { stdout, stderr }
}

async function apply(input: string): Promise<void> {
  await cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", "-"], { input })
}

async function rolledOut(namespace: string, ...deployments: string[]): Promise<void> {
  for (const name of deployments) {
    const args = ["rollout", "status", `deployment/${name}`, "-n", namespace, `--timeout=${ROLLOUT_SECONDS}s`]
    const { code, stderr } = await cluster.tryKubectl(args)
    if (code === 0) continue
    const pods = ["-n", namespace, "--all-containers", "--tail=20", "--prefix"]
    const told = await cluster.tryKubectl(["logs", `deployment/${name}`, ...pods])
    const seen = await cluster.tryKubectl(["describe", "pods", "-n", namespace])
    throw new Error(`deployment ${name}: ${stderr}\n${told.stdout}\n${seen.stdout.slice(-4000)}`)
  }
}

/** Names of everything that an installation may have made. */
async function everything(): Promise<string[]> {
  const kinds =
    "namespaces,clusterroles,clusterrolebindings,crds,mutatingwebhookconfigurations,deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies"
  const text = await cluster.kubectl(["get", kinds, "-A", "--output=name"])
  return text.trim().split("\n").sort()
}

/** A Deployment that runs as a service account of its own, with its Service. */
function workload(name: string, container: object, replicas: number): object[] {
  const labels = { app: name }
  const app = {
    name: "app",
    image: PEER_IMAGE,
    imagePullPolicy: "Never",
    ports: [{ name: "http", containerPort: 8080 }],
    readinessProbe: { httpGet: { path: "/", port: "http" }, periodSeconds: 1 },
    lifecycle: { preStop: { sleep: { seconds: LEAVING_SECONDS } } },
    ...container,
  }
  const spec = { serviceAccountName: name, terminationGracePeriodSeconds: 20, containers: [app] }
  const strategy = { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } }
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { selector: labels, ports: [{ name: "http", port: 80, targetPort: "http" }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name },
      spec: {
        replicas,
        strategy,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec },
      },
    },
  ]
}

function caller(name: string): object[] {
  const env = [
    // Not the path of the probe, which anybody may ask.
    { name: "TARGET", value: "http://api/books" },
    { name: "RATE", value: "20" },
  ]
  return workload(name, { command: ["call-steadily"], env }, 1)
}

/** Fetches within a pod, as its application does. */
async function within(namespace: string, name: string, url: string, method = "GET"): Promise<string> {
  const source = `console.log(await (await fetch("${url}", { method: "${method}" })).text())`
  const command = [
    "exec",
    "-n",
    namespace,
    `deployment/${name}`,
    "-c",
    "app",
    "--",
    "/usr/bin/bun",
    "-e",
    source,
  ]
  return await cluster.kubectl(command)
}

interface Counts {
  readonly ok: number
  readonly failed: number
  readonly last: string
}

async function counted(name: string): Promise<Counts> {
  return JSON.parse(await within("default", name, "http://127.0.0.1:8080/")) as Counts
}

/** What a caller's next second of calls came to. */
async function afterReset(name: string): Promise<Counts> {
  await within("default", name, "http://127.0.0.1:8080/reset", "POST")
  await Bun.sleep(1_500)
  return await counted(name)
}

/** Sum of the series of a metric that have all these labels, of one of a Deployment's proxies. */
async function metric(name: string, series: string, labels: readonly string[]): Promise<number> {
  const text = await within("default", name, "http://127.0.0.1:4191/metrics")
  return text
    .split("\n")
    .filter(line => line.startsWith(`${series}{`) && labels.every(label => line.includes(label)))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)
}

async function injectLive(name: string): Promise<void> {
  const live = await cluster.kubectl(["get", "deployment", name, "-o", "yaml"])
  const { stdout, stderr } = await conduit(["inject", "-"], live)
  expect(stderr.trim()).toBe(`deployment "${name}" injected`)
  await cluster.kubectl(["apply", "--validate=strict", "-f", "-"], { input: stdout })
  await rolledOut("default", name)
}

test("conduit install | kubectl apply: every pod of the control plane is ready, with a certificate of its own", async () => {
  before = await everything()
  const { stdout } = await conduit(["install", ...INSTALL])
  const started = performance.now()
  await apply(stdout)
  const names = (await cluster.kubectl(["get", "deployments", "-n", "conduit", "--output=name"]))
    .trim()
    .split("\n")
    .map(name => name.replace("deployment.apps/", ""))
  expect(names).toContain("conduit-identity")
  await rolledOut("conduit", ...names)
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
  const items = [...workload("api", {}, 2), ...caller("web"), ...caller("plain")]
  await apply(JSON.stringify({ apiVersion: "v1", kind: "List", items }))
  await rolledOut("default", "api", "web", "plain")
  await injectLive("web")
  const { ok, failed, last } = await afterReset("web")
  expect({ failed, last }).toEqual({ failed: 0, last: "" })
  expect(ok).toBeGreaterThan(10)
  expect(await metric("web", "response_total", ['direction="outbound"', 'tls="true"'])).toBe(0)
}, 240_000)

test("a live Deployment is injected under load from inside and outside of the mesh with 0 failed requests", async () => {
  for (const name of ["web", "plain"]) await within("default", name, "http://127.0.0.1:8080/reset", "POST")
  await injectLive("api")
  await Bun.sleep(1_000)
  for (const name of ["web", "plain"]) {
    const { ok, failed, last } = await counted(name)
    expect({ name, failed, last }).toEqual({ name, failed: 0, last: "" })
    expect(ok).toBeGreaterThan(50)
    console.log(`${name}: ${ok} requests, ${failed} failed while api rolled`)
  }
}, 240_000)

test("traffic between meshed pods is mutual TLS, as both ends say, and the callee knows who called", async () => {
  await afterReset("web")
  const [server, client] = ["api", "web"].map(
    name => `${name}.default.serviceaccount.identity.conduit.cluster.local`,
  )
  const secured = ['direction="outbound"', 'tls="true"', `server_id="${server}"`]
  expect(await metric("web", "response_total", secured)).toBeGreaterThan(10)
  const known = ['direction="inbound"', 'tls="true"', `client_id="${client}"`]
  expect(await metric("api", "response_total", known)).toBeGreaterThan(5)
  const outside = ['direction="inbound"', 'tls="no_identity"']
  expect(await metric("api", "response_total", outside)).toBeGreaterThan(5)
  const ends = await within("default", "api", "http://127.0.0.1:4191/metrics")
  const [, end = "0"] = /^identity_cert_expiration_timestamp_seconds(?:\{[^}]*\})? (\S+)$/m.exec(ends) ?? []
  const hours = (Number(end) - Date.now() / 1000) / 3600
  expect(hours).toBeGreaterThan(23)
  expect(hours).toBeLessThan(25)
}, 60_000)

test("conduit stat deploy shows it", async () => {
  await using api = await cluster.forward("conduit", "deployment/conduit-api", 8085)
  const args = ["stat", "deploy", "-n", "default", "--api-addr", `127.0.0.1:${api.port}`, "-o", "json"]
  let rows: { name: string; meshed: { running: number; total: number }; success: number; rps: number }[] = []
  for (let turn = 0; turn < 20; turn++) {
    rows = JSON.parse((await conduit(args)).stdout)
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
  await apply(JSON.stringify(policy))
  const end = performance.now() + 20_000
  while ((await afterReset("plain")).ok > 0 && performance.now() < end);
  const denied = await afterReset("plain")
  expect(denied.ok).toBe(0)
  expect(denied.last).toStartWith("403")
  const let_in = await afterReset("web")
  expect({ failed: let_in.failed, last: let_in.last }).toEqual({ failed: 0, last: "" })
  const wait = ["wait", "authorizationpolicy/api-callers", "--for=condition=Accepted", "--timeout=15s"]
  await cluster.kubectl(wait)
  await cluster.kubectl(["delete", "authorizationpolicy", "api-callers"])
  while ((await afterReset("plain")).failed > 0 && performance.now() < end + 20_000);
  expect((await afterReset("plain")).failed).toBe(0)
}, 90_000)

test("uninject gives back what was there, and the pods roll out of the mesh with 0 failed requests", async () => {
  for (const name of ["web", "plain"]) await within("default", name, "http://127.0.0.1:8080/reset", "POST")
  const live = await cluster.kubectl(["get", "deployment", "api", "-o", "yaml"])
  const { stdout } = await conduit(["uninject", "-"], live)
  await cluster.kubectl(["apply", "--validate=strict", "-f", "-"], { input: stdout })
  await rolledOut("default", "api")
  await Bun.sleep(1_000)
  for (const name of ["web", "plain"]) {
    const { ok, failed, last } = await counted(name)
    expect({ name, failed, last }).toEqual({ name, failed: 0, last: "" })
    expect(ok).toBeGreaterThan(50)
  }
  const { spec } = JSON.parse(await cluster.kubectl(["get", "deployment", "api", "-o", "json"])).spec.template
  expect(spec.containers.map(({ name }: { name: string }) => name)).toEqual(["app"])
  expect({ volumes: spec.volumes, init: spec.initContainers }).toEqual({
    volumes: undefined,
    init: undefined,
  })
}, 240_000)

test("the demo shop, all of its protocols, runs in the mesh", async () => {
  await cluster.kubectl(["delete", "deployment/api", "deployment/web", "deployment/plain", "--wait=false"])
  const { stdout } = await conduit(["inject", "-"], shop())
  await apply(stdout)
  const names = async (namespace: string): Promise<string[]> =>
    (await cluster.kubectl(["get", "deployments", "-n", namespace, "--output=name"]))
      .trim()
      .split("\n")
      .map(name => name.replace("deployment.apps/", ""))
  for (const namespace of ["shop", "backend"]) await rolledOut(namespace, ...(await names(namespace)))
  await using api = await cluster.forward("conduit", "deployment/conduit-api", 8085)
  interface Edge {
    readonly from: { readonly name: string }
    readonly to: { readonly name: string }
    readonly secured: boolean
  }
  let edges: Edge[] = []
  const secured = (): Set<string> =>
    new Set(edges.filter(edge => edge.secured).map(({ from, to }) => `${from.name} ${to.name}`))
  for (let turn = 0; turn < 40 && secured().size < 8; turn++) {
    await Bun.sleep(500)
    const args = ["edges", "deploy", "-A", "--api-addr", `127.0.0.1:${api.port}`, "-o", "json"]
    edges = JSON.parse((await conduit(args)).stdout)
  }
  for (const edge of [
    "load storefront",
    "storefront catalog",
    "storefront cart",
    "storefront payments",
    "payments ledger",
    "load cart",
    "load orders",
    "load notify",
  ])
    expect([...secured()]).toContain(edge)
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

test("uninstall leaves nothing", async () => {
  await cluster.kubectl(["delete", "namespace/shop", "namespace/backend"])
  for (const name of ["api", "web", "plain"])
    await cluster.kubectl([
      "delete",
      `deployment/${name}`,
      `service/${name}`,
      `serviceaccount/${name}`,
      "--ignore-not-found",
    ])
  const { stdout } = await conduit(["uninstall"])
  await cluster.kubectl(["delete", "-f", "-"], { input: stdout })
  expect(await everything()).toEqual(before)
}, 240_000)
