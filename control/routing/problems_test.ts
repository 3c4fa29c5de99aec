// What people are told of routes that are well-formed and do not do what they say.
import { expect, test } from "bun:test"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { routeProblems } from "./mod.ts"

function problems(...objects: readonly object[]): string[] {
  const { objects: read } = readManifestFile("x.json", JSON.stringify({ kind: "List", items: objects }))
  const store = new ClusterStore()
  store.apply([...read.values()].map(put => ({ put })))
  return routeProblems(store).map(({ name, reason, message }) => `${name} ${reason} ${message}`)
}

function service(name: string): object {
  const spec = { clusterIP: "10.96.0.1", ports: [{ name: "http", port: 80 }] }
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec }
}

function route(spec: object): object {
  const parentRefs = ["web", "api"].map(name => ({ group: "", kind: "Service", name }))
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: "r", namespace: "shop" },
    spec: { parentRefs, rules: [{ backendRefs: [{ name: "web", port: 80 }] }], ...spec },
  }
}

test("a route that does what it says has none", () => {
  expect(problems(service("web"), service("api"), route({}))).toEqual([])
})

test("what is wrong for several parents is told once, what is wrong for one of them by its name", () => {
  const rules = [{ backendRefs: [{ name: "late", port: 80 }] }]
  expect(problems(service("web"), service("api"), route({ rules })).length).toBe(1)
  expect(problems(service("web"), route({}))).toEqual([
    'r NoMatchingParent There is no Service "api" in namespace "shop".',
  ])
})

test("weights that are all 0 are told with their rule; none is needed beside one that is more, or beside a redirect", () => {
  const backendRefs = [{ name: "web", port: 80, weight: 0 }]
  const redirect = { type: "RequestRedirect", requestRedirect: { statusCode: 301, hostname: "a.example" } }
  const both = [...backendRefs, { name: "api", port: 80 }]
  const rules = [{ backendRefs: both }, { backendRefs }, { filters: [redirect] }, {}]
  expect(problems(service("web"), service("api"), route({ rules }))).toEqual([
    "r UnsupportedValue spec.rules[1].backendRefs: every weight is 0, so the rule answers 500.",
  ])
})

test("a backend that is an ExternalName is refused, and told what to name instead", () => {
  const spec = { type: "ExternalName", externalName: "api.example.com", ports: [{ port: 80 }] }
  const outside = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "outside", namespace: "shop" },
    spec,
  }
  const rules = [{ backendRefs: [{ name: "outside", port: 80 }] }]
  expect(problems(service("web"), service("api"), outside, route({ rules }))).toEqual([
    'r UnsupportedProtocol spec.rules[0].backendRefs[0]: Service "outside" is an ExternalName, to which no route leads; ' +
      "name a Service without selector instead, and the addresses in an EndpointSlice of it.",
  ])
})
