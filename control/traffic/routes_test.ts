// Routes of Services: every rule that there is has its row, with traffic or not, and a Deployment stands for the Services
// in front of it.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { RoutesRequestSchema, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { routes } from "./routes.ts"

const NOW = 1_750_000_060_000
const START = NOW - 30_000

const CLUSTER = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: batch, namespace: shop }
spec: { template: {} }
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: cart, namespace: shop }
spec: { template: {} }
---
apiVersion: v1
kind: Pod
metadata:
  name: cart-1
  namespace: shop
  labels: { app: cart }
  ownerReferences: [{ apiVersion: apps/v1, kind: Deployment, name: cart, controller: true }]
spec: { containers: [{ name: app }] }
---
apiVersion: v1
kind: Service
metadata: { name: cart, namespace: shop }
spec: { clusterIP: 10.96.0.1, selector: { app: cart }, ports: [{ port: 80 }] }
---
apiVersion: v1
kind: Service
metadata: { name: other, namespace: shop }
spec: { clusterIP: 10.96.0.2, ports: [{ port: 80 }] }
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: cart, namespace: shop }
spec:
  parentRefs: [{ group: "", kind: Service, name: cart }]
  rules:
    - name: write
      matches: [{ method: POST }]
      backendRefs: [{ name: cart, port: 80 }]
    - backendRefs: [{ name: cart, port: 80 }]
`

function cluster(): ClusterStore {
  const { objects, problems } = readManifestFile("shop.yaml", CLUSTER)
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

function telemetry(): TelemetryStore {
  const store = new TelemetryStore(START - 1)
  for (const [workload, route, count] of [
    ["web", "write", 60],
    ["batch", "write", 30],
    ["web", "gone/0", 6],
  ] as const) {
    const about = { namespace: "shop", pod: `${workload}-1`, workloadKind: "deployment", workload }
    const stream = store.openStream(
      create(telemetryV1.ReporterSchema, { ...about, startedAtMs: BigInt(START) }),
    )
    const labels = { direction: "outbound", dst_service: "cart", dst_namespace: "shop", rt_route: route }
    const report = create(telemetryV1.ReportRequestSchema, {
      series: [
        { id: 1, metric: "route_response_total", labels: { ...labels, classification: "success" } },
        { id: 2, metric: "route_actual_request_total", labels },
      ],
      samples: [
        { seriesId: 1, value: count },
        { seriesId: 2, value: count * 2 },
      ],
    })
    stream?.take(report, NOW)
  }
  return store
}

async function rowsOf(kind: string, name: string, from?: string) {
  const queries = localQueries(telemetry(), () => NOW)
  const request = create(RoutesRequestSchema, {
    target: { namespace: "shop", kind, name },
    ...(from === undefined ? {} : { from: { namespace: "shop", kind: "deployment", name: from } }),
  })
  const { rows = [] } = await routes(cluster(), queries, request)
  return rows.map(({ route, service, http, actual }) => [
    route,
    service?.name,
    http === undefined ? null : Number(http.responses),
    actual === undefined ? null : actual.success,
  ])
}

test("rules stand in their order, with traffic or without, then what else was seen", async () => {
  expect(await rowsOf("service", "cart")).toEqual([
    ["write", "cart", 90, 0.5],
    ["cart/1", "cart", null, null],
    ["gone/0", "cart", 6, 0.5],
  ])
})

test("a Deployment stands for the Services in front of it, and a Service without routes has one row", async () => {
  expect((await rowsOf("deployment", "cart")).map(([route]) => route)).toEqual(["write", "cart/1", "gone/0"])
  expect(await rowsOf("service", "other")).toEqual([["default", "other", null, null]])
})

test("of one sender only", async () => {
  expect((await rowsOf("service", "cart", "batch")).slice(0, 1)).toEqual([["write", "cart", 30, 0.5]])
  expect(rowsOf("service", "cart", "nobody")).rejects.toThrow('deployment "nobody" is not known')
})

test("learned routes of a Service stand by path, with what was not told apart last", async () => {
  const store = new TelemetryStore(START - 1)
  const about = { namespace: "shop", pod: "web-1", workloadKind: "deployment", workload: "web" }
  const stream = store.openStream(
    create(telemetryV1.ReporterSchema, { ...about, startedAtMs: BigInt(START) }),
  )
  const names = ["other", "POST /a", "GET /b/{id}", "GET /a"]
  const labels = {
    direction: "outbound",
    dst_service: "other",
    dst_namespace: "shop",
    classification: "success",
  }
  const series = names.map((rt_route, index) => ({
    id: index + 1,
    metric: "route_response_total",
    labels: { ...labels, rt_route },
  }))
  const samples = names.map((_, index) => ({ seriesId: index + 1, value: 10 }))
  stream?.take(create(telemetryV1.ReportRequestSchema, { series, samples }), NOW)
  const request = create(RoutesRequestSchema, {
    target: { namespace: "shop", kind: "service", name: "other" },
  })
  const { rows = [] } = await routes(
    cluster(),
    localQueries(store, () => NOW),
    request,
  )
  expect(rows.map(({ route }) => route)).toEqual(["GET /a", "POST /a", "GET /b/{id}", "other"])
})
