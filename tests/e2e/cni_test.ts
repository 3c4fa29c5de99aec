// The CNI plugin's real executable on real network namespaces, asked as a container runtime asks, with an API server that
// speaks HTTPS; its rules are held against those of conduit-init.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { kubeconfigText } from "../../deploy/cni/mod.ts"
import { putIptables, putPlugin } from "../../deploy/cni_node/mod.ts"
import { inject } from "../../deploy/inject/mod.ts"
import { redirectRules } from "../../deploy/redirect/mod.ts"
import { Lab, type Pod } from "../lab/mod.ts"

const ROOT = join(import.meta.dir, "../..")
const TOKEN = "token-of-the-plugin"
const IP = Bun.which("ip") ?? "ip"
const RESULT = { cniVersion: "1.0.0", ips: [{ address: "10.77.0.10/24" }], dns: {} }
/** Everything that a setting of the redirect can say. */
const SETTINGS = {
  "skip-inbound-ports": Array.from(
    { length: 20 },
    (_, index) => `${7000 + 3 * index}-${7001 + 3 * index}`,
  ).join(","),
  "skip-outbound-ports": "25,3306,20001",
  "proxy-uid": "3000",
}

let lab: Lab
let folder = ""
let api: Bun.Server<undefined>
/** Pods that the API server has, by namespace and name. */
const pods = new Map<string, unknown>()
let asked: string[] = []

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-cni-e2e-"))
  chmodSync(folder, 0o755)
  mkdirSync(join(folder, "bin"))
  mkdirSync(join(folder, "bare"))
  await putPlugin(join(ROOT, "deploy/cni/plugin_main.ts"), join(folder, "bin"))
  putIptables("/", join(folder, "bin"))
  await Bun.write(join(folder, "bare/conduit-cni"), Bun.file(join(folder, "bin/conduit-cni")))
  chmodSync(join(folder, "bare/conduit-cni"), 0o755)
  const validator = await Bun.build({
    entrypoints: [join(ROOT, "deploy/redirect/validate_main.ts")],
    target: "bun",
  })
  await Bun.write(join(folder, "validate.js"), validator.outputs[0] ?? "")
  const certificate = Bun.spawnSync([
    ..."openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=api".split(
      " ",
    ),
    ...[
      "-addext",
      "subjectAltName=IP:127.0.0.1",
      "-keyout",
      join(folder, "key"),
      "-out",
      join(folder, "crt"),
    ],
  ])
  expect(certificate.exitCode).toBe(0)
  api = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { key: readFileSync(join(folder, "key"), "utf8"), cert: readFileSync(join(folder, "crt"), "utf8") },
    fetch: request => {
      const { pathname } = new URL(request.url)
      asked.push(pathname)
      if (request.headers.get("authorization") !== `Bearer ${TOKEN}`)
        return new Response("{}", { status: 401 })
      const [, namespace, name] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/.exec(pathname) ?? []
      const pod = pods.get(`${namespace}/${name}`)
      return pod === undefined
        ? Response.json({ kind: "Status", code: 404 }, { status: 404 })
        : Response.json(pod)
    },
  })
  writeKubeconfig("kubeconfig", api.port ?? 0)
  // A port that nobody listens on.
  writeKubeconfig("away", 1)
  lab = await Lab.create()
}, 60_000)

afterAll(async () => {
  await lab?.[Symbol.asyncDispose]()
  await api?.stop(true)
  rmSync(folder, { recursive: true, force: true })
})

function writeKubeconfig(name: string, port: number): void {
  const authority = readFileSync(join(folder, "crt"), "utf8")
  const facts = { server: `https://127.0.0.1:${port}`, authority, token: TOKEN }
  writeFileSync(join(folder, name), kubeconfigText(facts), { mode: 0o600 })
}

/** A pod's object as the API server has it once inject has seen it. */
function injected(cni: boolean) {
  return inject(
    { metadata: {}, spec: { containers: [{ name: "web" }] } },
    {
      namespace: "shop",
      workload: { kind: "Deployment", name: "web" },
      byDefault: "enabled",
      conduitNamespace: "conduit",
      version: "1",
      nativeSidecar: true,
      cni,
      settings: SETTINGS,
    },
  ).template
}

interface Asking {
  readonly command?: string
  readonly netns?: string
  readonly kubeconfig?: string
  readonly namespace?: string
  /** Where the executable is: with iptables beside it, or alone. */
  readonly bin?: "bin" | "bare"
  /** The network that it runs in; this machine's by default. */
  readonly inside?: Pod
}

/** Runs the plugin as a runtime does: with hardly a variable, and a proxy that leads nowhere. */
async function plugin(name: string, asking: Asking = {}) {
  const { command = "ADD", kubeconfig = "kubeconfig", namespace = "shop", bin = "bin" } = asking
  const started = performance.now()
  const enter = asking.inside === undefined ? [] : [IP, "netns", "exec", asking.inside.namespace]
  const child = Bun.spawn([...enter, join(folder, bin, "conduit-cni")], {
    cwd: "/",
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: "c1",
      CNI_NETNS: asking.netns ?? `/run/netns/${name}`,
      CNI_IFNAME: "eth0",
      CNI_PATH: folder,
      CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=web`,
      HTTPS_PROXY: "http://127.0.0.1:1",
      PATH: "/nowhere",
    },
    stdin: new Blob([
      JSON.stringify({
        cniVersion: "1.0.0",
        name: "pods",
        type: "conduit-cni",
        kubeconfig: join(folder, kubeconfig),
        excludeNamespaces: ["kube-system"],
        prevResult: RESULT,
      }),
    ]),
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  const ms = performance.now() - started
  return { code, document: stdout === "" ? null : JSON.parse(stdout), stderr, ms }
}

/** The rules of both families, without counters and comments. */
async function rules(pod: Pod): Promise<string> {
  const { stdout } = await pod.run(["sh", "-c", "iptables-save -t nat; ip6tables-save -t nat"])
  return stdout.replaceAll(/^#.*\n|\[\d+:\d+\]/gm, "")
}

const PASSED = { code: 0, document: RESULT }

test.each(["bin", "bare"] as const)(
  "the plugin gives a pod the very rules of conduit-init, in IPv4 and IPv6 (%s)",
  async bin => {
    const [pod, other] = [lab.pod(`mine-${bin}`), lab.pod(`init-${bin}`)]
    pods.set("shop/web", injected(true))
    expect(await plugin(pod.namespace, { bin })).toMatchObject({ ...PASSED, stderr: "" })
    const init = injected(false).spec.initContainers?.find(one => one.name === "conduit-init")
    const program = join(ROOT, "deploy/redirect/init_main.ts")
    const ran = await other.run([process.execPath, program, ...(init?.args ?? [])])
    expect(ran).toMatchObject({ code: 0, stderr: "" })
    const made = await rules(pod)
    expect(made).toBe(await rules(other))
    expect(made.match(/--uid-owner 3000 -j RETURN/g)?.length).toBe(2)
    expect(made.match(/--to-ports 4143/g)?.length).toBe(2)
    // Asked again, as a runtime that lost the answer does.
    expect(await plugin(pod.namespace, { bin })).toMatchObject(PASSED)
    expect(await rules(pod)).toBe(made)
    expect(await plugin(pod.namespace, { bin, command: "CHECK" })).toMatchObject({ code: 0, document: null })
    await pod.run(["iptables", "-t", "nat", "-F"])
    await pod.run(["iptables", "-t", "nat", "-X"])
    const { code, document } = await plugin(pod.namespace, { bin, command: "CHECK" })
    expect({ code, msg: document.msg }).toEqual({
      code: 1,
      msg: "conduit-cni: pod shop/web: its redirect is gone",
    })
  },
  60_000,
)

test("a pod without our proxy is left alone, and nobody is asked about namespaces that are left out", async () => {
  const pod = lab.pod("plain")
  pods.set("shop/web", { metadata: {}, spec: { containers: [{ name: "web" }] } })
  expect(await plugin(pod.namespace)).toMatchObject(PASSED)
  asked = []
  pods.set("kube-system/web", injected(true))
  expect(await plugin(pod.namespace, { namespace: "kube-system" })).toMatchObject(PASSED)
  expect(asked).toEqual([])
  expect(await rules(pod)).not.toContain("CONDUIT")
}, 30_000)

test("without an API server pods pass, soon, and the log says so", async () => {
  const pod = lab.pod("away")
  const { ms, stderr, ...given } = await plugin(pod.namespace, { kubeconfig: "away" })
  expect(given).toEqual(PASSED)
  expect(stderr).toContain(
    "conduit-cni: pod shop/web passes as if it were not meshed, since it cannot be read",
  )
  expect(stderr).not.toContain(TOKEN)
  expect(ms).toBeLessThan(5_000)
  expect(await plugin(pod.namespace, { kubeconfig: "none" })).toMatchObject(PASSED)
  const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } })
  writeKubeconfig("silent", silent.port)
  const late = await plugin(pod.namespace, { kubeconfig: "silent" })
  silent.stop(true)
  expect({ code: late.code, soon: late.ms < 8_000 }).toEqual({ code: 0, soon: true })
}, 30_000)

test("a meshed pod whose network cannot be entered fails, and the node's own is never touched", async () => {
  pods.set("shop/web", injected(true))
  const gone = await plugin("", { netns: "/run/netns/gone" })
  expect(gone).toMatchObject({ code: 1, document: { code: 11 } })
  expect(gone.document.msg).toContain("network namespace /run/netns/gone cannot be opened (ENOENT)")
  const file = await plugin("", { netns: join(folder, "crt") })
  expect(file.document.msg).toContain("cannot be entered: it is none")
  // A pod of the lab is the node here, so that nothing else could be spoilt.
  const node = lab.pod("node")
  const tls = `{ key: Bun.file("${join(folder, "key")}"), cert: Bun.file("${join(folder, "crt")}") }`
  const answers = `fetch: () => Response.json(${JSON.stringify(injected(true))})`
  const source = `Bun.serve({ hostname: "127.0.0.1", port: 6443, tls: ${tls}, ${answers} }); console.log("up")`
  await node.start([process.execPath, "-e", source]).saw("up")
  writeKubeconfig("inner", 6443)
  const self = await plugin("", { netns: "/proc/self/ns/net", kubeconfig: "inner", inside: node })
  expect(self.document.msg).toContain("network namespace /proc/self/ns/net is the node's own, not a pod's")
  expect(await rules(node)).not.toContain("CONDUIT")
}, 30_000)

test("a pod that is to be repaired is found by its address, IPv4 or IPv6, and no other network is touched", async () => {
  const [wanted, other, node] = [lab.pod("wanted"), lab.pod("other"), lab.pod("itself")]
  const networks = join(folder, "networks")
  mkdirSync(networks)
  writeFileSync(join(networks, "cni-garbage"), "")
  for (const one of [other, wanted, node])
    symlinkSync(`/run/netns/${one.namespace}`, join(networks, `cni-${one.name}`))
  const repair = async (...addresses: string[]) => {
    const module = join(ROOT, "deploy/cni_node/pod_network.ts")
    const call = `redirectByAddress(${JSON.stringify(networks)}, ${JSON.stringify(addresses)}, {})`
    return await node.script(
      `import { redirectByAddress } from "${module}"; console.log(${call} ?? "redirected")`,
    )
  }
  for (const [family, address] of Object.entries({ "-4": wanted.ipv4, "-6": wanted.ipv6 })) {
    expect((await repair(address)).stdout).toBe("redirected\n")
    expect({ family, made: (await rules(wanted)).match(/--to-ports 4140/g)?.length }).toEqual({
      family,
      made: 2,
    })
    await wanted.run(["sh", "-c", "for t in iptables ip6tables; do $t -t nat -F; $t -t nat -X; done"])
  }
  // The address of the node itself, as a pod on its network would have it.
  expect((await repair(node.ipv4)).stdout).toContain(
    `no network namespace in ${networks} has the address ${node.ipv4}`,
  )
  expect((await repair("10.77.0.250")).stdout).toContain("has the address 10.77.0.250")
  for (const one of [other, wanted, node]) expect(await rules(one)).not.toContain("CONDUIT")
}, 60_000)

test("without a rule nothing passes for redirected; with them it does, for each family that the pod has", async () => {
  const pod = lab.pod("proof")
  const validator = [process.execPath, join(folder, "validate.js"), "--skip-outbound-ports=20001"]
  // Why not differs: the lab's router may say that it knows no way.
  const open = "is not redirected to the proxy"
  const neither = pod.start(validator, { uid: 2104 })
  await neither.saw(`conduit-validate: TCP to 192.0.2.1 port 20002 ${open}`)
  await neither.stop("SIGKILL")
  const text = redirectRules({ skipOutboundPorts: [{ from: 20_001, to: 20_001 }] })
  await pod.run(["iptables-restore"], { input: text })
  const half = pod.start(validator, { uid: 2104 })
  await half.saw(`conduit-validate: TCP to 2001:db8::1 port 20002 ${open}`)
  const taken = await pod.run(validator, { uid: 2104 })
  expect(taken).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("127.0.0.1 port 4140 cannot be listened on"),
  })
  await pod.run(["ip6tables-restore"], { input: text })
  expect(await half.process.exited).toBe(0)
  expect(half.stderr).toContain("conduit-validate: TCP is redirected to the proxy")
  const proxy = pod.start(validator, { uid: 2102 })
  await proxy.saw(open)
  await proxy.stop("SIGKILL")
}, 60_000)

test("the plugin costs a pod's start some hundredths of a second", async () => {
  const pod = lab.pod("fast")
  const median = async (act: () => Promise<{ ms: number }>): Promise<number> => {
    const times: number[] = []
    for (let round = 0; round < 9; round++) times.push((await act()).ms)
    return times.sort((a, b) => a - b)[4] ?? Number.NaN
  }
  pods.set("shop/web", { metadata: {}, spec: { containers: [{ name: "web" }] } })
  const plain = await median(() => plugin(pod.namespace))
  const excluded = await median(() => plugin(pod.namespace, { namespace: "kube-system" }))
  pods.set("shop/web", injected(true))
  const meshed = await median(() => plugin(pod.namespace))
  console.log(
    `plugin, median of 9: ${excluded.toFixed(0)} ms left out, ${plain.toFixed(0)} ms not meshed, ${meshed.toFixed(0)} ms meshed`,
  )
  expect(meshed).toBeLessThan(1_000)
}, 60_000)
