// What is done to a mesh that carries traffic: its control plane upgraded and restarted; and an uninstallation that
// leaves a cluster as it was.
import { afterAll, beforeAll, expect, test } from "bun:test"
import project from "../../package.json" with { type: "json" }
import { caller, eventually, INSTALL_FLAGS, Mesh, workload } from "./mesh.ts"
import type { Cluster } from "./mod.ts"

const NAMESPACE = "town"
const TARGET = "http://api/books"
/** web is meshed, plain has opted out. */
const CALLERS = ["web", "plain"]
const UNMESHED = { annotations: { "conduit.io/inject": "disabled" } }
/** Kinds whose objects come and go by themselves. */
const FLEETING = /^events(\.|$)/

let mesh: Mesh
let cluster: Cluster
let before: string[] = []

beforeAll(async () => {
  mesh = await Mesh.up()
  cluster = mesh.cluster
  // A node's lease comes a moment after the node.
  await cluster.kubectl(["wait", "lease/node", "-n", "kube-node-lease", "--for=create", "--timeout=60s"])
  before = await everything()
  const older = ["--set", "logFormat=json,identityIssuanceLifetime=12h,injector.enabled=false"]
  const { stdout } = await mesh.conduit(["install", ...INSTALL_FLAGS, ...older])
  const release = `  version: "${project.version}"\n`
  expect(stdout).toContain(release)
  await mesh.apply(stdout.replace(release, `  version: "0.0.1"\n`))
  await mesh.controlPlaneRolledOut()
  await cluster.kubectl(["create", "namespace", NAMESPACE])
  const items = [
    ...workload("api", {}, { replicas: 2 }),
    ...caller("web", TARGET),
    ...caller("plain", TARGET, UNMESHED),
  ]
  const input = JSON.stringify({ apiVersion: "v1", kind: "List", items })
  await mesh.apply((await mesh.conduit(["inject", "-"], input)).stdout, NAMESPACE)
  await mesh.rolledOut(NAMESPACE, "api", ...CALLERS)
}, 30 * 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** Names of all objects, of every kind that can be listed. */
async function everything(): Promise<string[]> {
  const listed = await cluster.kubectl(["api-resources", "--verbs=list", "--output=name"])
  const kinds = listed.split("\n").filter(kind => kind !== "" && !FLEETING.test(kind))
  const path = "--output=jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{'\\n'}{end}"
  const names = (await cluster.kubectl(["get", kinds.join(","), "-A", path])).trim().split("\n")
  return [...new Set(names)].sort()
}

async function secrets(): Promise<unknown[]> {
  const { items } = JSON.parse(await cluster.kubectl(["get", "secrets", "-n", "conduit", "-o", "json"]))
  return items.map(({ metadata, data }: { metadata: { name: string }; data: object }) => [
    metadata.name,
    data,
  ])
}

async function uids(namespace: string, selector = ""): Promise<string[]> {
  const path = "--output=jsonpath={range .items[*]}{.metadata.uid}{' '}{end}"
  const text = await cluster.kubectl(["get", "pods", "-n", namespace, "-l", selector, path])
  return text.trim().split(" ").sort()
}

test("an older configuration is upgraded while it carries traffic: 0 failed requests, and its secrets are kept", async () => {
  const [kept, pods, plane] = [await secrets(), await uids(NAMESPACE), await uids("conduit")]
  const seen = await mesh.underLoad(
    CALLERS,
    async () => {
      const newer = ["--set", "logFormat=plain,identityIssuanceLifetime=24h,injector.enabled=true"]
      await mesh.apply((await mesh.conduit(["upgrade", ...newer])).stdout)
      await mesh.controlPlaneRolledOut()
    },
    NAMESPACE,
  )
  await mesh.expectNoFailure("the control plane was upgraded", seen, NAMESPACE)
  expect(await secrets()).toEqual(kept)
  expect(await uids(NAMESPACE)).toEqual(pods)
  const rolled = await uids("conduit")
  expect(plane.filter(uid => rolled.includes(uid))).toEqual([])
  const path = "--output=jsonpath={.data.version}"
  const version = await cluster.kubectl(["get", "configmap/conduit-config", "-n", "conduit", path])
  expect(version).toBe(project.version)
  expect(await mesh.deployments("conduit")).toContain("conduit-injector")
}, 240_000)

async function rollApi(): Promise<void> {
  await cluster.kubectl(["rollout", "restart", "deployment/api", "-n", NAMESPACE])
  await mesh.rolledOut(NAMESPACE, "api")
}

test("every pod of the control plane is deleted at once under load: 0 failed requests, and news arrive again", async () => {
  const seen = await mesh.underLoad(
    CALLERS,
    async () => {
      await cluster.kubectl(["delete", "pods", "--all", "-n", "conduit"])
      await mesh.controlPlaneRolledOut()
      await rollApi()
    },
    NAMESPACE,
  )
  await mesh.expectNoFailure("the control plane's pods were deleted and api was rolled", seen, NAMESPACE)
}, 180_000)

test("uninstall leaves nothing: the cluster has the same objects of the same kinds as before", async () => {
  await cluster.kubectl(["delete", "namespace", NAMESPACE])
  const there = await everything()
  expect(there.length).toBeGreaterThan(before.length + 30)
  const { stdout } = await mesh.conduit(["uninstall"])
  await cluster.kubectl(["delete", "-f", "-"], { input: stdout })
  console.log(`${there.length - before.length} objects of an installation, of ${there.length} in the cluster`)
  // Addresses of Services are given back by a controller.
  const left = async (): Promise<string[]> => (await everything()).filter(name => !before.includes(name))
  await eventually("nothing is left", async () => (await left()).length === 0, 15_000).catch(() => {})
  expect(await left()).toEqual([])
  const now = await everything()
  expect(before.filter(name => !now.includes(name))).toEqual([])
}, 180_000)
