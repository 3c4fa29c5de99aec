// Hints of EndpointSlices, and what a Service says of zones and nodes: what of it proxies are told.
import { expect, test } from "bun:test"
import { ClusterStore } from "../cluster/mod.ts"
import { readObject } from "../cluster/read_object.ts"
import { resolveOutbound } from "./resolve.ts"

const metadata = { name: "web", namespace: "shop" }

/** What is told of the Service's balancing, and of each endpoint's hints. */
function told(...objects: unknown[]) {
  const store = new ClusterStore()
  store.apply(
    objects.flatMap(raw => {
      const { object } = readObject(raw)
      return object === null ? [] : [{ put: object }]
    }),
  )
  const found = resolveOutbound(store, "10.96.0.9", 80, "shop")
  if (found.kind !== "service") throw new Error(found.kind)
  return {
    preferZone: found.service.balancing?.preferZone ?? false,
    endpoints: found.endpoints.map(({ zone, forZones, forNodes }) => ({ zone, forZones, forNodes })),
  }
}

function service(spec: object, annotations: object = {}): unknown {
  const ports = [{ port: 80, targetPort: 8080 }]
  return {
    ...{ apiVersion: "v1", kind: "Service", metadata: { ...metadata, annotations } },
    spec: { clusterIP: "10.96.0.9", ports, ...spec },
  }
}

function slice(...endpoints: readonly object[]): unknown {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { ...metadata, labels: { "kubernetes.io/service-name": "web" } },
    addressType: "IPv4",
    ports: [{ port: 8080, protocol: "TCP" }],
    endpoints: endpoints.map((endpoint, i) => ({ addresses: [`10.0.0.${i + 1}`], ...endpoint })),
  }
}

const forZones = (...names: string[]) => ({ hints: { forZones: names.map(name => ({ name })) } })

test("zones come first where every endpoint has a hint, and only what differs from its zone is told", () => {
  const own = { zone: "a", ...forZones("a") }
  const other = { zone: "a", ...forZones("b", "c") }
  expect(told(service({}), slice(own, other))).toEqual({
    preferZone: true,
    endpoints: [
      { zone: "a", forZones: undefined, forNodes: undefined },
      { zone: "a", forZones: ["b", "c"], forNodes: undefined },
    ],
  })
  expect(told(service({}), slice(own, { zone: "b" })).preferZone).toBe(false)
  expect(told(service({}), slice()).preferZone).toBe(false)
})

test("hints for nodes are told as they are", () => {
  const hints = { forZones: [{ name: "a" }], forNodes: [{ name: "n1" }] }
  expect(told(service({}), slice({ zone: "a", hints })).endpoints).toEqual([
    { zone: "a", forZones: undefined, forNodes: ["n1"] },
  ])
})

test("with PreferSameNode each pod comes first for its own node", () => {
  const pod = {
    ...{
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web-1", namespace: "shop", labels: { app: "web" } },
    },
    spec: { containers: [], nodeName: "n1" },
    status: { podIP: "10.0.0.1", conditions: [{ type: "Ready", status: "True" }] },
  }
  const selector = { app: "web" }
  const nodes = (spec: object) => told(service({ selector, ...spec }), pod).endpoints.map(one => one.forNodes)
  expect(nodes({ trafficDistribution: "PreferSameNode" })).toEqual([["n1"]])
  expect(nodes({ trafficDistribution: "PreferSameZone" })).toEqual([undefined])
})
