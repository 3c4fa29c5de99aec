// Pods of the real cluster: names, logs and exec; our images, and the redirect and the proxy as inject puts them there.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildImages } from "../../deploy/images/mod.ts"
import { inject } from "../../deploy/inject/mod.ts"
import { Cluster } from "./mod.ts"
import { ARCHITECTURE, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

let cluster: Cluster
let outside: Bun.Server<undefined>

const PEER_IMAGE = `conduit/peer:${TEST_TAG}`
const app = { name: "app", image: PEER_IMAGE, imagePullPolicy: "Never" }

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-node-test-"))
  try {
    const [started, images] = await Promise.all([
      Cluster.up({ parts: "node" }),
      buildImages({ images: TEST_IMAGES, architectures: [ARCHITECTURE], folder, tag: TEST_TAG }),
    ])
    cluster = started
    for (const { path } of images) await cluster.loadImage(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
  outside = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("from outside") })
  const [address, port] = (await cluster.invite(outside.port ?? 0)).split(":")
  await apply(
    deployment("web", { containers: [app] }, 2),
    service("web", { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] }),
    service("web-pods", { clusterIP: "None", selector: { app: "web" }, ports: [{ port: 8080 }] }),
    service("elsewhere", { type: "ExternalName", externalName: "web.default.svc.cluster.local" }),
    service("outside", { ports: [{ port: 80 }] }),
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: "outside", labels: { "kubernetes.io/service-name": "outside" } },
      addressType: "IPv4",
      endpoints: [{ addresses: [address] }],
      ports: [{ port: Number(port) }],
    },
    deployment("plain", { containers: [app] }),
    meshed("caller"),
  )
  for (const name of ["web", "plain"]) await cluster.kubectl(["rollout", "status", `deployment/${name}`])
  await cluster.kubectl([
    "wait",
    "pod",
    "--selector=app=caller",
    "--for=jsonpath={.status.phase}=Running",
    "--timeout=60s",
  ])
}, 30 * 60_000)

afterAll(async () => {
  outside?.stop(true)
  await cluster?.[Symbol.asyncDispose]()
})

function service(name: string, spec: object): object {
  return { apiVersion: "v1", kind: "Service", metadata: { name }, spec }
}

function deployment(name: string, spec: object, replicas = 1): object {
  const labels = { app: name }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: { replicas, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
  }
}

/** A Deployment as inject makes it, for a mesh whose control plane is not there. */
function meshed(name: string): object {
  const labels = { app: name }
  const { template, injected } = inject(
    { metadata: { labels }, spec: { containers: [app] } },
    {
      namespace: "default",
      workload: { kind: "Deployment", name },
      byDefault: "enabled",
      conduitNamespace: "conduit",
      version: TEST_TAG,
      nativeSidecar: false,
    },
  )
  if (!injected) throw new Error("inject left it as it was")
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: { selector: { matchLabels: labels }, template },
  }
}

async function apply(...items: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items })
  await cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", "-"], { input })
}

/** Runs TypeScript in a pod of a Deployment; gives what it printed. */
async function within(name: string, source: string): Promise<string> {
  const command = ["exec", `deployment/${name}`, "--container=app", "--", "/usr/bin/bun", "-e", source]
  return (await cluster.kubectl(command)).trim()
}

function fetchText(url: string): string {
  return `console.log(await (await fetch("${url}", { signal: AbortSignal.timeout(10000) })).text())`
}

test("Services, headless Services and ExternalNames resolve", async () => {
  const lookup = (name: string): string =>
    `console.log((await require("node:dns/promises").resolve4("${name}")).sort().join(" "))`
  const ip = await cluster.kubectl(["get", "service/web", "--output=jsonpath={.spec.clusterIP}"])
  expect(await within("plain", lookup("web.default.svc.cluster.local"))).toBe(ip)
  const pods = await cluster.kubectl([
    "get",
    "pods",
    "--selector=app=web",
    "--output=jsonpath={.items[*].status.podIP}",
  ])
  expect(await within("plain", lookup("web-pods.default.svc.cluster.local"))).toBe(
    pods.split(" ").sort().join(" "),
  )
  expect(await within("plain", lookup("elsewhere.default.svc.cluster.local"))).toBe(ip)
})

test("a Service leads to its pods, by a short name", async () => {
  expect(await within("plain", fetchText("http://web/"))).toMatch(/^web-/)
})

test("kubectl logs tells what a container wrote", async () => {
  await within("plain", fetchText("http://127.0.0.1:8080/written"))
  expect(await cluster.kubectl(["logs", "deployment/plain"])).toContain("GET /written")
})

test("the init container redirected the pod with NET_ADMIN and NET_RAW alone, and ended", async () => {
  const pod = JSON.parse(await cluster.kubectl(["get", "pods", "--selector=app=caller", "--output=json"]))
    .items[0]
  const [init] = pod.status.initContainerStatuses
  expect({ name: init.name, reason: init.state.terminated?.reason }).toEqual({
    name: "conduit-init",
    reason: "Completed",
  })
  expect(pod.spec.initContainers[0].securityContext.capabilities).toEqual({
    add: ["NET_ADMIN", "NET_RAW"],
    drop: ["ALL"],
  })
})

test("the proxy runs as user 2102 on a read-only root", async () => {
  const status = await cluster.kubectl([
    "exec",
    "deployment/caller",
    "--container=conduit-proxy",
    "--",
    "/usr/bin/bun",
    "-e",
    'console.log(process.getuid(), await Bun.write("/app/x", "x").then(() => "wrote", error => error.code))',
  ])
  expect(status.trim()).toBe("2102 EROFS")
})

test("without a control plane a meshed pod still reaches an unmeshed Service and the outside, through its proxy", async () => {
  expect(await within("caller", fetchText("http://web/"))).toMatch(/^web-/)
  expect(await within("caller", fetchText("http://outside/"))).toBe("from outside")
  const metrics = await within("caller", fetchText("http://127.0.0.1:4191/metrics"))
  const opened = metrics
    .split("\n")
    .filter(line => line.startsWith("tcp_open_total{") && line.includes('direction="outbound"'))
  expect(opened.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)).toBeGreaterThanOrEqual(2)
})

test("a meshed pod is reached from outside the mesh, through its proxy", async () => {
  const address = await cluster.kubectl([
    "get",
    "pods",
    "--selector=app=caller",
    "--output=jsonpath={.items[0].status.podIP}",
  ])
  expect(await within("plain", fetchText(`http://${address}:8080/`))).toMatch(/^caller-/)
  const metrics = await within("caller", fetchText("http://127.0.0.1:4191/metrics"))
  expect(metrics).toMatch(/^request_total\{[^}]*direction="inbound"/m)
})
