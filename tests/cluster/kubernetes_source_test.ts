// The Kubernetes source against a real API server: the table of cases of every source, and what networks, restarts,
// rights and time do to watches.
import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import type { KubernetesObject } from "../../control/cluster/source_cases.ts"
import { SOURCE_CASES } from "../../control/cluster/source_cases.ts"
import { type KubernetesOptions, KubernetesSource } from "../../control/kubernetes/mod.ts"
import { crds } from "../../deploy/install/mod.ts"
import { KubeApi, KubeError, kubeconfigCredentials } from "../../deploy/kubernetes/mod.ts"
import { CutLink } from "./cut_link.ts"
import { gatewayCrds } from "./gateway_api.ts"
import { Cluster } from "./mod.ts"
import { putObject, removeObject } from "./put_object.ts"

/** Cases that the API server itself forbids, or that its set-up here has no part for. */
const NOT_HERE: readonly string[] = [
  // The test cluster has one address family.
  "a dual-stack Service leads to addresses of the family that was connected to",
  // Served through the slices that a controller mirrors; see below.
  "a Service without selector is served by its Endpoints object",
  // The API server refuses digits in quotes as a port, and probes of init containers.
  "several ports lead each to its own target; without targetPort the port is its own target",
  "probes are those of containers and native sidecars, with named ports, each once",
  // The API server takes no objects of kinds that it does not know.
  "kinds that are not known are left alone",
  "policies of another mesh's API group are left alone",
]
const WAIT_MS = 20_000
const NAMESPACE = "shop"

let cluster: Cluster
let admin: KubeApi
const running: KubernetesSource[] = []

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  admin = new KubeApi(await kubeconfigCredentials(cluster.kubeconfig, ""))
  await cluster.kubectl(["create", "namespace", NAMESPACE])
  await until(async () => (await cluster.tryKubectl(["get", "sa", "default", "-n", NAMESPACE])).code === 0)
  // Controllers would tidy away pods without nodes and owners.
  await cluster.part("kube-controller-manager").stop()
}, 30 * 60_000)

afterAll(async () => {
  for (const source of running) source.stop()
  await cluster?.[Symbol.asyncDispose]()
})

async function until(isSo: () => boolean | Promise<boolean>, waitMs = WAIT_MS): Promise<void> {
  const end = performance.now() + waitMs
  while (!(await isSo())) {
    if (performance.now() > end) throw new Error(`waited ${waitMs} ms in vain: ${isSo}`)
    await Bun.sleep(10)
  }
}

/** Controllers are stopped, so the cluster's own wait would take them for fallen. */
async function apiAnswers(): Promise<void> {
  await until(
    () =>
      admin.call({ path: "/readyz" }).then(
        () => true,
        error => error instanceof KubeError && error.status === 200,
      ),
    60_000,
  )
}

async function startSource(
  kubeconfig = cluster.kubeconfig,
  options: KubernetesOptions = {},
): Promise<KubernetesSource> {
  const api = new KubeApi(await kubeconfigCredentials(kubeconfig, ""))
  const source = new KubernetesSource(api, { absentPauseMs: 200, ...options })
  running.push(source)
  source.start()
  return source
}

async function sourceOver(link: CutLink, options: KubernetesOptions = {}): Promise<KubernetesSource> {
  const path = `${cluster.kubeconfig}.link`
  writeFileSync(path, readFileSync(cluster.kubeconfig, "utf8").replaceAll(cluster.server, link.address))
  const source = await startSource(path, options)
  await until(() => source.store.synced)
  return source
}

function messages(source: KubernetesSource): string[] {
  return source.problems().map(({ message }) => message)
}

function totalOf(source: KubernetesSource, what: "lists" | "watches"): number {
  return [...source.counts().values()].reduce((sum, counts) => sum + counts[what], 0)
}

function pod(name: string, labels: Record<string, string> = { app: "web" }): KubernetesObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: NAMESPACE, labels },
    spec: { containers: [{ name: "app", image: "app:1", ports: [{ containerPort: 8080 }] }] },
  }
}

async function applyCrds(): Promise<void> {
  for (const input of [JSON.stringify(listOf(crds())), await gatewayCrds()])
    await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input })
  await cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"])
}

function listOf(items: readonly unknown[]): object {
  return { apiVersion: "v1", kind: "List", items }
}

describe("as every source", () => {
  let source: KubernetesSource

  beforeAll(async () => {
    await applyCrds()
    source = await startSource()
    await until(() => source.store.synced && source.notCurrent().length === 0)
  }, 60_000)

  for (const { name, steps } of SOURCE_CASES.filter(one => !NOT_HERE.includes(one.name))) {
    test(name, async () => {
      const made = new Map<string, KubernetesObject>()
      try {
        for (const { put = [], remove = [], ask, answer } of steps) {
          for (const object of put) {
            made.set(`${object.kind}/${object.metadata.name}`, object)
            await putObject(admin, object)
            // Ages are told apart by the second.
            if (object.metadata.creationTimestamp !== undefined) await Bun.sleep(1_100)
          }
          for (const object of remove) await removeObject(admin, object)
          await until(() => Bun.deepEquals(ask(source.store), answer), 5_000).catch(() => {})
          expect(ask(source.store)).toEqual(answer)
          expect(source.problems()).toEqual([])
        }
      } finally {
        for (const object of made.values()) await removeObject(admin, object)
        await until(() => [...source.store.pods(NAMESPACE)].length === 0)
      }
    }, 60_000)
  }
})

test("a watch that is reset goes on where it was, without a new list", async () => {
  using link = await CutLink.to(cluster.server)
  const source = await sourceOver(link)
  const lists = totalOf(source, "lists")
  for (let round = 0; round < 5; round++) {
    link.cut()
    await putObject(admin, pod(`cut-${round}`))
    await until(() => source.store.pod(NAMESPACE, `cut-${round}`) !== undefined)
  }
  expect(totalOf(source, "lists")).toBe(lists)
  for (let round = 0; round < 5; round++) await removeObject(admin, pod(`cut-${round}`))
  await until(() => source.store.pod(NAMESPACE, "cut-4") === undefined)
  source.stop()
}, 60_000)

test("a connection that is dead without saying so is noticed by its silence", async () => {
  using link = await CutLink.to(cluster.server)
  const source = await sourceOver(link, { silenceMs: 3_000 })
  link.silence()
  await putObject(admin, pod("silent"))
  await Bun.sleep(500)
  expect(source.store.pod(NAMESPACE, "silent")).toBeUndefined()
  setTimeout(() => link.pass(), 1_000)
  await until(() => source.store.pod(NAMESPACE, "silent") !== undefined)
  await removeObject(admin, pod("silent"))
  source.stop()
}, 60_000)

test("the API server away for 20 s: the last state stays, the problem is told, and each kind lists at most once after", async () => {
  await putObject(admin, pod("stays"))
  const source = await startSource()
  await until(() => source.store.pod(NAMESPACE, "stays") !== undefined && source.store.synced)
  const lists = totalOf(source, "lists")
  await cluster.part("kube-apiserver").stop()
  await Bun.sleep(20_000)
  expect(source.store.pod(NAMESPACE, "stays")).toBeDefined()
  expect(messages(source).join("\n")).toContain("cannot be reached")
  expect(messages(source).length).toBe(1)
  cluster.part("kube-apiserver").start()
  await apiAnswers()
  await putObject(admin, pod("after"))
  await until(() => source.store.pod(NAMESPACE, "after") !== undefined, 60_000)
  await until(() => source.problems().length === 0, 60_000)
  expect(totalOf(source, "lists") - lists).toBeLessThanOrEqual(source.counts().size)
  await removeObject(admin, pod("stays"))
  await removeObject(admin, pod("after"))
  source.stop()
}, 180_000)

test("a place in the history that is gone (410) is followed by one list, and nothing is lost", async () => {
  using link = await CutLink.to(cluster.server)
  await putObject(admin, pod("goes"))
  const source = await sourceOver(link)
  const before = source.counts().get("pods")?.lists ?? 0
  link.block()
  await removeObject(admin, pod("goes"))
  await putObject(admin, pod("comes"))
  // A new API server remembers nothing of before its start.
  await cluster.part("kube-apiserver").stop()
  cluster.part("kube-apiserver").start()
  await apiAnswers()
  link.pass()
  await until(() => source.store.pod(NAMESPACE, "comes") !== undefined, 60_000)
  expect(source.store.pod(NAMESPACE, "goes")).toBeUndefined()
  expect((source.counts().get("pods")?.lists ?? 0) - before).toBe(1)
  await removeObject(admin, pod("comes"))
  source.stop()
}, 180_000)

test("a kind that RBAC forbids is named, with what does not work without it; the others are read", async () => {
  const kubeconfig = await cluster.kubeconfigOf({ user: "partial", groups: ["readers"] })
  const rules = [
    { apiGroups: [""], resources: ["services", "pods", "namespaces"], verbs: ["get", "list", "watch"] },
    { apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"] },
    { apiGroups: ["apps"], resources: ["*"], verbs: ["list", "watch"] },
    { apiGroups: ["batch"], resources: ["*"], verbs: ["list", "watch"] },
    {
      apiGroups: ["policy.conduit.io", "conduit.io", "gateway.networking.k8s.io"],
      resources: ["*"],
      verbs: ["list", "watch"],
    },
  ]
  const rbac = "rbac.authorization.k8s.io"
  const role = {
    apiVersion: `${rbac}/v1`,
    kind: "ClusterRole",
    metadata: { name: "partial" },
    rules,
  }
  const binding = {
    apiVersion: `${rbac}/v1`,
    kind: "ClusterRoleBinding",
    metadata: { name: "partial" },
    roleRef: { apiGroup: rbac, kind: "ClusterRole", name: "partial" },
    subjects: [{ apiGroup: rbac, kind: "User", name: "partial" }],
  }
  await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(listOf([role, binding])) })
  const source = await startSource(kubeconfig)
  await until(() => source.store.synced)
  expect(source.notCurrent()).toEqual(["nodes"])
  expect(messages(source)).toEqual([
    expect.stringMatching(
      /^does not let us list nodes \(.*User "partial".*\); without it zones are not known;/,
    ),
  ])
  const whole = { ...role, rules: [...rules, { apiGroups: [""], resources: ["nodes"], verbs: ["*"] }] }
  await cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(whole) })
  await until(() => source.problems().length === 0, 60_000)
  source.stop()
}, 120_000)

test("without the right to read pods nothing is answered", async () => {
  const kubeconfig = await cluster.kubeconfigOf({ user: "nobody", groups: ["nobodies"] })
  const source = await startSource(kubeconfig)
  await until(() => messages(source).some(message => message.startsWith("does not let us list pods")))
  await Bun.sleep(300)
  expect(source.store.synced).toBe(false)
  source.stop()
}, 60_000)

test("a CRD that goes takes its objects along, and one that comes is read, without a restart", async () => {
  const policy: KubernetesObject = {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name: "p", namespace: NAMESPACE },
    spec: {
      target: { kind: "Deployment", name: "web" },
      action: "Allow",
      rules: [{ from: [{ namespaces: [NAMESPACE] }] }],
    },
  }
  await applyCrds()
  const source = await startSource()
  await until(() => source.store.synced)
  await putObject(admin, policy)
  const count = (): number => [...source.store.policies(NAMESPACE)].length
  await until(() => count() === 1)
  await cluster.kubectl(["delete", "crd", "authorizationpolicies.policy.conduit.io"])
  await until(() => count() === 0 && source.notCurrent().includes("authorizationpolicies"))
  expect(source.problems()).toEqual([])
  await applyCrds()
  await putObject(admin, policy)
  await until(() => count() === 1)
  source.stop()
}, 120_000)

describe("2,000 pods", () => {
  const PODS = 2_000

  beforeAll(async () => {
    for (let first = 0; first < PODS; first += 50) {
      const names = Array.from({ length: 50 }, (_, index) => `many-${first + index}`)
      await Promise.all(names.map(name => putObject(admin, pod(name))))
    }
  }, 300_000)

  test("are read in little time and memory", async () => {
    Bun.gc(true)
    const heapBefore = process.memoryUsage().heapUsed
    const begunMs = performance.now()
    const source = await startSource()
    await until(() => source.store.synced)
    const tookMs = performance.now() - begunMs
    Bun.gc(true)
    const bytes = process.memoryUsage().heapUsed - heapBefore
    console.log(`${PODS} pods: synced in ${Math.round(tookMs)} ms, ${Math.round(bytes / PODS)} bytes a pod`)
    expect([...source.store.pods(NAMESPACE)].length).toBe(PODS)
    expect(tookMs).toBeLessThan(10_000)
    expect(bytes / PODS).toBeLessThan(8_000)
    source.stop()
  }, 60_000)

  test("churn at random while the link is cut: the store ends equal to a fresh list", async () => {
    using link = await CutLink.to(cluster.server)
    const source = await sourceOver(link)
    let seed = Number(process.env.CONDUIT_TEST_SEED ?? 20_261_125)
    const random = (): number => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
      return seed / 2 ** 32
    }
    for (let round = 0; round < 300; round++) {
      const name = `many-${Math.floor(random() * (PODS + 200))}`
      const dice = random()
      if (dice < 0.4) await removeObject(admin, pod(name))
      else await putObject(admin, pod(name, { app: "web", round: String(round) }))
      if (dice > 0.95) link.cut()
    }
    const fresh = await startSource()
    await until(() => fresh.store.synced)
    const seen = (one: KubernetesSource): string[] =>
      [...one.store.pods(NAMESPACE)]
        .map(({ name, labels, createdMs }) => `${name} ${labels.get("round") ?? ""} ${createdMs}`)
        .sort()
    await until(() => Bun.deepEquals(seen(source), seen(fresh)), 30_000).catch(() => {})
    expect(seen(source)).toEqual(seen(fresh))
    source.stop()
    fresh.stop()
  }, 300_000)
})
