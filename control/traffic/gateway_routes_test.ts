// Gateway routes: the share that each backend has beside the one that its weight gives it, and what is wrong with a route.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { GatewayRoutesRequestSchema, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { gatewayRoutes } from "./gateway_routes.ts"

const NOW = 1_750_000_060_000
const START = NOW - 30_000

const version = (name: string): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${name}, namespace: shop }
spec: { template: {} }
---
apiVersion: v1
kind: Pod
metadata:
  name: ${name}-1
  namespace: shop
  labels: { app: ${name} }
  ownerReferences: [{ apiVersion: apps/v1, kind: Deployment, name: ${name}, controller: true }]
spec: { containers: [{ name: app }] }
---
apiVersion: v1
kind: Service
metadata: { name: ${name}, namespace: shop }
spec: { clusterIP: 10.96.0.${name.length}, selector: { app: ${name} }, ports: [{ port: 80 }] }
---`

const ROUTES = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: cart, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: cart }]
  rules:
    - name: items
      matches: [{ method: GET, path: { type: PathPrefix, value: /items }, headers: [{ name: x-canary, value: "yes" }] }]
      backendRefs: [{ name: cart, port: 80, weight: 3 }, { name: cart-v2, port: 80, weight: 1 }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: lost, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: cart-v2 }]
  rules:
    - backendRefs: [{ name: gone, port: 80 }]
`

async function answer(counts: readonly (readonly [string, number])[], namespace = "") {
  const { objects } = readManifestFile("shop.yaml", `${version("cart")}${version("cart-v2")}${ROUTES}`)
  const cluster = new ClusterStore()
  cluster.apply([...objects.values()].map(put => ({ put })))
  cluster.markSynced()
  const store = new TelemetryStore(START - 1)
  const about = { namespace: "shop", pod: "web-1", workloadKind: "deployment", workload: "web" }
  const stream = store.openStream(
    create(telemetryV1.ReporterSchema, { ...about, startedAtMs: BigInt(START) }),
  )
  const labels = {
    direction: "outbound",
    dst_service: "cart",
    dst_namespace: "shop",
    classification: "success",
  }
  const series = counts.map(([dst_deployment], index) => ({
    ...{ id: index + 1, metric: "response_total" },
    labels: { ...labels, dst_deployment, dst_pod: `${dst_deployment}-1` },
  }))
  const samples = counts.map(([, value], index) => ({ seriesId: index + 1, value }))
  stream?.take(create(telemetryV1.ReportRequestSchema, { series, samples }), NOW)
  const queries = localQueries(store, () => NOW)
  return await gatewayRoutes(cluster, queries, create(GatewayRoutesRequestSchema, { namespace }))
}

test("a backend has the share of requests to the parent that reached what stands behind it", async () => {
  const { routes = [] } = await answer([
    ["cart", 60],
    ["cart-v2", 40],
    ["elsewhere", 100],
  ])
  const [rule] = routes[0]?.rules ?? []
  expect(rule?.matches).toEqual(["GET, below /items, header x-canary = yes"])
  expect(rule?.backends?.map(one => [one.service?.name, one.wanted, one.actual])).toEqual([
    ["cart", 0.75, 0.6],
    ["cart-v2", 0.25, 0.4],
  ])
})

test("without traffic there is no share, and a route that leads nowhere says why", async () => {
  const { routes = [] } = await answer([])
  expect(routes[0]?.rules?.[0]?.backends?.map(({ actual }) => actual)).toEqual([undefined, undefined])
  expect(routes[0]?.conditions?.every(({ well }) => well)).toBe(true)
  expect(
    routes[1]?.conditions?.filter(({ well }) => !well).map(one => [one.parent, one.type, one.reason]),
  ).toEqual([["cart-v2", "ResolvedRefs", "BackendNotFound"]])
  expect((await answer([], "other")).routes).toEqual([])
})
