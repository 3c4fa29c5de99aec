// Routes on a real API server, by the Gateway API's own definitions: what the destination service, with its own rights and
// twice at once, writes into their status, beside what others have written there.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { RunningControlPlane } from "../../control/run.ts"
import { installYaml, readValues } from "../../deploy/install/mod.ts"
import { KubeApi, kubeconfigCredentials } from "../../deploy/kubernetes/mod.ts"
import { gatewayCrds } from "./gateway_api.ts"
import { Cluster } from "./mod.ts"
import { accountKubeconfig, runService } from "./run_service.ts"

const GROUP = "gateway.networking.k8s.io"
const WEB = { group: "", kind: "Service", name: "web" }
const EDGE = { group: GROUP, kind: "Gateway", name: "edge" }
const WAIT_MS = 20_000
/** Longer than a change is gathered before it is written. */
const REST_MS = 4_000

let cluster: Cluster
let admin: KubeApi
let folder = ""
let kubeconfig = ""
const running: RunningControlPlane[] = []
const lines: string[] = []

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  admin = new KubeApi(await kubeconfigCredentials(cluster.kubeconfig, ""))
  folder = mkdtempSync(join(tmpdir(), "conduit-route-status-"))
  await apply(await gatewayCrds())
  await apply(installYaml({ namespace: "conduit", version: "1.0.0", values: readValues([]) }))
  await cluster.kubectl(["wait", "--for=condition=Established", "crd", "--all", "--timeout=20s"])
  await apply(JSON.stringify({ apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } }))
  for (const name of ["web", "raw"]) await apply(service(name))
  kubeconfig = await accountKubeconfig(cluster, "conduit-destination", folder)
  for (let replica = 0; replica < 2; replica++)
    running.push(await runService("destination", kubeconfig, lines))
}, 30 * 60_000)

afterAll(async () => {
  for (const one of running) one.stop()
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function apply(input: string): Promise<void> {
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input })
}

function service(name: string): string {
  const spec = { selector: { app: name }, ports: [{ name: "http", port: 80 }] }
  return JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec })
}

function route(name: string, spec: object = {}, kind = "HTTPRoute", version = "v1"): string {
  return JSON.stringify({
    apiVersion: `${GROUP}/${version}`,
    kind,
    metadata: { name, namespace: "shop" },
    spec: { parentRefs: [WEB], rules: [{ backendRefs: [{ name: "web", port: 80 }] }], ...spec },
  })
}

interface Entry {
  controllerName: string
  parentRef: { name: string }
  conditions: {
    type: string
    status: string
    reason: string
    message: string
    observedGeneration: number
    lastTransitionTime: string
  }[]
}

interface Told {
  metadata: { generation: number; resourceVersion: string; managedFields: { manager: string }[] }
  spec: object
  status?: { parents?: Entry[] }
}

function pathOf(name: string, plural = "httproutes", version = "v1"): string {
  return `/apis/${GROUP}/${version}/namespaces/shop/${plural}/${name}`
}

async function get(path: string): Promise<Told> {
  return (await admin.call({ path })) as Told
}

function ours({ status }: Told): Entry[] {
  return (status?.parents ?? []).filter(({ controllerName }) => controllerName === "conduit.io/mesh")
}

/** Our first entry of the generation that is there now, once it says something. */
async function told(path: string, isSo: (text: string) => boolean = () => true) {
  const end = performance.now() + WAIT_MS
  for (;;) {
    const object = await get(path)
    const conditions = ours(object)[0]?.conditions ?? []
    const text = conditions.map(({ type, status, reason }) => `${type}=${status} ${reason}`).join(", ")
    const current = conditions.every(one => one.observedGeneration === object.metadata.generation)
    if (text !== "" && current && isSo(text)) return { text, conditions, object }
    if (performance.now() > end) throw new Error(`it says "${text}"; the log: ${lines.join("")}`)
    await Bun.sleep(100)
  }
}

const GOOD = "Accepted=True Accepted, ResolvedRefs=True ResolvedRefs"

test("a good route is accepted, towards its Service, for the generation that it is", async () => {
  await apply(route("good"))
  const { text, object } = await told(pathOf("good"))
  expect(text).toBe(GOOD)
  expect(ours(object)).toMatchObject([{ parentRef: { ...WEB, namespace: "shop" } }])
}, 60_000)

test("a backend that is not there is told, and the condition follows when it comes, though the route did not change", async () => {
  await apply(route("early", { rules: [{ backendRefs: [{ name: "late", port: 80 }] }] }))
  const before = await told(pathOf("early"))
  expect(before.text).toBe("Accepted=True Accepted, ResolvedRefs=False BackendNotFound")
  expect(before.conditions[1]?.message).toContain('there is no Service "late" in "shop"')
  const end = performance.now() + WAIT_MS
  const isLogged = (): boolean => lines.join("").includes('HTTPRoute "shop/early": BackendNotFound: ')
  while (!isLogged() && performance.now() < end) await Bun.sleep(50)
  expect(isLogged()).toBe(true)
  // Times are told apart by the second.
  await Bun.sleep(1_100)
  await apply(service("late"))
  const after = await told(pathOf("early"), text => text === GOOD)
  const times = ({ conditions }: typeof before) => conditions.map(one => one.lastTransitionTime)
  expect(times(after)[0]).toBe(times(before)[0] ?? "")
  expect(times(after)[1]).not.toBe(times(before)[1] ?? "")
}, 60_000)

test("what the definitions let pass and no proxy can do is told by its field, and the rest goes on", async () => {
  const path = { type: "RegularExpression", value: "/a(?=b)" }
  const backendRefs = [{ name: "web", port: 80 }]
  const rules = [
    { matches: [{ path }, { path: { value: "/a" } }], backendRefs },
    { backendRefs: [{ name: "web", port: 80, weight: 0 }] },
  ]
  await apply(route("partial", { rules }))
  const { text, conditions } = await told(pathOf("partial"))
  expect(text).toBe(`${GOOD}, PartiallyInvalid=True UnsupportedValue`)
  expect(conditions[2]?.message).toContain("spec.rules[0].matches[0].path.value is no regular expression")
  expect(conditions[2]?.message).toContain("spec.rules[1].backendRefs: every weight is 0")
  await cluster.kubectl(["delete", "httproute", "partial", "-n", "shop"])
  const refused = await cluster.tryKubectl(["apply", "--server-side", "-f", "-"], {
    input: route("timeout", { rules: [{ backendRefs, timeouts: { request: "soon" } }] }),
  })
  expect(refused.stderr).toContain("spec.rules[0].timeouts.request")
}, 60_000)

test("a route that loses to one of a more specific kind is told so, until that one goes", async () => {
  await apply(service("both"))
  const both = { parentRefs: [{ ...WEB, name: "both" }] }
  await apply(route("loses", both))
  expect((await told(pathOf("loses"))).text).toBe(GOOD)
  await apply(route("wins", both, "GRPCRoute"))
  expect((await told(pathOf("wins", "grpcroutes"))).text).toBe(GOOD)
  await told(pathOf("loses"), text => text.startsWith("Accepted=False Conflicted"))
  await cluster.kubectl(["delete", "grpcroute", "wins", "-n", "shop"])
  await told(pathOf("loses"), text => text === GOOD)
}, 90_000)

test("another controller's entry stays as it is while ours comes, changes and goes with its parent", async () => {
  const theirs = {
    controllerName: "gateway.example/controller",
    parentRef: EDGE,
    conditions: [
      {
        type: "Accepted",
        status: "Unknown",
        reason: "Pending",
        message: "theirs",
        lastTransitionTime: "2020-01-01T00:00:00Z",
        observedGeneration: 7,
      },
    ],
  }
  await apply(route("shared", { parentRefs: [EDGE, WEB] }))
  await told(pathOf("shared"))
  const { status } = await get(pathOf("shared"))
  await admin.call({
    method: "PATCH",
    path: `${pathOf("shared")}/status`,
    contentType: "application/merge-patch+json",
    body: { status: { parents: [theirs, ...(status?.parents ?? [])] } },
  })
  await apply(route("shared", { parentRefs: [EDGE, { ...WEB, name: "nobody" }] }))
  const { object } = await told(pathOf("shared"), text => text.startsWith("Accepted=False NoMatchingParent"))
  expect(object.status?.parents?.map(({ parentRef }) => parentRef.name)).toEqual(["edge", "nobody"])
  expect(object.status?.parents?.[0]).toEqual(theirs)
  await apply(route("shared", { parentRefs: [EDGE] }))
  const end = performance.now() + WAIT_MS
  while (ours(await get(pathOf("shared"))).length > 0 && performance.now() < end) await Bun.sleep(100)
  expect((await get(pathOf("shared"))).status?.parents as unknown[]).toEqual([theirs])
}, 90_000)

test("a route of a Gateway is left alone", async () => {
  await apply(route("gateways", { parentRefs: [EDGE] }))
  const { metadata } = await get(pathOf("gateways"))
  await apply(route("after"))
  await told(pathOf("after"))
  await Bun.sleep(REST_MS)
  const after = await get(pathOf("gateways"))
  expect(after.metadata.resourceVersion).toBe(metadata.resourceVersion)
  expect(after.status?.parents ?? []).toEqual([])
}, 60_000)

test("TLSRoute and TCPRoute are told in the versions in which they are served", async () => {
  const tls = { parentRefs: [{ ...WEB, name: "raw" }], hostnames: ["raw.example"] }
  await apply(route("tls", tls, "TLSRoute"))
  expect((await told(pathOf("tls", "tlsroutes"))).text).toStartWith("Accepted=")
  await apply(route("tcp", { parentRefs: [{ ...WEB, name: "raw", port: 81 }] }, "TCPRoute", "v1alpha2"))
  const { text, conditions } = await told(pathOf("tcp", "tcproutes", "v1alpha2"))
  expect(text).toBe("Accepted=False NoMatchingParent, ResolvedRefs=True ResolvedRefs")
  expect(conditions[0]?.message).toContain('Service "raw" in namespace "shop" has no such TCP port')
}, 60_000)

test("two replicas come to rest, own nothing but the status, and may not write a spec", async () => {
  await apply(route("good"))
  await told(pathOf("good"))
  await Bun.sleep(REST_MS)
  const { metadata } = await get(pathOf("good"))
  await Bun.sleep(REST_MS)
  expect((await get(pathOf("good"))).metadata.resourceVersion).toBe(metadata.resourceVersion)
  expect(metadata.managedFields.map(({ manager }) => manager).sort()).toEqual([
    "conduit-destination",
    "kubectl",
  ])
  const own = new KubeApi(await kubeconfigCredentials(kubeconfig, ""))
  const patch = { method: "PATCH", contentType: "application/merge-patch+json" } as const
  await expect(own.call({ ...patch, path: pathOf("good"), body: { spec: {} } })).rejects.toMatchObject({
    status: 403,
  })
  const policy = "/apis/policy.conduit.io/v1alpha1/namespaces/shop/authorizationpolicies/p/status"
  await expect(own.call({ ...patch, path: policy, body: { status: {} } })).rejects.toMatchObject({
    status: 403,
  })
  expect(lines.filter(line => line.includes("cannot be written") || line.includes("refused"))).toEqual([])
}, 60_000)
