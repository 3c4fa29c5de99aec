// install, upgrade, prune and uninstall against a real API server, and what the rights that they grant are good for.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { KubernetesSource, Reviews } from "../../control/kubernetes/mod.ts"
import { KubeApi, serviceAccountCredentials } from "../../deploy/kubernetes/mod.ts"
import { Cluster } from "./mod.ts"

const ROOT = join(import.meta.dir, "../..")
const FLAGS = ["--ha", "--set", "networkPolicies=true"]
let cluster: Cluster
let folder = ""

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  folder = mkdtempSync(join(tmpdir(), "conduit-install-"))
}, 30 * 60_000)

afterAll(async () => {
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function conduit(...args: string[]) {
  const child = Bun.spawn([process.execPath, "cli/main.ts", ...args], {
    cwd: ROOT,
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { stdout, stderr, code }
}

/** Names of everything that an installation may have made, system's own left out. */
async function everything(): Promise<string[]> {
  const kinds =
    "namespaces,clusterroles,clusterrolebindings,crds,mutatingwebhookconfigurations,deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings,poddisruptionbudgets,networkpolicies"
  const text = await cluster.kubectl(["get", kinds, "-A", "--output=name"])
  return text.trim().split("\n").sort()
}

function api(token: string): KubeApi {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, "token"), token)
  const kubeconfig = readFileSync(cluster.kubeconfig, "utf8")
  const inline = /"?certificate-authority-data"?:\s*"?([^"\s}]+)/.exec(kubeconfig)?.[1] ?? ""
  const ca = Buffer.from(inline, "base64").toString()
  writeFileSync(join(folder, "ca.crt"), ca)
  const { hostname, port } = new URL(cluster.server)
  const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT_HTTPS: port }
  return new KubeApi(serviceAccountCredentials({ env, folder, nowMs: () => performance.now() }))
}

let before: string[] = []

test("what is printed is applied, and stands up to strict validation and a dry run on the server", async () => {
  before = await everything()
  const { stdout, code } = await conduit("install", ...FLAGS)
  expect(code).toBe(0)
  const applied = await cluster.tryKubectl(["apply", "--server-side", "--validate=strict", "-f", "-"], {
    input: stdout,
  })
  expect(applied.stderr).toBe("")
  const dry = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"]
  expect((await cluster.tryKubectl(dry, { input: stdout })).stderr).toBe("")
  expect((await cluster.tryKubectl(["diff", "--server-side", "-f", "-"], { input: stdout })).stdout).toBe("")
}, 120_000)

test("pods of the control plane are admitted by the restricted standard that the namespace enforces", async () => {
  await cluster.kubectl([
    "wait",
    "-n",
    "conduit",
    "deployment/conduit-destination",
    "--for=jsonpath={.status.replicas}=3",
    "--timeout=30s",
  ])
  const labels = await cluster.kubectl(["get", "ns", "conduit", "--output=jsonpath={.metadata.labels}"])
  expect(labels).toContain('"pod-security.kubernetes.io/enforce":"restricted"')
}, 60_000)

test("upgrade prints the same for the same release and settings, and refuses what would break", async () => {
  const [installed, upgraded] = await Promise.all([conduit("install", ...FLAGS), conduit("upgrade")])
  expect(upgraded.stderr).toBe("")
  expect(upgraded.stdout).toBe(installed.stdout)
  const refused = await conduit("upgrade", "--identity-trust-domain", "other.test")
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('the trust domain cannot change from "cluster.local" to "other.test"')
  expect((await conduit("upgrade", "-c", "nowhere")).stderr).toContain(
    "no control plane is installed in namespace",
  )
}, 60_000)

test("the service account's rights suffice to read everything, and reach no secret", async () => {
  const token = await cluster.kubectl(["create", "token", "conduit-destination", "-n", "conduit"])
  const own = api(token.trim())
  const source = new KubernetesSource(own)
  source.start()
  const end = performance.now() + 20_000
  while (!source.store.synced && performance.now() < end) await Bun.sleep(20)
  expect(source.problems()).toEqual([])
  expect(source.store.service("conduit", "conduit-api")?.ports[0]?.port).toBe(8085)
  source.stop()
  expect(own.call({ path: "/api/v1/secrets" })).rejects.toThrow("forbidden")
}, 60_000)

test("a token that kubelet renewed is used when the old one is refused", async () => {
  const own = api("stale")
  expect(own.call({ path: "/api/v1/pods" })).rejects.toMatchObject({ status: 401 })
  const token = await cluster.kubectl(["create", "token", "conduit-destination", "-n", "conduit"])
  writeFileSync(join(folder, "token"), token.trim())
  expect(await own.call({ path: "/api/v1/pods?limit=1" })).toMatchObject({ kind: "PodList" })
}, 60_000)

test("reviews say whose a token is, for its audience only, and who may do what", async () => {
  const admin = await cluster.kubectl([
    "create",
    "clusterrolebinding",
    "boss",
    "--clusterrole=cluster-admin",
    "--serviceaccount=conduit:conduit-api",
    "--output=name",
  ])
  expect(admin).toContain("boss")
  const boss = await cluster.kubectl(["create", "token", "conduit-api", "-n", "conduit"])
  const reviews = new Reviews(api(boss.trim()), () => performance.now())
  const audience = "identity.conduit.io"
  const token = (
    await cluster.kubectl(["create", "token", "conduit-policy", "-n", "conduit", `--audience=${audience}`])
  ).trim()
  expect(await reviews.token(token, audience)).toEqual({
    holds: true,
    namespace: "conduit",
    serviceAccount: "conduit-policy",
  })
  expect(await reviews.token(boss.trim(), audience)).toMatchObject({ holds: false })
  expect(await reviews.token(`${token}x`, audience)).toMatchObject({ holds: false })
  const user = "system:serviceaccount:conduit:conduit-policy"
  const asked = { user, groups: [], verb: "list", group: "", subresource: "", namespace: "", name: "" }
  expect((await reviews.access({ ...asked, resource: "pods" })).allowed).toBe(true)
  expect((await reviews.access({ ...asked, resource: "secrets" })).allowed).toBe(false)
  await cluster.kubectl(["delete", "clusterrolebinding", "boss"])
}, 60_000)

test("prune prints what other settings left over", async () => {
  const { stdout } = await conduit("upgrade", "--set", "ha=false", "--set", "networkPolicies=false")
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input: stdout })
  const pruned = await conduit("prune")
  const names = [...pruned.stdout.matchAll(/kind: (\S+)/g)].map(([, kind]) => kind).sort()
  const budget = "PodDisruptionBudget"
  expect(names).toEqual(["NetworkPolicy", budget, budget, budget, budget])
  await cluster.kubectl(["delete", "-f", "-"], { input: pruned.stdout })
  const again = await conduit("prune")
  expect(again.stdout).toBe("")
  expect(again.stderr).toContain("Nothing is left over")
}, 60_000)

test("uninstall warns while pods are meshed, and leaves nothing", async () => {
  const meshed = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", namespace: "default", labels: { "conduit.io/control-plane-ns": "conduit" } },
    spec: { containers: [{ name: "app", image: "app:1" }] },
  }
  await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(meshed) })
  const { stdout, stderr, code } = await conduit("uninstall")
  expect(code).toBe(0)
  expect(stderr).toContain("1 in default")
  await cluster.kubectl(["delete", "-f", "-"], { input: stdout })
  expect(await everything()).toEqual(before)
  const again = await conduit("uninstall")
  expect({ code: again.code, stdout: again.stdout }).toEqual({ code: 1, stdout: "" })
}, 120_000)
