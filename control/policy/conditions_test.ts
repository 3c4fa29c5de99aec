// What is written into the status of policies, when, and that it comes to rest.
import { beforeEach, expect, test } from "bun:test"
import { type KubeCall, KubeError } from "../../deploy/kubernetes/mod.ts"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import { createLog } from "../log.ts"
import { POLICY_DEFAULTS } from "./compile.ts"
import {
  acceptedOf,
  CONDITIONS_AFTER_MS,
  CONDITIONS_RETRY_MS,
  ConditionWriter,
  MAX_CONDITION_MESSAGE,
} from "./conditions.ts"

interface Stored {
  metadata: { name: string; namespace: string; uid: string; generation: number }
  spec: object
  status?: { conditions: { status: string; lastTransitionTime: string }[] } | undefined
}

const GOOD = {
  target: { kind: "Deployment", name: "web" },
  action: "Allow",
  rules: [{ from: [{ namespaces: ["shop"] }] }],
}
let stored: Stored[]
let calls: KubeCall[]
let failure: Error | null
let lines: string[]
let nowMs: number
let due: { run: () => void; ms: number }[]

beforeEach(() => {
  stored = []
  calls = []
  failure = null
  lines = []
  nowMs = Date.parse("2026-01-01T00:00:00Z")
  due = []
})

function put(name: string, spec: object): void {
  const before = stored.find(one => one.metadata.name === name)
  if (before === undefined) {
    stored.push({ metadata: { name, namespace: "shop", uid: `uid-${name}`, generation: 1 }, spec })
    return
  }
  before.spec = spec
  before.metadata.generation++
}

function writer(): ConditionWriter {
  const store = new ClusterStore()
  const object = (kind: string, name: string, apiVersion: string, rest: object) => {
    const { object } = readObject({ apiVersion, kind, metadata: { name, namespace: "shop" }, ...rest })
    if (object === null) throw new Error(`${kind} is not kept`)
    store.apply([{ put: object }])
  }
  object("Namespace", "shop", "v1", {})
  object("Deployment", "web", "apps/v1", { spec: { template: {} } })
  const api = {
    call: async (call: KubeCall): Promise<unknown> => {
      calls.push(call)
      if (failure !== null) throw failure
      if (call.method !== "PATCH") return { items: structuredClone(stored), metadata: {} }
      const name = call.path.split("/").at(-2)
      const one = stored.find(({ metadata }) => metadata.name === name)
      if (one !== undefined) one.status = structuredClone((call.body as Stored).status) as Stored["status"]
      return {}
    },
  }
  const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
  return new ConditionWriter({
    ...{ api, store, policy: POLICY_DEFAULTS, log },
    nowMs: () => nowMs,
    random: () => 0,
    later: (run, ms) => {
      const one = { run, ms }
      due.push(one)
      return () => due.splice(due.indexOf(one), 1)
    },
  })
}

/** Runs what is due, and what that starts. @returns how long it had waited */
async function pass(): Promise<number[]> {
  const now = due.splice(0)
  for (const { run } of now) run()
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  return now.map(({ ms }) => ms)
}

const patches = (): number => calls.filter(({ method }) => method === "PATCH").length

test("every fault is named behind its field, and a good policy has none", () => {
  expect(acceptedOf([], [])).toEqual({ status: "True", reason: "Accepted", message: "" })
  expect(
    acceptedOf(
      [
        { path: ["spec", "rules", 0, "from", 0, "networks", 0], message: "cannot be used: no network" },
        { path: ["spec", "action"], message: "is missing" },
      ],
      [],
    ),
  ).toEqual({
    status: "False",
    reason: "Invalid",
    message:
      "spec.rules[0].from[0].networks[0] cannot be used: no network; spec.action is missing; this version is not in force; the last good one stays, if there was one",
  })
  const problem = { reason: "PortNotFound", field: "spec.target.ports[0]", message: "no such port" } as const
  expect(acceptedOf([], [problem, problem])).toEqual({
    status: "False",
    reason: "PortNotFound",
    message: "spec.target.ports[0]: no such port; spec.target.ports[0]: no such port",
  })
})

test("a message keeps its end, whatever its length", () => {
  const complaints = Array.from({ length: 1000 }, () => ({ path: ["spec"], message: "is wrong" }))
  const { message } = acceptedOf(complaints, [])
  expect(message.length).toBe(MAX_CONDITION_MESSAGE)
  expect(message).toEndWith("...; this version is not in force; the last good one stays, if there was one")
})

test("a condition is applied to the status of the very object that was read, and then nothing more", async () => {
  put("good", GOOD)
  const conditions = writer()
  conditions.changed()
  conditions.changed()
  expect(await pass()).toEqual([CONDITIONS_AFTER_MS])
  expect(calls[1]).toEqual({
    method: "PATCH",
    path: "/apis/policy.conduit.io/v1alpha1/namespaces/shop/authorizationpolicies/good/status?fieldManager=conduit-policy&force=true",
    contentType: "application/apply-patch+yaml",
    body: {
      apiVersion: "policy.conduit.io/v1alpha1",
      kind: "AuthorizationPolicy",
      metadata: { name: "good", namespace: "shop", uid: "uid-good" },
      status: {
        conditions: [
          {
            type: "Accepted",
            status: "True",
            reason: "Accepted",
            message: "",
            observedGeneration: 1,
            lastTransitionTime: "2026-01-01T00:00:00Z",
          },
        ],
      },
    },
  })
  conditions.changed()
  await pass()
  expect({ patches: patches(), due: due.length }).toEqual({ patches: 1, due: 0 })
})

test("the time of a transition is that of the status, not of the message or the generation", async () => {
  put("p", GOOD)
  const conditions = writer()
  const times: (string | undefined)[] = []
  for (const spec of [GOOD, GOOD, { ...GOOD, action: "Permit" }, { ...GOOD, action: "Refuse" }, GOOD]) {
    put("p", spec)
    nowMs += 60_000
    conditions.changed()
    await pass()
    const [condition] = stored[0]?.status?.conditions ?? []
    times.push(`${condition?.status} ${condition?.lastTransitionTime.slice(14, 16)}`)
  }
  expect(times).toEqual(["True 01", "True 01", "False 03", "False 03", "True 05"])
})

test("one that is unreadable, one that names what is not there and a good one each get their own", async () => {
  put("unread", { ...GOOD, rules: [{ from: [{ networks: ["10.0.0.0/99"] }] }] })
  put("nowhere", { ...GOOD, target: { kind: "Deployment", name: "wbe" } })
  put("good", GOOD)
  const conditions = writer()
  conditions.changed()
  await pass()
  const told = stored.map(
    ({ status }) => status?.conditions[0] as unknown as { reason: string; message: string },
  )
  expect(told.map(({ reason }) => reason)).toEqual(["Invalid", "TargetNotFound", "Accepted"])
  expect(told[0]?.message).toStartWith("spec.rules[0].from[0].networks[0] ")
  expect(told[1]?.message).toContain('(did you mean "web"?)')
})

test("two writers come to rest: the second finds what the first wrote", async () => {
  put("p", { ...GOOD, action: "Permit" })
  for (const one of [writer(), writer()]) {
    one.changed()
    await pass()
  }
  expect(patches()).toBe(1)
})

test("a failure is said once and tried again; a kind that is not there is none", async () => {
  put("p", GOOD)
  failure = new KubeError("no right", { status: 403 })
  const conditions = writer()
  conditions.changed()
  await pass()
  expect(await pass()).toEqual([CONDITIONS_RETRY_MS])
  expect(lines.length).toBe(1)
  expect(lines[0]).toContain("the status of AuthorizationPolicies cannot be written: no right")
  failure = null
  await pass()
  expect(patches()).toBe(1)
  failure = new KubeError("the server could not find the requested resource", { status: 404 })
  conditions.changed()
  await pass()
  expect({ lines: lines.length, due: due.length }).toEqual({ lines: 1, due: 0 })
  conditions.stop()
  conditions.changed()
  expect(due.length).toBe(0)
})
