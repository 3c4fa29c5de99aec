// The CNI plugin on a real node: the DaemonSet installs it, pods without any privilege are redirected, pods that came too
// early are repaired, and what it found on the node is there again when it goes.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { buildImages } from "../../deploy/images/mod.ts"
import { inject, type PodSpec } from "../../deploy/inject/mod.ts"
import { type InstallObject, installObjects, readValues } from "../../deploy/install/mod.ts"
import { Cluster } from "./mod.ts"
import { ARCHITECTURE, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

const NAMESPACE = "shop"
const RESTRICTED = {
  allowPrivilegeEscalation: false,
  runAsNonRoot: true,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
}
const app = {
  name: "app",
  image: `conduit/peer:${TEST_TAG}`,
  imagePullPolicy: "Never",
  securityContext: RESTRICTED,
}

let cluster: Cluster
/** The network configuration as it was. */
let original = ""

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-cni-test-"))
  try {
    const images = TEST_IMAGES.filter(({ name }) => ["proxy", "cni", "peer"].includes(name))
    const [started, built] = await Promise.all([
      Cluster.up({ parts: "node" }),
      buildImages({ images, architectures: [ARCHITECTURE], folder, tag: TEST_TAG }),
    ])
    cluster = started
    for (const { path } of built) await cluster.loadImage(path)
  } finally {
    rmSync(folder, { recursive: true })
  }
  original = readFileSync(conflist(), "utf8")
  await apply(
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: NAMESPACE, labels: { "pod-security.kubernetes.io/enforce": "restricted" } },
    },
    pod("plain", { containers: [app] }),
    meshed("early"),
  )
}, 30 * 60_000)

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
})

function conflist(): string {
  return join(cluster.cni.conf, "10-pods.conflist")
}

function pod(name: string, spec: PodSpec, metadata: object = {}): object {
  return { apiVersion: "v1", kind: "Pod", metadata: { ...metadata, name, namespace: NAMESPACE }, spec }
}

/** A pod as inject makes it where the plugin is, for a mesh whose control plane is not there. */
function meshed(name: string): object {
  const { template, injected } = inject(
    {
      metadata: {},
      spec: { containers: [app], initContainers: [{ ...app, name: "first", command: FETCH_PLAIN }] },
    },
    {
      namespace: NAMESPACE,
      workload: { kind: "Pod", name },
      byDefault: "enabled",
      conduitNamespace: "conduit",
      version: TEST_TAG,
      nativeSidecar: false,
      cni: true,
    },
  )
  if (!injected) throw new Error("inject left it as it was")
  return pod(name, template.spec, template.metadata)
}

/** An init container that needs the network. */
const FETCH_PLAIN = [
  "/usr/bin/bun",
  "-e",
  `const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env
   const answer = await fetch("https://" + host + ":" + port + "/version", { tls: { rejectUnauthorized: false } })
   console.log("asked", answer.status)`,
]

async function apply(...items: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items })
  await cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", "-"], { input })
}

async function getPod(name: string) {
  return JSON.parse(await cluster.kubectl(["get", "pod", name, "-n", NAMESPACE, "--output=json"]))
}

async function running(name: string): Promise<void> {
  const phase = "--for=jsonpath={.status.phase}=Running"
  const waiting = ["wait", `pod/${name}`, "-n", NAMESPACE, phase, "--timeout=90s"]
  const { code, stderr } = await cluster.tryKubectl(waiting)
  if (code === 0) return
  const log = await cluster.tryKubectl(["logs", "-n", "conduit-cni", "daemonset/conduit-cni"])
  const { status } = await getPod(name)
  throw new Error(`${stderr}\n${JSON.stringify(status, null, 2)}\n${log.stdout}${log.stderr}`)
}

/** The install's objects of the plugin; its control plane has no part in this. */
function cniObjects(): InstallObject[] {
  const cni = { enabled: true, confDir: cluster.cni.conf, binDir: cluster.cni.bin }
  const image = { version: TEST_TAG, pullPolicy: "Never" }
  const values = readValues([{ values: { cni, image }, from: "the test" }])
  const objects = installObjects({ namespace: "conduit", version: TEST_TAG, values }, "without-crds")
  return objects.filter(({ metadata }) => /-cni$/.test(metadata.name))
}

/** Waits until something is so. */
async function until(what: string, isSo: () => boolean | Promise<boolean>, ms = 60_000): Promise<void> {
  const end = performance.now() + ms
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`)
    await Bun.sleep(100)
  }
}

async function within(name: string, source: string): Promise<string> {
  const command = ["exec", name, "-n", NAMESPACE, "--container=app", "--", "/usr/bin/bun", "-e", source]
  return (await cluster.kubectl(command)).trim()
}

function fetchText(url: string): string {
  return `console.log(await (await fetch("${url}", { signal: AbortSignal.timeout(10000) })).text())`
}

/** Sum of a figure of a pod's proxy. */
async function figure(name: string, start: string, label: string): Promise<number> {
  const metrics = await within(name, fetchText("http://127.0.0.1:4191/metrics"))
  const lines = metrics.split("\n").filter(line => line.startsWith(start) && line.includes(label))
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0)
}

function typesInForce(): string[] {
  const { plugins } = JSON.parse(readFileSync(conflist(), "utf8")) as { plugins: { type: string }[] }
  return plugins.map(({ type }) => type)
}

test("a meshed pod that nobody redirected starts nothing, and says why", async () => {
  await running("plain")
  const log = ["logs", "early", "-n", NAMESPACE, "--container=conduit-validate"]
  await until("conduit-validate has tried", async () =>
    (await cluster.tryKubectl(log)).stdout.includes("waiting up to"),
  )
  expect((await cluster.kubectl(log)).split("\n")[0]).toContain(
    "conduit-validate: TCP to 192.0.2.1 port 20001 is not redirected to the proxy",
  )
  const { status } = await getPod("early")
  expect(status.phase).toBe("Pending")
  const proxy = status.initContainerStatuses.find((one: { name: string }) => one.name === "conduit-proxy")
  expect(proxy.started).toBe(false)
}, 120_000)

test("the DaemonSet puts the plugin on its node", async () => {
  await apply(...cniObjects())
  const status = ["rollout", "status", "daemonset/conduit-cni", "-n", "conduit-cni", "--timeout=90s"]
  const { code, stderr } = await cluster.tryKubectl(status)
  if (code !== 0) {
    const told = await cluster.tryKubectl(["describe", "pods", "-n", "conduit-cni"])
    const log = await cluster.tryKubectl(["logs", "-n", "conduit-cni", "daemonset/conduit-cni"])
    throw new Error(`${stderr}\n${told.stdout}\n${log.stdout}`)
  }
  expect(typesInForce()).toEqual(["bridge", "portmap", "conduit-cni"])
  expect(statSync(join(cluster.cni.bin, "conduit-cni")).mode & 0o777).toBe(0o755)
  expect(statSync(join(cluster.cni.conf, "conduit-cni-kubeconfig")).mode & 0o777).toBe(0o600)
}, 120_000)

test("the plugin's kubeconfig reads pods, and nothing else of the cluster", async () => {
  const may = async (...what: string[]): Promise<string> => {
    const who = "system:serviceaccount:conduit-cni:conduit-cni"
    return (await cluster.tryKubectl(["auth", "can-i", ...what, "-A", `--as=${who}`])).stdout.trim()
  }
  expect(await may("get", "pods")).toBe("yes")
  for (const what of [
    ["delete", "pods"],
    ["get", "secrets"],
    ["create", "pods"],
    ["list", "nodes"],
  ])
    expect({ what, may: await may(...what) }).toEqual({ what, may: "no" })
}, 60_000)

test("the pod that came too early is redirected where it is: it is the same pod", async () => {
  const before = (await getPod("early")).metadata.uid
  await running("early")
  expect((await getPod("early")).metadata.uid).toBe(before)
  const log = await cluster.kubectl(["logs", "-n", "conduit-cni", "daemonset/conduit-cni"])
  expect(log).toContain(`redirected pod ${NAMESPACE}/early, which had started without the plugin`)
}, 120_000)

test("a pod without any privilege is admitted as restricted, redirected before its first container, and not repaired", async () => {
  await apply(meshed("late"))
  await running("late")
  const { spec, status } = await getPod("late")
  const names = spec.initContainers.map((one: { name: string }) => one.name)
  expect(names).toEqual(["conduit-validate", "conduit-proxy", "first"])
  for (const { securityContext } of [...spec.initContainers, ...spec.containers]) {
    expect(securityContext.capabilities).toEqual({ drop: ["ALL"] })
    expect(securityContext).toMatchObject({ runAsNonRoot: true, allowPrivilegeEscalation: false })
  }
  const [validate] = status.initContainerStatuses
  expect({ restarts: validate.restartCount, code: validate.state.terminated.exitCode }).toEqual({
    restarts: 0,
    code: 0,
  })
  const first = await cluster.kubectl(["logs", "late", "-n", NAMESPACE, "--container=first"])
  expect(first).toMatch(/^asked \d{3}$/m)
  const log = await cluster.kubectl(["logs", "-n", "conduit-cni", "daemonset/conduit-cni"])
  expect(log).not.toContain(`${NAMESPACE}/late`)
}, 120_000)

test.each(["early", "late"])(
  "traffic from and to the pod %s goes through its proxy",
  async name => {
    const { status } = await getPod(name)
    expect(await within("plain", fetchText(`http://${status.podIP}:8080/`))).toBe(name)
    expect(await figure(name, "request_total{", 'direction="inbound"')).toBeGreaterThanOrEqual(1)
    const plain = (await getPod("plain")).status.podIP
    const before = await figure(name, "tcp_open_total{", 'direction="outbound"')
    expect(await within(name, fetchText(`http://${plain}:8080/`))).toBe("plain")
    expect(await figure(name, "tcp_open_total{", 'direction="outbound"')).toBeGreaterThan(before)
  },
  60_000,
)

test("whoever writes the network configuration anew gets the plugin again", async () => {
  original = original.replace('"hairpinMode":true', '"hairpinMode": true ')
  writeFileSync(conflist(), original)
  await until("the plugin is there again", () => typesInForce().includes("conduit-cni"), 20_000)
  await apply(meshed("later"))
  await running("later")
}, 120_000)

test("with the DaemonSet the plugin goes, byte for byte, and no meshed pod starts without a redirect", async () => {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items: cniObjects() })
  await cluster.kubectl(["delete", "--wait=true", "--timeout=90s", "-f", "-"], { input })
  expect(readFileSync(conflist(), "utf8")).toBe(original)
  expect(readdirSync(cluster.cni.conf)).toEqual(["10-pods.conflist"])
  for (const name of ["conduit-cni", "conduit-cni.d"])
    expect(existsSync(join(cluster.cni.bin, name))).toBe(false)
  expect((await getPod("late")).status.phase).toBe("Running")
  await apply(pod("plainer", { containers: [app] }), meshed("too-late"))
  await running("plainer")
  const log = ["logs", "too-late", "-n", NAMESPACE, "--container=conduit-validate"]
  await until("it waits", async () => (await cluster.tryKubectl(log)).stdout.includes("is not redirected"))
  expect((await getPod("too-late")).status.phase).toBe("Pending")
}, 180_000)
