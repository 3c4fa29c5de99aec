// Objects of the API server become records of the model: every kind that is watched, and none that has left the mesh.
import { expect, test } from "bun:test"
import { type ClusterChange, ClusterStore } from "../cluster/mod.ts"
import { ObjectSet } from "./object_set.ts"
import { RESOURCES } from "./resources.ts"

const SERVICE = { group: "", kind: "Service", name: "web" }

/** Specs without which objects say nothing. */
const SPECS: Readonly<Record<string, object>> = {
  Service: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] },
  AuthorizationPolicy: {
    target: { kind: "Deployment", name: "web" },
    action: "Allow",
    rules: [{ from: [{ namespaces: ["shop"] }] }],
  },
  EgressPolicy: { target: { kind: "Namespace" }, action: "Deny", rules: [{ ports: [25] }] },
  RateLimitPolicy: { target: { kind: "Namespace" }, limits: [{ requests: 5 }] },
  Plugin: { address: "hours:9090", hooks: [{ name: "Check" }] },
  HTTPRoute: { parentRefs: [SERVICE] },
  GRPCRoute: { parentRefs: [SERVICE] },
  TLSRoute: { parentRefs: [SERVICE] },
  TCPRoute: { parentRefs: [SERVICE] },
  ReferenceGrant: {
    from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "far" }],
    to: [{ group: "", kind: "Service" }],
  },
}

function setOf(kind: string): ObjectSet {
  const resource = RESOURCES.find(one => one.kind === kind)
  if (resource === undefined) throw new Error(`${kind} is not watched`)
  return new ObjectSet(resource)
}

test("the model reads every kind that is watched", () => {
  const unread = RESOURCES.filter(({ kind }) => {
    const changes: ClusterChange[] = []
    const labels = { "kubernetes.io/service-name": "web" }
    const spec = SPECS[kind]
    const metadata = { name: "web", namespace: "shop", labels }
    setOf(kind).put(spec === undefined ? { metadata } : { metadata, spec }, changes)
    return !changes.some(change => "put" in change)
  })
  expect(unread.map(({ kind }) => kind)).toEqual([])
})

test("a route that leaves its Service for a Gateway is no longer in force", () => {
  const store = new ClusterStore()
  const routes = setOf("HTTPRoute")
  const put = (parent: object) => {
    const changes: ClusterChange[] = []
    const metadata = { name: "split", namespace: "shop" }
    routes.put({ metadata, spec: { parentRefs: [parent] } }, changes)
    store.apply(changes)
    return [...store.routesOf("shop", "web")].length
  }
  expect(put(SERVICE)).toBe(1)
  expect(put({ group: "gateway.networking.k8s.io", kind: "Gateway", name: "edge" })).toBe(0)
})
