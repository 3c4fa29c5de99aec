// Commands of `conduit` on a real cluster, by kubeconfig alone: through the API server to the API's pod and to proxies,
// as administrator, as somebody with a role for it, as nobody in particular; and the API asked from another pod.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { buildImages } from "../../deploy/images/mod.ts"
import { Cluster } from "./mod.ts"
import { ARCHITECTURE, TEST_IMAGES, TEST_TAG } from "./test_images.ts"

const ROOT = join(import.meta.dir, "../..")
const PEER_IMAGE = `conduit/peer:${TEST_TAG}`
const app = { name: "app", image: PEER_IMAGE, imagePullPolicy: "Never" }
/** Longest wait for what the control plane comes to by itself. */
const DEADLINE_MS = 60_000

let cluster: Cluster
const folder = mkdtempSync(join(tmpdir(), "conduit-cli-test-"))

interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number
}

function started(words: string, kubeconfig = cluster.kubeconfig) {
  const { PATH = "" } = process.env
  return Bun.spawn([process.execPath, "cli/main.ts", ...words.split(" ")], {
    cwd: ROOT,
    env: { PATH, HOME: folder, CONDUIT_DEV_USERNS: "65533", KUBECONFIG: kubeconfig },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
}

async function conduit(words: string, kubeconfig?: string): Promise<Ended> {
  const child = started(words, kubeconfig)
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

async function eventually<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
  const end = performance.now() + DEADLINE_MS
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    if (performance.now() > end) throw new Error(`waited ${DEADLINE_MS / 1000} s in vain until ${what}`)
    await Bun.sleep(300)
  }
}

async function apply(...items: object[]): Promise<void> {
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items })
  await cluster.kubectl(["apply", "--server-side", "--validate=strict", "-f", "-"], { input })
}

function deployment(name: string): object {
  const labels = { app: name }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name },
    spec: {
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: { containers: [app] } },
    },
  }
}

beforeAll(async () => {
  const images = join(folder, "images")
  mkdirSync(images)
  const [node, built] = await Promise.all([
    Cluster.up({ parts: "node" }),
    buildImages({ images: TEST_IMAGES, architectures: [ARCHITECTURE], folder: images, tag: TEST_TAG }),
  ])
  cluster = node
  for (const { path } of built) await cluster.loadImage(path)
  const printed = await conduit(`install --image-version ${TEST_TAG} --image-pull-policy Never`)
  if (printed.code !== 0) throw new Error(printed.err)
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input: printed.out })
  await apply(
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web" },
      spec: { selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
    },
    deployment("web"),
  )
  for (const name of await deployments("conduit")) {
    const { code } = await cluster.tryKubectl(["rollout", "status", name, "-n", "conduit", "--timeout=120s"])
    if (code !== 0) throw new Error(`${name} did not become ready:\n${await logs(name)}`)
  }
}, 30 * 60_000)

/** What may say why a Deployment of the control plane does not become ready. */
async function logs(name: string): Promise<string> {
  const pods = await cluster.tryKubectl(["get", "pods", "-n", "conduit", "--output=wide"])
  const own = await cluster.tryKubectl(["logs", name, "-n", "conduit", "--tail=20"])
  const events = await cluster.tryKubectl(["events", "-n", "conduit", "--types=Warning"])
  return [pods.stdout, own.stdout, own.stderr, events.stdout.split("\n").slice(-20).join("\n")].join("\n")
}

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

async function deployments(namespace: string): Promise<string[]> {
  return (await cluster.kubectl(["get", "deployments", "-n", namespace, "--output=name"])).trim().split("\n")
}

async function trustAnchors(): Promise<string> {
  const get = ["get", "configmap/conduit-identity-trust-roots", "-n", "conduit"]
  return await cluster.kubectl([...get, "--output=jsonpath={.data.ca-bundle\\.crt}"])
}

test("a kubeconfig with a client certificate is all that it takes", async () => {
  const { out, err, code } = await conduit("version")
  expect({ err, code }).toEqual({ err: "", code: 0 })
  expect(out).toMatch(/^control plane +\d+\.\d+\.\d+ \(the cluster of context ".+" of /m)
})

test("the cluster's workloads and Services are shown, each command by the same way", async () => {
  const stat = await conduit("stat deploy -o json")
  expect(JSON.parse(stat.out)).toMatchObject([{ namespace: "default", name: "web", meshed: { total: 1 } }])
  const all = JSON.parse((await conduit("stat deploy -A -o json")).out) as { name: string }[]
  expect(all.map(({ name }) => name)).toContain("conduit-api")
  const endpoints = JSON.parse((await conduit("endpoints web -o json")).out)
  expect(endpoints).toMatchObject([{ service: "web", port: 80, endpoints: [{ port: 8080 }] }])
  expect((await conduit("edges deploy")).code).toBe(0)
  expect((await conduit("policy list")).out).toContain("web")
  expect((await conduit("policy learn")).code).toBe(0)
}, 60_000)

test("kubectl finds the plugin, and passes on what was typed", async () => {
  const bin = join(folder, "bin")
  mkdirSync(bin)
  symlinkSync(join(ROOT, "cli/kubectl_main.ts"), join(bin, "kubectl-conduit"))
  symlinkSync(process.execPath, join(bin, "bun"))
  const plugin = (...words: string[]): Ended => {
    const { stdout, stderr, exitCode } = Bun.spawnSync([cluster.kubectlProgram, "conduit", ...words], {
      env: { PATH: [bin, process.env.PATH].join(delimiter), HOME: folder, KUBECONFIG: cluster.kubeconfig },
    })
    return { out: stdout.toString(), err: stderr.toString(), code: exitCode }
  }
  expect(plugin("version").out).toMatch(/^control plane +\d/m)
  expect(plugin("stat", "--help").out).toContain("Usage\n  kubectl conduit stat")
  expect(plugin("stat", "deply")).toMatchObject({ out: "", code: 2 })
}, 60_000)

test("a meshed pod's own metrics come from its proxy, which the control plane need not reach", async () => {
  const manifest = await cluster.kubectl(["get", "deployment/web", "--output=json"])
  const anchors = join(folder, "anchors.crt")
  writeFileSync(anchors, await trustAnchors())
  const flags = ["--proxy-version", TEST_TAG, "--identity-trust-anchors-file", anchors]
  const child = Bun.spawn([process.execPath, "cli/main.ts", "inject", ...flags, "-"], {
    cwd: ROOT,
    stdin: new Blob([manifest]),
    stdout: "pipe",
    stderr: "pipe",
  })
  const injected = await child.stdout.text()
  expect(await child.exited).toBe(0)
  await cluster.kubectl(["apply", "--server-side", "--force-conflicts", "-f", "-"], { input: injected })
  const text = await eventually("the proxy of web answers", async () => {
    const { out, code } = await conduit("metrics deploy/web")
    return code === 0 ? out : undefined
  })
  expect(text).toMatch(/^# pod default\/web-\S+\n/)
  expect(text).toContain("process_start_time_seconds")
}, 120_000)

test("identities are asked of proxies by the API, over the network of pods", async () => {
  const rows = await eventually("the proxy has its certificate", async () => {
    const { out } = await conduit("identity deploy/web -o json")
    const found = out === "" ? [] : (JSON.parse(out) as { state: string; identity: string | null }[])
    return found.some(({ state }) => state === "valid") ? found : undefined
  })
  expect(rows.find(({ state }) => state === "valid")?.identity).toBe(
    "default.default.serviceaccount.identity.conduit.cluster.local",
  )
}, 120_000)

test("who has no right to it is told which one is missing; the role conduit-viewer is enough", async () => {
  const jo = await cluster.kubeconfigOf({ user: "jo" })
  const refused = await conduit("stat deploy", jo)
  expect(refused.code).toBe(1)
  expect(refused.err).toMatch(
    /does not let you: .+ is forbidden: User "jo" cannot (list|get) resource "(pods|configmaps)"/,
  )
  await cluster.kubectl([
    "create",
    "rolebinding",
    "jo",
    "-n",
    "conduit",
    "--role=conduit-viewer",
    "--user=jo",
  ])
  const { out } = await eventually("the binding holds", async () => {
    const answer = await conduit("stat deploy -o json", jo)
    return answer.code === 0 ? answer : undefined
  })
  expect(JSON.parse(out)[0].name).toBe("web")
  const metrics = await conduit("metrics deploy/web", jo)
  expect(metrics.err).toContain(
    'User "jo" cannot list resource "pods" in API group "" in the namespace "default"',
  )
  const elsewhere = await conduit("stat deploy -c elsewhere", jo)
  expect(elsewhere.err).toContain('in the namespace "elsewhere"')
}, 90_000)

test("the dashboard is a forward to its pod, asks the API by its own right, and serves nobody who comes another way", async () => {
  const child = started("dashboard --no-open --port 0")
  try {
    const { value } = await child.stdout.getReader().read()
    const url = new TextDecoder().decode(value).trim()
    const page = await fetch(url, { headers: { "accept-encoding": "br" } })
    expect([page.status, page.headers.get("content-encoding")]).toEqual([200, "br"])
    expect(await page.text()).toContain('<div id="root">')
    const ask = async (call: string, body: object): Promise<[number, string]> => {
      const headers = { "content-type": "application/json" }
      const path = `${url}conduit.api.v1.ApiService/${call}`
      const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body) })
      return [answer.status, await answer.text()]
    }
    const [status, stat] = await ask("Stat", { target: { kind: "deployment" } })
    expect([status, stat]).toEqual([200, expect.stringContaining('"conduit-web"')])
    expect((await ask("ProxyMetrics", {}))[0]).toBe(404)
  } finally {
    child.kill("SIGINT")
  }
  expect(await child.exited).toBe(0)
  const look = `fetch("http://conduit-web.conduit:8084/", { headers: { host: "127.0.0.1" } })
    .then(async answer => console.log(answer.status, await answer.text()))`
  const other = await cluster.kubectl([
    "exec",
    "deployment/web",
    "-c",
    "app",
    "--",
    "/usr/bin/bun",
    "-e",
    look,
  ])
  expect(other).toContain("403 conduit: the dashboard shows the whole mesh")
}, 60_000)

test("in a pod the cluster around it is asked, as the pod's service account", async () => {
  const idle = ["/usr/bin/bun", "-e", "setInterval(() => {}, 1_000_000)"]
  const image = `conduit/cli:${TEST_TAG}`
  await apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "looker" } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "looker" },
      spec: {
        serviceAccountName: "looker",
        containers: [{ name: "cli", image, imagePullPolicy: "Never", command: idle }],
      },
    },
  )
  await cluster.kubectl(["wait", "pod/looker", "--for=condition=Ready", "--timeout=60s"])
  const look = ["exec", "pod/looker", "--", "/usr/bin/bun", "/app/cli.js", "version"]
  expect((await cluster.tryKubectl(look)).stderr).toContain("system:serviceaccount:default:looker")
  const bind = ["create", "rolebinding", "looker", "-n", "conduit", "--role=conduit-viewer"]
  await cluster.kubectl([...bind, "--serviceaccount=default:looker"])
  const text = await eventually("the binding holds", async () => {
    const { code, stdout } = await cluster.tryKubectl(look)
    return code === 0 ? stdout : undefined
  })
  expect(text).toContain("(the cluster of the pod's service account)")
}, 90_000)

test("conduit that is not there is told", async () => {
  const { err, code } = await conduit("stat deploy -c nowhere")
  expect(code).toBe(1)
  expect(err).toContain('conduit is not installed in namespace "nowhere"')
})

/** Asks the API from a pod, over HTTP/2; gives the status and the body. @param token  path of a file in the pod */
async function askFromPod(scheme: "http" | "https", token: string): Promise<string> {
  const source = `
    const { connect } = require("node:http2")
    const { readFileSync } = require("node:fs")
    const session = connect("${scheme}://conduit-api.conduit.svc.cluster.local:8085", {
      ca: ${JSON.stringify(await trustAnchors())},
      servername: "conduit-api.conduit.serviceaccount.identity.conduit.cluster.local",
    })
    session.on("error", error => { console.log(error.message); process.exit() })
    const stream = session.request({
      ":method": "POST",
      ":path": "/conduit.api.v1.ApiService/Version",
      "content-type": "application/json",
      ...(${JSON.stringify(token)} === "" ? {} : { authorization: "Bearer " + readFileSync(${JSON.stringify(token)}, "utf8") }),
    })
    let text = ""
    stream.on("response", headers => { text = headers[":status"] + " " })
    stream.on("data", chunk => { text += chunk })
    stream.on("end", () => { console.log(text); process.exit() })
    stream.end("{}")`
  return (await cluster.kubectl(["exec", "pod/ci", "--", "/usr/bin/bun", "-e", source])).trim()
}

test("from another pod the API answers over TLS only, to a service account that proves itself and that RBAC lets", async () => {
  const token = { serviceAccountToken: { audience: "api.conduit.io", path: "token", expirationSeconds: 600 } }
  await apply(
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "ci" } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "ci" },
      spec: {
        serviceAccountName: "ci",
        containers: [{ ...app, volumeMounts: [{ name: "api", mountPath: "/api" }] }],
        volumes: [{ name: "api", projected: { sources: [token] } }],
      },
    },
  )
  await cluster.kubectl(["wait", "pod/ci", "--for=condition=Ready", "--timeout=60s"])
  const own = "/api/token"
  expect(await askFromPod("http", own)).toStartWith("401 ")
  expect(await askFromPod("https", "")).toContain("the caller did not prove who it is")
  const forApiServer = "/var/run/secrets/kubernetes.io/serviceaccount/token"
  expect(await askFromPod("https", forApiServer)).toMatch(/^401 .*the token does not hold/)
  expect(await askFromPod("https", own)).toMatch(/^403 .*default\/ci may not .*ApiService\/Version/)
  const bind = ["create", "clusterrolebinding", "ci", "--clusterrole=conduit-conduit-api-caller"]
  await cluster.kubectl([...bind, "--serviceaccount=default:ci"])
  const answer = await eventually("the binding holds", async () => {
    const text = await askFromPod("https", own)
    return text.startsWith("200 ") ? text : undefined
  })
  expect(answer).toContain('"controlPlane"')
}, 120_000)

test("an API whose identity does not hold under the mesh's anchors is not asked", async () => {
  const before = await trustAnchors()
  const { authority } = await cluster.issue({ user: "x" })
  const put = async (bundle: string): Promise<void> => {
    const patch = JSON.stringify({ data: { "ca-bundle.crt": bundle } })
    await cluster.kubectl([
      "patch",
      "configmap/conduit-identity-trust-roots",
      "-n",
      "conduit",
      "--patch",
      patch,
    ])
  }
  await put(authority)
  try {
    const { err, code } = await conduit("stat deploy")
    expect(code).toBe(1)
    expect(err).toMatch(/pod conduit\/conduit-api-\S+ did not prove to be conduit-api of this mesh/)
  } finally {
    await put(before)
  }
}, 60_000)

test("--watch goes on when the API's pod is deleted, and says so", async () => {
  const child = started("stat deploy -w -o json")
  const told: string[] = []
  const read = async (): Promise<void> => {
    for await (const chunk of child.stdout) told.push(Buffer.from(chunk).toString())
  }
  const reading = read()
  try {
    await eventually("it shows something", async () => (told.length >= 2 ? true : undefined))
    await cluster.kubectl(["delete", "pods", "-n", "conduit", "-l", "conduit.io/control-plane-component=api"])
    const before = told.length
    await eventually("it shows more", async () => (told.length >= before + 2 ? true : undefined))
  } finally {
    child.kill("SIGINT")
  }
  await reading
  expect(await child.exited).toBe(130)
  const lines = (await child.stderr.text()).trim().split("\n")
  expect(lines[0]).toMatch(/^conduit: the connection to pod conduit\/conduit-api-\S+ was lost \(/)
}, 120_000)

test("an API server that is away is told in one sentence, and that traffic goes on", async () => {
  await cluster.part("kube-apiserver").stop()
  const { err, code } = await conduit("stat deploy")
  expect(code).toBe(1)
  expect(err.trim().split("\n")).toHaveLength(1)
  expect(err).toContain("cannot be reached (")
  expect(err).toContain("; traffic of the mesh goes on without it")
  cluster.part("kube-apiserver").start()
  await cluster.apiReady()
  expect((await conduit("stat deploy")).code).toBe(0)
}, 180_000)
