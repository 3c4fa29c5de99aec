// Which requests raise questions for plugins, what their answers come to, and that policies without any are as they were.
import { expect, test } from "bun:test"
import { isOpen } from "./ask_rules.ts"
import { explain } from "./explain.ts"
import { PolicySet } from "./policy_set.ts"
import {
  ACTION_ALLOW,
  ACTION_ASK,
  ACTION_DENY,
  type Operation,
  type PluginQuestion,
  type Policy,
  type WorkloadPolicy,
} from "./workload_policy.ts"

const CLIENT = { address: "10.0.0.1", spiffeId: "" }
const PORT = 8080
const QUESTION: PluginQuestion = { plugin: "hours", headers: [], deadlineMs: 500, fail: false, version: "1" }

function policy(name: string, action: number, to: readonly Operation[] = [], ask?: PluginQuestion): Policy {
  return {
    ...{ namespace: "shop", name, action, ports: [], allPorts: true, rules: [{ from: [], to }] },
    ...(ask === undefined ? {} : { ask }),
  }
}

function workload(...policies: Policy[]): WorkloadPolicy {
  const probes = [{ port: PORT, path: "/healthz", grpc: false }]
  return { defaultPolicy: 1, clusterNetworks: [], policies, probes, trustDomain: "cluster.local" }
}

const asking = (name: string, ...paths: string[]): Policy =>
  policy(name, ACTION_ASK, paths.length === 0 ? [] : [{ methods: [], paths }], { ...QUESTION, plugin: name })

function questions(all: WorkloadPolicy, method: string, target: string): string[] {
  const connection = new PolicySet(all).connection(CLIENT, PORT)
  return connection
    .questions(method, target, connection.request(method, target))
    .map(({ question }) => question.plugin)
}

test("without policies that ask nothing is asked, and one verdict holds for every request", () => {
  const set = new PolicySet(workload(policy("open", ACTION_ALLOW)))
  expect(set.asks).toBe(false)
  expect(set.connection(CLIENT, 9090).asks).toBe(false)
  expect(set.connection(CLIENT, 9090).always).not.toBeNull()
})

test("each policy whose rule matches raises its question, and does not count as one that allows", () => {
  const all = workload(asking("a"), asking("b", "/admin/*"), asking("c", "/other"))
  expect(questions(all, "GET", "/admin/x")).toEqual(["a", "b"])
  expect(new PolicySet(all).connection(CLIENT, PORT).request("GET", "/x")).toMatchObject({
    allowed: true,
    cause: "default",
  })
})

test("what a Deny refuses is not asked about, and what no Allow allows is", () => {
  expect(questions(workload(asking("a"), policy("no", ACTION_DENY)), "GET", "/")).toEqual([])
  const allow = policy("some", ACTION_ALLOW, [{ methods: ["POST"], paths: [] }])
  expect(questions(workload(asking("a"), allow), "GET", "/")).toEqual(["a"])
})

test("the kubelet's probes are not asked about", () => {
  expect(questions(workload(asking("a")), "GET", "/healthz")).toEqual([])
  expect(questions(workload(asking("a")), "GET", "/healthy")).toEqual(["a"])
})

test.each(["/admin", "/admin/", "/x/../admin", "/%61dmin", "/admin?x"])(
  "%s raises the question about /admin, in whichever method's case",
  target => {
    const ask = policy("a", ACTION_ASK, [{ methods: ["POST"], paths: ["/admin"] }], QUESTION)
    expect(questions(workload(ask), "post", target)).toEqual(["hours"])
  },
)

test("a path with dot segments raises what it would raise with and without them", () => {
  expect(questions(workload(asking("a", "/x/*"), asking("b", "/admin")), "GET", "/x/../admin")).toEqual([
    "a",
    "b",
  ])
})

test("a path that can be read in different ways is refused where rules of a question look at paths", () => {
  const verdict = new PolicySet(workload(asking("a", "/admin")))
    .connection(CLIENT, PORT)
    .request("GET", "/a;x")
  expect(verdict).toMatchObject({ allowed: false, cause: "ambiguous-path" })
  expect(isOpen(verdict)).toBe(false)
})

test("a connection into which nobody looks is refused where there are questions about requests", () => {
  const { raw } = new PolicySet(workload(asking("a"), policy("open", ACTION_ALLOW))).connection(CLIENT, PORT)
  expect(raw).toMatchObject({ allowed: false, cause: "hidden-requests", name: "a" })
})

test("verdicts of an answer name the policy and the plugin", () => {
  const connection = new PolicySet(workload(asking("a"))).connection(CLIENT, PORT)
  const [match] = connection.questions("GET", "/", connection.request("GET", "/"))
  expect(match?.allowed).toMatchObject({
    allowed: true,
    cause: "policy",
    namespace: "shop",
    name: "a",
    rule: 0,
  })
  expect(match?.denied("closed")).toMatchObject({ allowed: false, name: "a", detail: "plugin a: closed" })
})

test("an action Ask without a plugin allows nothing, as one that is not known", () => {
  const set = new PolicySet(workload(policy("broken", ACTION_ASK)))
  expect(set.asks).toBe(false)
  expect(set.connection(CLIENT, PORT).request("GET", "/").allowed).toBe(false)
})

test("an explanation tells which rules of a question match", () => {
  const { policies } = explain(workload(asking("a", "/admin")), CLIENT, PORT, {
    method: "GET",
    target: "/admin/",
  })
  expect(policies).toMatchObject([{ action: ACTION_ASK, matched: true }])
})
