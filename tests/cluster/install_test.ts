// install, upgrade, prune and uninstall against a real API server, and what the rights that they grant are good for.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { kubernetesReviewer } from "../../control/identity/mod.ts"
import { KubernetesSource, Reviews } from "../../control/kubernetes/mod.ts"
import { createLog } from "../../control/log.ts"
import { KubeApi, serviceAccountCredentials } from "../../deploy/kubernetes/mod.ts"
import project from "../../package.json" with { type: "json" }
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

interface EnvVar {
  readonly name: string
  readonly value?: string
}

async function conduit(...args: string[]) {
  return await conduitWith("", ...args)
}

async function conduitWith(stdin: string, ...args: string[]) {
  const child = Bun.spawn([process.execPath, "cli/main.ts", ...args], {
    cwd: ROOT,
    stdin: new Blob([stdin]),
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
/** What was installed, an authority of its own included. */
let installed = ""

test("what is printed is applied, and stands up to strict validation and a dry run on the server", async () => {
  before = await everything()
  const { stdout, code } = await conduit("install", ...FLAGS)
  expect(code).toBe(0)
  installed = stdout
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
  const upgraded = await conduit("upgrade")
  expect(upgraded.stderr).toBe("")
  expect(upgraded.stdout).toBe(installed)
  const key = /tls\.key: "?(\S+?)"?\n/.exec(installed)?.[1] ?? ""
  expect(Buffer.from(key, "base64").toString()).toStartWith("-----BEGIN PRIVATE KEY-----")
  const refused = await conduit("upgrade", "--identity-trust-domain", "other.test")
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('the trust domain cannot change from "cluster.local" to "other.test"')
  const forced = await conduit("upgrade", "--identity-trust-domain", "other.test", "--force")
  expect({ code: forced.code, domain: forced.stdout.includes("other.test") }).toEqual({
    code: 0,
    domain: true,
  })
  expect((await conduit("upgrade", "-c", "nowhere")).stderr).toContain(
    "no control plane is installed in namespace",
  )
}, 60_000)

test("a second install would cut off every proxy, and is refused unless it is wanted", async () => {
  const again = await conduit("install", ...FLAGS)
  expect({ code: again.code, stdout: again.stdout }).toEqual({ code: 1, stdout: "" })
  expect(again.stderr).toContain("conduit upgrade prints it with those that it has")
  expect((await conduit("install", "--crds")).code).toBe(0)
  expect((await conduit("install", "-c", "other")).code).toBe(0)
  expect((await conduit("install", "--ignore-cluster")).stdout).toContain("conduit-identity-issuer")
}, 60_000)

test("an installation of before there were identities gets one by its upgrade, which says what that means", async () => {
  await cluster.kubectl(["create", "namespace", "older"])
  const kept = ["--from-literal=version=0.0.1", '--from-literal=values.json={"logFormat":"json"}']
  await cluster.kubectl(["create", "configmap", "conduit-config", "-n", "older", ...kept])
  const { stdout, stderr, code } = await conduit("upgrade", "-c", "older")
  expect(code).toBe(0)
  expect(stderr).toContain("this mesh gets identities now")
  expect(stdout).toContain("name: conduit-identity-issuer")
  expect(stdout).toContain('"logFormat\\": \\"json')
  await cluster.kubectl(["delete", "namespace", "older"])
}, 60_000)

test("inject asks the cluster for anchors, domains and images, and reads no secret for it", async () => {
  const web = JSON.stringify({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web" },
    spec: { containers: [{ name: "web", image: "web:1" }] },
  })
  const rules = ["--verb=get", "--resource=configmaps"]
  await cluster.kubectl(["create", "role", "looks", "-n", "conduit", ...rules])
  await cluster.kubectl(["create", "rolebinding", "looks", "-n", "conduit", "--role=looks", "--user=jo"])
  const jo = await cluster.kubeconfigOf({ user: "jo" })
  const { stdout, stderr, code } = await conduitWith(web, "inject", "--kubeconfig", jo, "-")
  expect({ stderr: stderr.trim(), code }).toEqual({ stderr: 'pod "web" injected', code: 0 })
  const { spec } = JSON.parse(stdout)
  const proxy = spec.containers[0]
  const env = Object.fromEntries(proxy.env.map(({ name, value }: EnvVar) => [name, value]))
  const [, anchors] = /ca-bundle\.crt: ("(?:[^"\\]|\\.)*")/.exec(installed) ?? []
  expect(env.CONDUIT_PROXY_TRUST_ANCHORS.trim()).toBe(JSON.parse(anchors ?? '""').trim())
  expect(env.CONDUIT_PROXY_IDENTITY_ADDR).toBe("conduit-identity.conduit.svc.cluster.local:8080")
  expect(proxy.image).toBe(`conduit/proxy:${project.version}`)
  await cluster.kubectl(["delete", "role/looks", "rolebinding/looks", "-n", "conduit"])

  const refused = await conduitWith(web, "inject", "--kubeconfig", jo, "-")
  expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 1, stdout: "" })
  expect(refused.stderr).toContain("--ignore-cluster")
  const alone = await conduitWith(web, "inject", "--kubeconfig", jo, "--ignore-cluster", "-")
  expect({ code: alone.code, anchors: alone.stdout.includes("TRUST_ANCHORS") }).toEqual({
    code: 0,
    anchors: false,
  })
  const nowhere = await conduitWith(web, "inject", "-c", "nowhere", "-")
  expect(nowhere.code).toBe(0)
  expect(nowhere.stderr).toContain('and no control plane is installed in namespace "nowhere" of the cluster')
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

test("identity takes tokens for its audience that hold, and the API server refuses it everything else", async () => {
  const own = await cluster.kubectl(["create", "token", "conduit-identity", "-n", "conduit"])
  const asIdentity = api(own.trim())
  const lines: string[] = []
  const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
  const reviewer = kubernetesReviewer(new Reviews(asIdentity, () => performance.now()), log)
  const issue = async (...more: string[]): Promise<string> =>
    (await cluster.kubectl(["create", "token", "default", "-n", "default", ...more])).trim()
  const good = await issue("--audience=identity.conduit.io")
  expect(await reviewer.review(good)).toEqual({ namespace: "default", serviceAccount: "default" })
  const uid = await cluster.kubectl([
    "get",
    "sa/default",
    "-n",
    "default",
    "--output=jsonpath={.metadata.uid}",
  ])
  const claimed = (exp: number): string =>
    cluster.signToken({
      sub: "system:serviceaccount:default:default",
      aud: ["identity.conduit.io"],
      exp,
      iat: exp - 600,
      nbf: exp - 600,
      "kubernetes.io": { namespace: "default", serviceaccount: { name: "default", uid } },
    })
  const now = Math.floor(Date.now() / 1000)
  expect(await reviewer.review(claimed(now + 300))).toEqual({
    namespace: "default",
    serviceAccount: "default",
  })
  const bad = {
    "wrong audience": await issue("--audience=other.example"),
    "the API server's audience": await issue(),
    expired: claimed(now - 300),
    "changed by a byte": `${good.slice(0, -2)}AA`,
    garbage: "a.b.c",
    nothing: "",
  }
  for (const [what, token] of Object.entries(bad)) {
    const refused = await reviewer.review(token).then(
      () => "taken",
      error => error.reason,
    )
    expect({ what, refused }).toEqual({ what, refused: "token" })
  }
  expect(lines).toEqual([])
  expect(asIdentity.call({ path: "/api/v1/pods" })).rejects.toThrow("forbidden")
  expect(asIdentity.call({ path: "/api/v1/namespaces/conduit/secrets" })).rejects.toThrow("forbidden")
  const other = await cluster.kubectl(["create", "token", "conduit-policy", "-n", "conduit"])
  const unable = kubernetesReviewer(new Reviews(api(other.trim()), () => performance.now()), log)
  expect(unable.review(good)).rejects.toMatchObject({ reason: "unavailable" })
  await Bun.sleep(0)
  await unable.review(good).catch(() => {})
  expect(lines.length).toBe(1)
  expect(lines[0]).toContain("tokenreviews.authentication.k8s.io is forbidden")
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
  const budgets: string[] = Array(7).fill("PodDisruptionBudget")
  expect(names).toEqual(["NetworkPolicy", ...budgets])
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
