// What is written into the status of routes, over real HTTP: our entries of a list that others have entries in.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import { DrivenTime, type StoredObject, StatusServer } from "../conditions/lab.ts"
import { ConditionWriter } from "../conditions/writer.ts"
import { createLog } from "../log.ts"
import { MAX_PARENT_STATUSES, routeConditions } from "./conditions.ts"

const GROUP = "gateway.networking.k8s.io"
const HTTP = `/apis/${GROUP}/v1/httproutes`
const WEB = { group: "", kind: "Service", name: "web", port: 80 }
const GATEWAY = { group: GROUP, kind: "Gateway", name: "edge" }

let server: StatusServer
let time: DrivenTime
let store: ClusterStore
let conditions: ConditionWriter
let nowMs: number

beforeEach(() => {
  server = new StatusServer()
  time = new DrivenTime()
  store = new ClusterStore()
  nowMs = Date.parse("2026-01-01T00:00:00Z")
  conditions = new ConditionWriter({
    ...{ api: server.api, kinds: routeConditions(store), manager: "us" },
    log: createLog({ format: "plain", write: line => expect(line).toBe(""), now: () => new Date(0) }),
    nowMs: () => nowMs,
    random: () => 0,
    later: time.later,
  })
  read({ apiVersion: "v1", kind: "Service", ...service("web") })
})

afterEach(async () => {
  await server[Symbol.asyncDispose]()
})

function service(name: string): object {
  return {
    metadata: { name, namespace: "shop" },
    spec: { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }] },
  }
}

/** What the watch of the cluster would make of an object. */
function read(raw: object): void {
  const { object } = readObject(raw)
  const { kind, metadata } = raw as { kind: string; metadata: { namespace: string; name: string } }
  const key = `${kind.toLowerCase()}/${metadata.namespace}/${metadata.name}`
  store.apply([object === null ? { remove: key } : { put: object }])
}

function spec(...parentRefs: object[]): object {
  return { parentRefs, rules: [{ backendRefs: [{ name: "web", port: 80 }] }] }
}

/** Puts a route, which the watch of the cluster has read unless it is said to be behind. */
function route(name: string, body: object, path = HTTP, behind = false): StoredObject {
  const stored = server.put(path, name, body)
  const kind = { httproutes: "HTTPRoute", tlsroutes: "TLSRoute" }[path.split("/").at(-1) ?? ""]
  if (!behind) read({ apiVersion: `${GROUP}/v1`, kind, ...structuredClone(stored) })
  return stored
}

async function written(): Promise<void> {
  nowMs += 60_000
  conditions.changed()
  await time.pass()
}

interface Entry {
  controllerName: string
  parentRef: object
  conditions: { type: string; status: string; reason: string; message: string; lastTransitionTime: string }[]
}

function entries({ status }: StoredObject): Entry[] {
  return (status.parents ?? []) as Entry[]
}

function told(stored: StoredObject, entry = 0): string[] {
  return (entries(stored)[entry]?.conditions ?? []).map(({ type, status, reason, lastTransitionTime }) =>
    [`${type}=${status}`, reason, lastTransitionTime.slice(14, 16)].join(" "),
  )
}

test("an entry for each parent Service says what became of the route, and follows it", async () => {
  const one = route("r", { ...spec(WEB), rules: [{ backendRefs: [{ name: "late", port: 80 }] }] })
  await written()
  expect(entries(one)).toMatchObject([
    { controllerName: "conduit.io/mesh", parentRef: { ...WEB, namespace: "shop" } },
  ])
  expect(told(one)).toEqual(["Accepted=True Accepted 01", "ResolvedRefs=False BackendNotFound 01"])
  expect(entries(one)[0]?.conditions[1]?.message).toContain('there is no Service "late"')
  read({ apiVersion: "v1", kind: "Service", ...service("late") })
  await written()
  expect(told(one)).toEqual(["Accepted=True Accepted 01", "ResolvedRefs=True ResolvedRefs 02"])
  await written()
  expect(server.patches.length).toBe(2)
})

test("a rule without any share, and a part that cannot be used, are told, and the rest is accepted", async () => {
  const rules = [
    { backendRefs: [{ name: "web", port: 80, weight: 0 }] },
    { timeouts: { request: "soon" }, backendRefs: [{ name: "web", port: 80 }] },
  ]
  const one = route("r", { parentRefs: [WEB], rules })
  await written()
  expect(told(one)).toContain("PartiallyInvalid=True UnsupportedValue 01")
  const { message } = entries(one)[0]?.conditions[2] ?? {}
  expect(message).toContain("spec.rules[0].backendRefs: every weight is 0, so the rule answers 500.")
  expect(message).toContain("spec.rules[1].timeouts.request must be a duration")
  route("r", spec(WEB))
  await written()
  expect(told(one)).toEqual(["Accepted=True Accepted 01", "ResolvedRefs=True ResolvedRefs 01"])
})

test("entries of other controllers stay as they are and where they are, ours go with their parent", async () => {
  const others = ["gateway.example/one", "mesh.example/two"].map(controllerName => ({
    controllerName,
    parentRef: WEB,
    conditions: [{ type: "Accepted", status: "Unknown", extra: { deep: [1, null] } }],
  }))
  const one = route("r", spec(WEB, { ...WEB, sectionName: "http" }))
  one.status = { parents: [...others] }
  await written()
  expect(entries(one).map(({ controllerName }) => controllerName)).toEqual([
    ...["gateway.example/one", "mesh.example/two"],
    ...["conduit.io/mesh", "conduit.io/mesh"],
  ])
  expect(JSON.stringify(entries(one).slice(0, 2))).toBe(JSON.stringify(others))
  // Somebody else's comes to stand behind ours.
  one.status = { parents: [...(one.status.parents ?? []).slice(1), ...others.slice(0, 1)] }
  route("r", spec(WEB))
  await written()
  expect(entries(one).map(({ controllerName }) => controllerName)).toEqual([
    ...["mesh.example/two", "conduit.io/mesh", "gateway.example/one"],
  ])
  route("r", spec(GATEWAY))
  await written()
  expect(JSON.stringify(entries(one))).toBe(JSON.stringify([others[1], others[0]]))
})

test("a route of Gateways is left alone, and so is one without our entries that binds nothing", async () => {
  const one = route("r", spec(GATEWAY))
  one.status = { parents: [{ controllerName: "gateway.example/one", parentRef: GATEWAY, conditions: [] }] }
  route("s", spec())
  await written()
  expect(server.patches).toEqual([])
})

test("a version that the cluster's watch has not told of yet is looked at when it has", async () => {
  const one = route("r", spec(WEB))
  await written()
  const before = structuredClone(entries(one))
  route("r", spec({ ...WEB, port: 81 }), HTTP, true)
  route("new", spec(WEB), HTTP, true)
  store.apply([{ remove: "service/shop/web" }])
  await written()
  expect(server.patches.length).toBe(1)
  expect(entries(one)).toEqual(before as never)
  read({ apiVersion: "v1", kind: "Service", ...service("web") })
  route("r", spec({ ...WEB, port: 81 }))
  await written()
  expect(told(one)[0]).toBe("Accepted=False NoMatchingParent 03")
})

test("a kind is found in the version in which it is served", async () => {
  const path = `/apis/${GROUP}/v1alpha2/tlsroutes`
  const one = route("t", spec(WEB), path)
  await written()
  expect(server.patches[0]?.path).toStartWith(`/apis/${GROUP}/v1alpha2/namespaces/shop/tlsroutes/t/status?`)
  expect(told(one)[0]).toBe("Accepted=True Accepted 01")
})

test("a full list of others leaves no room for ours, and none of theirs is lost", async () => {
  const one = route("r", spec(WEB))
  const other = (index: number) => ({ controllerName: `c.example/${index}`, parentRef: WEB, conditions: [] })
  one.status = { parents: Array.from({ length: MAX_PARENT_STATUSES }, (_, index) => other(index)) }
  await written()
  expect(server.patches).toEqual([])
  one.status.parents?.pop()
  await written()
  expect(entries(one).length).toBe(MAX_PARENT_STATUSES)
})
