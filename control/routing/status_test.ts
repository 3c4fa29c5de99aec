// Conditions of routes as their authors read them.
import { expect, test } from "bun:test"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { routeStatus } from "./mod.ts"

const GATEWAY = "gateway.networking.k8s.io/v1"

function service(name: string, namespace = "shop", spec: object = {}) {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }], ...spec },
  }
}

function route(spec: object, kind = "HTTPRoute", name = "r", namespace = "shop") {
  return {
    apiVersion: GATEWAY,
    kind,
    metadata: { name, namespace, generation: 3 },
    spec: {
      parentRefs: [{ kind: "Service", group: "", name: "web", namespace: "shop" }],
      rules: [{ backendRefs: [{ name: "web", namespace: "shop", port: 80 }] }],
      ...spec,
    },
  }
}

function conditions(objects: readonly object[], name = "r", kind = "httproute") {
  const { objects: read } = readManifestFile("x.json", JSON.stringify({ kind: "List", items: objects }))
  const store = new ClusterStore()
  store.apply([...read.values()].map(put => ({ put })))
  const found = [...store.routes()].find(record => record.name === name && record.kind === kind)
  if (found === undefined) throw new Error("no such route")
  return routeStatus(store, found.route).map(({ conditions: list }) =>
    list.map(({ type, status, reason }) => `${type}=${status} ${reason}`),
  )
}

const GOOD = ["Accepted=True Accepted", "ResolvedRefs=True ResolvedRefs"]

test("a good route is accepted and its references are resolved", () => {
  expect(conditions([service("web"), route({})])).toEqual([GOOD])
})

test("parents that are not there, have no such port, or have no address of their own", () => {
  const parent = (more: object) => route({ parentRefs: [{ kind: "Service", name: "web", ...more }] })
  const refused = "Accepted=False NoMatchingParent"
  expect(conditions([route({})])[0]?.[0]).toBe(refused)
  expect(conditions([service("web"), parent({ port: 81 })])[0]?.[0]).toBe(refused)
  expect(conditions([service("web"), parent({ sectionName: "grpc" })])[0]?.[0]).toBe(refused)
  expect(conditions([service("web"), parent({ sectionName: "http", port: 80 })])[0]?.[0]).toBe(GOOD[0])
  expect(conditions([service("web", "shop", { clusterIP: "None" }), route({})])[0]?.[0]).toBe(refused)
})

test("a route of a less specific kind conflicts, on both sides of a namespace by itself", () => {
  const objects = [service("web"), route({}), route({}, "GRPCRoute", "g"), route({}, "HTTPRoute", "c", "far")]
  expect(conditions(objects)[0]?.[0]).toBe("Accepted=False Conflicted")
  expect(conditions(objects, "g", "grpcroute")).toEqual([GOOD])
  expect(conditions(objects, "c")).toEqual([GOOD])
})

test("references: not there, another kind, not granted; and granted", () => {
  const backend = (body: object) => route({ rules: [{ backendRefs: [{ port: 80, ...body }] }] })
  const resolved = (...objects: object[]) => conditions([service("web"), ...objects])[0]?.[1]
  const third = service("far", "third")
  const grant = {
    apiVersion: "gateway.networking.k8s.io/v1beta1",
    kind: "ReferenceGrant",
    metadata: { name: "g", namespace: "third" },
    spec: {
      from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "shop" }],
      to: [{ group: "", kind: "Service" }],
    },
  }
  expect(resolved(backend({ name: "nobody" }))).toBe("ResolvedRefs=False BackendNotFound")
  expect(resolved(backend({ name: "web", port: 81 }))).toBe("ResolvedRefs=False BackendNotFound")
  expect(resolved(backend({ name: "web", kind: "Pod" }))).toBe("ResolvedRefs=False InvalidKind")
  expect(resolved(backend({ name: "far", namespace: "third" }), third)).toBe(
    "ResolvedRefs=False RefNotPermitted",
  )
  expect(resolved(backend({ name: "far", namespace: "third" }), third, grant)).toBe(GOOD[1])
})

test("a fault in one rule is PartiallyInvalid, in all of them the route is not accepted", () => {
  const bad = { matches: [{ path: { type: "RegularExpression", value: "(" } }] }
  expect(conditions([service("web"), route({ rules: [bad, {}] })])).toEqual([
    [...GOOD, "PartiallyInvalid=True UnsupportedValue"],
  ])
  expect(conditions([service("web"), route({ rules: [bad] })])[0]?.[0]).toBe(
    "Accepted=False UnsupportedValue",
  )
})
