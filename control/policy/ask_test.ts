// Questions about requests from a proxy, over real gRPC, to a plugin over a real socket: who may ask, what the plugin is told,
// and what becomes of a plugin that does not answer.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createPolicyClient, pluginPolicyV1, pluginV1, policyAskV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { LabPlugin } from "../plugins/lab.ts"
import { authorize, PluginSupervisor, pluginWays } from "../plugins/mod.ts"
import { compilePod } from "./compile.ts"
import { ClientPods } from "./client_pods.ts"
import { policyProblems } from "./problems.ts"
import { type PolicyServer, servePolicy } from "./service.ts"

const { Decision } = pluginPolicyV1
const { AskDecision } = policyAskV1
const QUIET = { debug() {}, info() {}, warn() {}, error() {} }
const HELLO = { namespace: "shop", pod: "api-x-1" }

let store: ClusterStore
let lab: LabPlugin
let supervisor: PluginSupervisor
let server: PolicyServer

function put(text: string): void {
  const { objects, problems } = readManifestFile("m.yaml", text)
  expect(problems).toEqual([])
  store.apply([...objects.values()].map(object => ({ put: object })))
}

function plugin(more = ""): string {
  return `
apiVersion: conduit.io/v1alpha1
kind: Plugin
metadata: { name: hours }
spec: { address: "${lab.address}", hooks: [{ name: Authorize, deadline: 200ms${more} }] }
`
}

const POLICY = `
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: p, namespace: shop }
spec:
  target: { kind: Namespace }
  action: Ask
  plugin: hours
  headers: [x-tenant]
  rules: [{ to: [{ methods: [GET] }] }]
`
const POD = `
apiVersion: v1
kind: Pod
metadata: { name: api-x-1, namespace: shop }
spec: { serviceAccountName: api, containers: [{ name: app }] }
status: { podIP: 10.0.0.1 }
`

beforeEach(async () => {
  lab = await LabPlugin.start(pluginV1.Hook.AUTHORIZE)
  store = new ClusterStore()
  for (const text of [POD, POLICY, plugin()]) put(text)
  store.markSynced()
  supervisor = new PluginSupervisor({
    ...{ store, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
    ...{ hooks: new Set(["Authorize" as const]), nowMs: () => performance.now() },
    way: pluginWays(store, undefined, Math.random),
  })
  const ask = (name: string, facts: Parameters<typeof authorize>[2]) => authorize(supervisor, name, facts)
  server = await servePolicy(store, { host: "127.0.0.1", port: 0, ask })
  const deadline = performance.now() + 5_000
  while (supervisor.report()[0]?.state !== "Ready") {
    if (performance.now() > deadline) throw new Error(supervisor.report()[0]?.reason)
    await Bun.sleep(2)
  }
})

afterEach(async () => {
  server.close()
  supervisor.stop()
  await lab[Symbol.asyncDispose]()
})

/** Asks as a proxy. @returns as many answers as questions, by their numbers */
async function ask(...messages: object[]): Promise<policyAskV1.AskResponse[]> {
  const client = createPolicyClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${server.port}` }))
  const ending = new AbortController()
  const requests = async function* () {
    yield* messages
    await new Promise(resolve => ending.signal.addEventListener("abort", resolve))
  }
  const answers: policyAskV1.AskResponse[] = []
  try {
    for await (const answer of client.ask(requests(), { signal: ending.signal })) {
      answers.push(answer)
      if (answers.length === messages.length - 1) break
    }
  } finally {
    ending.abort()
  }
  return answers.sort((a, b) => a.id - b.id)
}

test("a plugin is told of the request and of whom it is to, and its answer comes back", async () => {
  const asked: pluginPolicyV1.AuthorizeRequest[] = []
  lab.behaviour.authorize = request => {
    asked.push(request)
    return Promise.resolve({ decision: Decision.DENY, reason: "closed", cacheMs: 900_000 })
  }
  const facts = { clientId: "spiffe://cluster.local/ns/shop/sa/web", clientAddress: "10.0.0.2", port: 8080 }
  const question = { ...facts, method: "GET", path: "/a", authority: "api", id: 7, plugin: "hours" }
  const [answer] = await ask(HELLO, { ...question, headers: [{ name: "x-tenant", value: "blue" }] })
  expect(answer).toMatchObject({ id: 7, decision: AskDecision.DENY, reason: "closed", cacheMs: 300_000 })
  expect(asked).toMatchObject([
    {
      ...{ ...facts, namespace: "shop", workloadKind: "pod", workload: "api-x-1" },
      ...{ method: "GET", path: "/a", authority: "api", headers: { "x-tenant": "blue" } },
      context: { plugin: "hours", trustDomain: "cluster.local" },
    },
  ])
})

test("questions are answered as answers come, and a plugin that hangs is none after its deadline", async () => {
  lab.behaviour.authorize = ({ path }) =>
    path === "/hangs" ? new Promise(() => {}) : Promise.resolve({ decision: Decision.ALLOW })
  const answers = await ask(
    HELLO,
    { id: 1, plugin: "hours", path: "/hangs" },
    { id: 2, plugin: "hours", path: "/a" },
  )
  expect(answers.map(({ decision }) => decision)).toEqual([AskDecision.UNSPECIFIED, AskDecision.ALLOW])
})

test("a plugin that fails, and one that is gone, give no answer", async () => {
  lab.behaviour.authorize = () => Promise.reject(new Error("broken"))
  const question = { id: 1, plugin: "hours" }
  expect(await ask(HELLO, question)).toMatchObject([{ decision: AskDecision.UNSPECIFIED, reason: "" }])
  lab.die()
  expect(await ask(HELLO, question)).toMatchObject([{ decision: AskDecision.UNSPECIFIED }])
})

test("a proxy may have asked only what policies of its pod have asked", async () => {
  let asked = 0
  lab.behaviour.authorize = () => {
    asked++
    return Promise.resolve({ decision: Decision.ALLOW })
  }
  store.apply([{ remove: "authorizationpolicy/shop/p" }])
  expect(await ask(HELLO, { id: 1, plugin: "hours" })).toMatchObject([{ decision: AskDecision.UNSPECIFIED }])
  expect(asked).toBe(0)
})

test("who does not say who it is is refused", async () => {
  await expect(ask({ id: 1, plugin: "hours" }, {})).rejects.toThrow("namespace and pod must both be given")
})

test("proxies are told of the plugin's deadline and failure policy, and of nothing once it is gone", () => {
  const compiled = () => {
    const pod = store.pod("shop", "api-x-1")
    if (pod === undefined) throw new Error("the pod is there")
    return compilePod(store, pod, new ClientPods(store)).policies
  }
  const question = { plugin: "hours", headers: ["x-tenant"], deadlineMs: 200 }
  expect(compiled()).toMatchObject([{ action: 4, ask: { ...question, fail: false } }])
  const before = compiled()[0]?.ask?.version
  put(plugin(", failurePolicy: Fail"))
  expect(compiled()).toMatchObject([{ ask: { ...question, fail: true, version: before } }])
  put(`${plugin()}`.replace("hooks:", "configuration: { a: 1 }, hooks:"))
  expect(compiled()[0]?.ask?.version).not.toBe(before)
  expect(policyProblems(store)).toEqual([])
  store.apply([{ remove: "plugin//hours" }])
  expect(compiled()).toEqual([])
  expect(policyProblems(store)).toMatchObject([
    {
      reason: "PluginNotFound",
      field: "spec.plugin",
      message: 'there is no Plugin "hours"; nobody is asked',
    },
  ])
})
