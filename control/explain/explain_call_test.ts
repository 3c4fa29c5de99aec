// Each of the prepared situations is explained by the step and the object that decide it, and as the caller sees it.
import { expect, test } from "bun:test"
import { CertificateState } from "../../protos/mod.ts"
import { ClusterStore, type PodRecord, readManifestFile } from "../cluster/mod.ts"
import { POLICY_DEFAULTS } from "../policy/mod.ts"
import { CASES, type ExplainCase, SHOP } from "./cases.ts"
import { type CallExplanation, explainCall, type Party, type Place, STEP_NAMES } from "./mod.ts"

const NAMES = { trustDomain: "cluster.local", controlNamespace: "conduit" }
const NOBODY: Party = { namespace: "", kind: "", name: "", host: "", port: "" }

interface Written {
  readonly kind: string
  readonly metadata: { readonly namespace?: string; readonly name: string }
}

function storeOf({ objects = [], without = [] }: ExplainCase): ClusterStore {
  const byKey = new Map<string, object>()
  for (const object of [...SHOP, ...objects] as Written[]) {
    byKey.set(`${object.kind}/${object.metadata.namespace ?? ""}/${object.metadata.name}`, object)
  }
  for (const key of without) byKey.delete(key)
  const read = readManifestFile("shop.json", JSON.stringify({ kind: "List", items: [...byKey.values()] }))
  expect(read.problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...read.objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

function explained(one: ExplainCase, store = storeOf(one)): Promise<CallExplanation> {
  const { from = {}, to = {}, ask = {}, certificates = {} } = one
  return explainCall(
    {
      store,
      policy: POLICY_DEFAULTS,
      names: NAMES,
      clusterDomain: "cluster.local",
      certificate: async ({ namespace, name }: PodRecord) => ({
        state: certificates[`${namespace}/${name}`] ?? CertificateState.VALID,
        error: "",
      }),
    },
    {
      from: { ...NOBODY, namespace: "shop", kind: "deployment", name: "web", ...from },
      to: { ...NOBODY, host: "cart", ...to },
      protocol: ask.protocol ?? "",
      method: ask.method ?? "",
      path: ask.path ?? "",
      headers: new Map(Object.entries(ask.headers ?? {})),
    },
  )
}

function placeText(place: Place | null): string {
  if (place === null) return ""
  const { kind, namespace, name, field } = place
  return `${kind} ${namespace === "" ? name : `${namespace}/${name}`} ${field}`.trimEnd()
}

test.each(CASES.map(one => [one.name, one] as const))("%s", async (_, one) => {
  const { steps, verdict } = await explained(one)
  const step = steps.find(({ name }) => name === one.step)
  expect({ outcome: step?.outcome, object: placeText(step?.object ?? null) }).toEqual({
    outcome: one.outcome,
    object: one.object,
  })
  const { answered, status, error } = verdict
  expect({ answered, status, error }).toEqual({
    answered: one.answered ?? 1,
    status: one.status ?? 0,
    error: one.error ?? "",
  })
  if (one.says !== undefined) expect(`${step?.decision}\n${step?.reason}`).toMatch(one.says)
  if (one.change !== undefined) expect(step?.change).toMatch(one.change)
  if (one.details !== undefined) expect(step?.details.join("\n")).toMatch(one.details)
  // A chain ends with the step that fails, and leaves out none before it.
  const failing = steps.findIndex(({ outcome }) => outcome === "fail")
  if (failing >= 0) expect(failing).toBe(steps.length - 1)
  expect(steps.map(({ name }) => name)).toEqual(STEP_NAMES.slice(0, steps.length))
  expect(verdict.summary).not.toBe("")
})

test("there are at least thirty situations, and none twice", () => {
  expect(new Set(CASES.map(one => one.name)).size).toBe(CASES.length)
  expect(CASES.length).toBeGreaterThanOrEqual(30)
})

const PLUGIN = {
  apiVersion: "conduit.io/v1alpha1",
  kind: "Plugin",
  metadata: { name: "hours" },
  spec: { address: "hours.example:9090", hooks: [{ name: "Authorize" }] },
}
const ASK = {
  apiVersion: "policy.conduit.io/v1alpha1",
  kind: "AuthorizationPolicy",
  metadata: { name: "ask", namespace: "shop" },
  spec: {
    target: { kind: "Namespace" },
    action: "Ask",
    plugin: "hours",
    rules: [{ to: [{ methods: ["GET"] }] }],
  },
}

test("a policy that has a plugin asked is told, since its answer may change what is decided", async () => {
  const one = { objects: [PLUGIN, ASK], ask: { method: "GET" } } as unknown as ExplainCase
  const { steps } = await explained(one)
  expect(steps.find(({ name }) => name === "policy")).toMatchObject({
    outcome: "ok",
    details: expect.arrayContaining([
      "plugin/hours is asked about it by AuthorizationPolicy shop/ask, and may refuse it",
    ]),
  })
})

test("a policy that a plugin supplies is told as the plugin's, with its reason", async () => {
  const deny = {
    ...ASK,
    spec: { target: { kind: "Namespace" }, action: "Deny", rules: [{ to: [{ methods: ["GET"] }] }] },
  }
  const one = { objects: [PLUGIN, deny], ask: { method: "GET" } } as unknown as ExplainCase
  const store = storeOf(one)
  const [record] = [...store.policies("shop")].filter(({ name }) => name === "ask")
  if (record === undefined) throw new Error("the policy is there")
  const name = "hours:ask"
  const policy = {
    ...record.policy,
    name,
    suppliedBy: { plugin: "hours", reason: "outside of business hours" },
  }
  store.apply([{ remove: "authorizationpolicy/shop/ask" }, { put: { ...record, name, policy } }])
  const { steps } = await explained(one, store)
  expect(steps.find(({ name: step }) => step === "policy")).toMatchObject({
    outcome: "fail",
    decision: "denied by plugin/hours: outside of business hours",
    object: { kind: "Plugin", namespace: "", name: "hours", field: "" },
    change: "another configuration of Plugin hours, which supplies that policy",
  })
})
