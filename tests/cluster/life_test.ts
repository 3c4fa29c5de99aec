// What lives in a namespace that says `conduit.io/inject: enabled`: pods of every kind that owns them and of none, the
// names they are called by, the probes that keep them ready, and pods that go while they are called.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { caller, eventually, INSTALL_FLAGS, Mesh, workload } from "./mesh.ts"
import type { Cluster } from "./mod.ts"
import { TEST_TAG } from "./test_images.ts"

const NAMESPACE = "town"
const IDENTITY_DOMAIN = `${NAMESPACE}.serviceaccount.identity.conduit.cluster.local`
/** Requests that are under way when a pod goes, not only such as come after. */
const TARGET = "http://api/books?wait=300"
/** web is meshed, plain has opted out, host is on the node's own network, which nothing may redirect. */
const CALLERS = ["web", "plain", "host"]
const UNMESHED = { annotations: { "conduit.io/inject": "disabled" } }
const ON_NODE = { hostNetwork: true, dnsPolicy: "ClusterFirstWithHostNet" }
/** Without a probe of its own, which would look only once a second. */
const app = { name: "app", image: `conduit/peer:${TEST_TAG}`, imagePullPolicy: "Never" }

let mesh: Mesh
let cluster: Cluster

beforeAll(async () => {
  mesh = await Mesh.up()
  cluster = mesh.cluster
  await mesh.apply((await mesh.conduit(["install", ...INSTALL_FLAGS])).stdout)
  await mesh.controlPlaneRolledOut()
  await mesh.injectedNamespace(NAMESPACE)
  await mesh.applyObjects(
    [
      ...workload(
        "api",
        { livenessProbe: { tcpSocket: { port: "http" }, periodSeconds: 1 } },
        { replicas: 3 },
      ),
      ...workload("visitor"),
      ...caller("web", TARGET),
      ...caller("plain", TARGET, UNMESHED),
      ...caller("host", TARGET, { spec: ON_NODE }),
      ...statefulSet("db"),
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "alias" },
        spec: { type: "ExternalName", externalName: `api.${NAMESPACE}.svc.cluster.local` },
      },
    ],
    NAMESPACE,
  )
  await mesh.rolledOut(NAMESPACE, "api", "visitor", ...CALLERS, "statefulset/db")
}, 30 * 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** A StatefulSet with the headless Service that names its pods. */
function statefulSet(name: string): object[] {
  const labels = { app: name }
  return [
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name } },
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name },
      spec: { clusterIP: "None", selector: labels, ports: [{ name: "http", port: 8080 }] },
    },
    {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name },
      spec: {
        serviceName: name,
        replicas: 2,
        podManagementPolicy: "Parallel",
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { serviceAccountName: name, containers: [app] } },
      },
    },
  ]
}

interface Pod {
  readonly metadata: { readonly name: string }
  readonly status: {
    readonly conditions: readonly { readonly type: string; readonly lastTransitionTime: string }[]
    readonly containerStatuses: readonly { readonly restartCount: number }[]
  }
}

async function podsOf(name: string): Promise<Pod[]> {
  const text = await cluster.kubectl(["get", "pods", "-n", NAMESPACE, "-l", `app=${name}`, "-o", "json"])
  return JSON.parse(text).items
}

/** Requests that the visitor's proxy sent, by what its series say of them. */
async function sent(...labels: string[]): Promise<number> {
  return await mesh.metric("visitor", "response_total", ['direction="outbound"', ...labels], NAMESPACE)
}

test.each([
  ["a Service's name", "http://api/", /^api-/, "api"],
  ["a StatefulSet's first pod's own name", "http://db-0.db:8080/", /^db-0$/, "db"],
  ["its second pod's whole name", `http://db-1.db.${NAMESPACE}.svc.cluster.local:8080/`, /^db-1$/, "db"],
  ["a headless Service's name", "http://db:8080/", /^db-[01]$/, "db"],
  ["an ExternalName's name", "http://alias/", /^api-/, "api"],
])(
  "%s leads to its pods, by mutual TLS",
  async (_, url, answer, account) => {
    const secured = ['tls="true"', `server_id="${account}.${IDENTITY_DOMAIN}"`]
    const before = await sent(...secured)
    expect((await mesh.within(NAMESPACE, "visitor", url)).trim()).toMatch(answer)
    expect(await sent(...secured)).toBe(before + 1)
    expect(await sent()).toBe(await sent('tls="true"'))
  },
  30_000,
)

test("a Job's first act is a call by mutual TLS, and it ends; so does what a CronJob makes", async () => {
  const source = "console.log(await (await fetch('http://api/')).text())"
  const container = { ...app, command: ["/usr/bin/bun", "-e", source] }
  const template = { spec: { serviceAccountName: "report", restartPolicy: "Never", containers: [container] } }
  // A call that fails is not made again.
  const spec = { backoffLimit: 0, template }
  await mesh.applyObjects(
    [
      { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "report" } },
      { apiVersion: "batch/v1", kind: "Job", metadata: { name: "report" }, spec },
      {
        apiVersion: "batch/v1",
        kind: "CronJob",
        metadata: { name: "night" },
        spec: { schedule: "0 0 1 1 *", jobTemplate: { spec } },
      },
    ],
    NAMESPACE,
  )
  await cluster.kubectl(["create", "job", "tonight", "--from=cronjob/night", "-n", NAMESPACE])
  for (const name of ["report", "tonight"]) {
    const wait = ["wait", `job/${name}`, "--for=condition=Complete", "--timeout=60s"]
    await cluster.kubectl([...wait, "-n", NAMESPACE])
    const logs = ["logs", `job/${name}`, "-c", "app", "-n", NAMESPACE]
    expect(await cluster.kubectl(logs)).toMatch(/^api-/)
  }
  const known = ['direction="inbound"', 'tls="true"', `client_id="report.${IDENTITY_DOMAIN}"`]
  let calls = 0
  for (const { metadata } of await podsOf("api"))
    calls += await mesh.metric(`pod/${metadata.name}`, "response_total", known, NAMESPACE)
  expect(calls).toBe(2)
}, 90_000)

test("pods that are deleted one after the other finish what they were asked: 0 failed requests", async () => {
  const pods = await podsOf("api")
  const seen = await mesh.underLoad(
    CALLERS,
    async () => {
      for (const { metadata } of pods) {
        await cluster.kubectl(["delete", "pod", metadata.name, "-n", NAMESPACE])
        await mesh.rolledOut(NAMESPACE, "api")
      }
    },
    NAMESPACE,
  )
  await mesh.expectNoFailure(`${pods.length} pods of api were deleted`, seen, NAMESPACE)
}, 180_000)

test("a plugin that is a Deployment of the mesh is asked by mutual TLS, and by nobody but the control plane", async () => {
  const space = "plugins"
  await mesh.injectedNamespace(space)
  const port = 9090
  const [account, , deployment] = workload("gate", {
    command: ["decide"],
    env: [{ name: "PORT", value: String(port) }],
    ports: [{ name: "grpc", containerPort: port }],
    readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
  })
  const ours = ["policy", "destination", "api"].map(name => `conduit/conduit-${name}`)
  await mesh.applyObjects(
    [
      ...[account ?? {}, deployment ?? {}],
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "gate" },
        spec: { selector: { app: "gate" }, ports: [{ name: "grpc", port, targetPort: port }] },
      },
      {
        apiVersion: "policy.conduit.io/v1alpha1",
        kind: "AuthorizationPolicy",
        metadata: { name: "control-plane" },
        spec: {
          target: { kind: "Deployment", name: "gate" },
          action: "Allow",
          rules: [{ from: [{ serviceAccounts: ours }] }],
        },
      },
    ],
    space,
  )
  await mesh.rolledOut(space, "gate")
  const plugin = {
    apiVersion: "conduit.io/v1alpha1",
    kind: "Plugin",
    metadata: { name: "gate" },
    spec: {
      service: { namespace: space, name: "gate", port },
      hooks: [{ name: "Policy" }],
      deadline: "5s",
      configuration: { deny: ["web"], target: `${NAMESPACE}/api` },
    },
  }
  await mesh.applyObjects([plugin])
  await eventually("web is denied", async () => (await mesh.afterReset("web", NAMESPACE)).ok === 0)
  expect((await mesh.counted("web", NAMESPACE)).last).toStartWith("403")
  expect((await mesh.afterReset("plain", NAMESPACE)).failed).toBe(0)
  await cluster.kubectl(["wait", "plugin/gate", "--for=condition=Ready", "--timeout=30s"])
  const secured = ['direction="inbound"', 'tls="true"', 'client_id="conduit-policy.conduit.serviceaccount']
  expect(await mesh.metric("gate", "request_total", secured, space)).toBeGreaterThan(0)
  const plain = ['direction="inbound"', `port="${port}"`, 'tls="no_identity"']
  expect(await mesh.metric("gate", "request_total", plain, space)).toBe(0)
  await cluster.kubectl(["delete", "plugin/gate"])
  await eventually("web is served again", async () => (await mesh.afterReset("web", NAMESPACE)).failed === 0)
  await cluster.kubectl(["delete", "namespace", space, "--wait=false"])
}, 180_000)

test("a policy that denies everybody leaves kubelet's probes alone: pods stay ready, and new ones become so", async () => {
  const policy = {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name: "nobody" },
    spec: {
      target: { kind: "Namespace" },
      action: "Deny",
      rules: [{ from: [{ networks: ["0.0.0.0/0", "::/0"] }] }],
    },
  }
  await mesh.applyObjects([policy], NAMESPACE)
  for (const name of CALLERS)
    await eventually(`${name} is denied`, async () => (await mesh.afterReset(name, NAMESPACE)).ok === 0)
  for (const name of CALLERS) expect((await mesh.counted(name, NAMESPACE)).last).toStartWith("403")
  const readiness = async () =>
    (await podsOf("api")).map(({ metadata, status }) => ({
      name: metadata.name,
      ready: status.conditions.find(({ type }) => type === "Ready"),
      restarts: status.containerStatuses.map(({ restartCount }) => restartCount),
    }))
  const before = await readiness()
  const probes = async (pod: string): Promise<number> =>
    (await cluster.kubectl(["logs", pod, "-c", "app", "-n", NAMESPACE])).match(/^GET \/$/gm)?.length ?? 0
  for (const { name } of before) {
    const first = await probes(name)
    // Three in a row that fail make a pod unready.
    await eventually(`${name} is probed`, async () => (await probes(name)) > first + 4)
  }
  expect(await readiness()).toEqual(before)
  await cluster.kubectl(["scale", "deployment/api", "--replicas=4", "-n", NAMESPACE])
  await mesh.rolledOut(NAMESPACE, "api")
  await cluster.kubectl(["delete", "authorizationpolicy/nobody", "-n", NAMESPACE])
  for (const name of CALLERS)
    await eventually(`${name} is let in`, async () => (await mesh.afterReset(name, NAMESPACE)).failed === 0)
}, 180_000)

test("how long pods take to be ready, with a proxy and without", async () => {
  const RUNS = 5
  await cluster.kubectl(["scale", "deployment", "--replicas=0", "-n", NAMESPACE, ...CALLERS])
  const timed = async (name: string, inject: string): Promise<number> => {
    const annotations = { "conduit.io/inject": inject }
    const pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, annotations },
      spec: { containers: [app] },
    }
    await mesh.applyObjects([pod], NAMESPACE)
    const started = performance.now()
    const wait = ["wait", `pod/${name}`, "-n", NAMESPACE, "--for=condition=Ready", "--timeout=60s"]
    await cluster.kubectl(wait)
    return (performance.now() - started) / 1000
  }
  const times = { disabled: [] as number[], enabled: [] as number[] }
  for (let run = 0; run < RUNS; run++)
    for (const inject of ["disabled", "enabled"] as const)
      times[inject].push(await timed(`timed-${inject}-${run}`, inject))
  const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[RUNS >> 1] ?? 0
  const [without, withProxy] = [median(times.disabled), median(times.enabled)]
  console.log(
    `a pod is ready after ${without.toFixed(2)} s, with a proxy after ${withProxy.toFixed(2)} s: it adds ` +
      `${(withProxy - without).toFixed(2)} s (medians of ${RUNS})`,
  )
}, 180_000)
