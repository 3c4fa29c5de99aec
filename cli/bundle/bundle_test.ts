// `conduit diagnostics bundle` against a cluster that is full of secrets: they are in none of its files, whatever else is.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { FakeApiServer } from "../../deploy/kubernetes/lab.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const SECRET = "hunter2-PLANTED"
const SECRETS = [
  `-----BEGIN PRIVATE KEY-----\n${SECRET}\n-----END PRIVATE KEY-----`,
  `Bearer ${SECRET}`,
  `/pay?card_token=${SECRET}`,
  `postgres://jo:${SECRET}@db/x`,
]
const OWN = "/api/v1/namespaces/conduit"

let cluster: FakeApiServer
let admin: Server
let folder = ""

function pod(namespace: string, name: string, containers: readonly string[]): object {
  return {
    metadata: {
      ...{ namespace, name, labels: { "conduit.io/control-plane-ns": "conduit" } },
      annotations: { "kubectl.kubernetes.io/last-applied-configuration": SECRET },
    },
    spec: {
      containers: containers.map(one => ({ name: one, env: [{ name: "GREETING", value: SECRET }] })),
    },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-bundle-"))
  cluster = await FakeApiServer.start()
  admin = createServer((request, response) => {
    const text = request.url === "/metrics" ? "up 1\n" : JSON.stringify({ connected: true })
    response.end(`${text}${request.url === "/metrics" ? `# ${SECRETS.join(" ")}\n` : ""}`)
  })
  await new Promise<void>(resolve => admin.listen(0, "127.0.0.1", resolve))
  const { port } = admin.address() as AddressInfo
  const planes = [pod("conduit", "conduit-policy-1", ["policy"])]
  cluster.answers.set(`${OWN}/pods`, { items: planes })
  cluster.answers.set("/api/v1/pods", { items: [pod("shop", "web-1", ["app", "conduit-proxy"])] })
  cluster.answers.set(`${OWN}/secrets`, { items: [{ kind: "Secret", data: { key: SECRET } }] })
  cluster.answers.set(`${OWN}/events`, {
    items: [{ message: `pulled with ${SECRETS[1]}`, reason: "Pulled" }],
  })
  cluster.answers.set("/version", { gitVersion: "v1.33.0" })
  for (const [namespace, name] of [
    ["conduit", "conduit-policy-1"],
    ["shop", "web-1"],
  ]) {
    cluster.answers.set(`/api/v1/namespaces/${namespace}/pods/${name}/log`, { line: "started", SECRETS })
    cluster.pods.set(`${namespace}/${name}:9990`, port)
    cluster.pods.set(`${namespace}/${name}:4191`, port)
  }
})

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  admin.close()
  await cluster[Symbol.asyncDispose]()
})

async function bundle(...words: string[]) {
  const { PATH = "" } = process.env
  const child = Bun.spawn([process.execPath, MAIN, "diagnostics", "bundle", ...words], {
    env: { PATH, HOME: cluster.folder, CONDUIT_DEV_USERNS: "65533", KUBECONFIG: cluster.kubeconfig() },
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 60_000,
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

function filesIn(root: string): string[] {
  return (readdirSync(root, { recursive: true }) as string[]).filter(path =>
    statSync(join(root, path)).isFile(),
  )
}

test("with a control plane whose API does not answer, all else is in it, what is not is named, and no secret is", async () => {
  const { out, err, code } = await bundle("mesh.tar.gz")
  expect({ out, code }).toEqual({ out: "mesh.tar.gz\n", code: 0 })
  expect(err).toContain("not in the bundle: versions of the mesh: ")
  expect(statSync(join(folder, "mesh.tar.gz")).mode & 0o777).toBe(0o600)
  expect(Bun.spawnSync(["tar", "-xzf", "mesh.tar.gz"], { cwd: folder }).exitCode).toBe(0)
  const root = join(folder, "conduit-bundle")
  const files = filesIn(root)
  for (const file of [
    "README.txt",
    "check-installed.json",
    "control-plane/conduit-policy-1/metrics.txt",
    "control-plane/conduit-policy-1/policy.log",
    "kubernetes/pods.json",
    "kubernetes/kubernetes-events.json",
    "proxies/shop/web-1/metrics.txt",
    "proxies/shop/web-1/discovery.json",
    "proxies/shop/web-1/policy.json",
    "proxies/shop/web-1/conduit-proxy.log",
  ])
    expect(files).toContain(file)
  // What applications print is theirs.
  expect(files).not.toContain("proxies/shop/web-1/app.log")
  for (const file of files) {
    const text = readFileSync(join(root, file), "utf8")
    expect({ file, leaks: text.includes("PLANTED") }).toEqual({ file, leaks: false })
  }
  expect(readFileSync(join(root, "proxies/shop/web-1/metrics.txt"), "utf8")).toContain("up 1")
  expect(readFileSync(join(root, "README.txt"), "utf8")).toContain("Not in it:")
}, 90_000)

test("a folder is written as well, and what is there already is not touched", async () => {
  expect((await bundle("there")).code).toBe(0)
  expect(filesIn(join(folder, "there"))).toContain("README.txt")
  expect(await bundle("there")).toMatchObject({
    code: 1,
    err: expect.stringContaining("there is there already"),
  })
  expect(await bundle("none/x.tgz")).toMatchObject({
    code: 1,
    err: expect.stringContaining("there is no folder none"),
  })
  expect(await bundle("--proxies", "many")).toMatchObject({ code: 2 })
}, 90_000)
