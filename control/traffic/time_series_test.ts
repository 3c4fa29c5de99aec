// TimeSeries over the API's own wire: points of what was counted, by resource, and what is refused.
import { expect, test } from "bun:test"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { TimeSeriesRequestSchema, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import {
  BUCKETS,
  localQueries,
  remoteQueries,
  serveTelemetry,
  type TelemetryQueries,
  TelemetryStore,
} from "../telemetry/mod.ts"
import { timeSeries } from "./time_series.ts"

const START = 1_750_000_200_000
const MINUTE = 60_000
const NOW = START + 20 * MINUTE

const template = (app: string) =>
  `{ selector: { matchLabels: { app: ${app} } }, template: { metadata: { labels: { app: ${app} } }, spec: { containers: [{ name: app }] } } }`
const pod = (name: string, workload: string) => `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: shop
  labels: { app: ${workload} }
  ownerReferences: [{ apiVersion: apps/v1, kind: ReplicaSet, name: ${workload}-1, uid: "${workload}" }]
spec: { containers: [{ name: app }] }
status: { phase: Running, podIP: 10.0.0.${name.length} }
---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: ${workload}-1
  namespace: shop
  ownerReferences: [{ apiVersion: apps/v1, kind: Deployment, name: ${workload}, uid: "d${workload}" }]
spec: ${template(workload)}
---
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${workload}, namespace: shop }
spec: ${template(workload)}
---`
const CLUSTER = `
apiVersion: v1
kind: Namespace
metadata: { name: shop }
---
apiVersion: v1
kind: Service
metadata: { name: cart, namespace: shop }
spec: { clusterIP: 10.96.0.1, ports: [{ port: 80 }], selector: { app: cart } }
---${pod("web-1-a", "web")}${pod("cart-1-ab", "cart")}`

function cluster(): ClusterStore {
  const { objects, problems } = readManifestFile("shop.yaml", CLUSTER)
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

/** Web calls cart ten times a second for the second half of twenty minutes; one of ten fails; half take 2 ms, half 400 ms. */
function telemetry(): TelemetryStore {
  const store = new TelemetryStore(START - 1)
  const process = (name: string, workload: string) =>
    store.openStream(
      create(telemetryV1.ReporterSchema, {
        ...{ namespace: "shop", pod: name, workloadKind: "deployment", workload },
        startedAtMs: BigInt(START),
      }),
    )
  const [web, cart] = [process("web-1-a", "web"), process("cart-1-ab", "cart")]
  const called = { dst_namespace: "shop", dst_service: "cart", dst_deployment: "cart", dst_pod: "cart-1-ab" }
  for (let timeMs = 1000; timeMs <= 20 * MINUTE; timeMs += 1000) {
    const seconds = Math.max(0, timeMs - 10 * MINUTE) / 1000
    const counts = new Array<bigint>(BUCKETS).fill(0n)
    counts[1] = BigInt(seconds * 5)
    counts[14] = BigInt(seconds * 5)
    const report = (labels: Record<string, string>) =>
      create(telemetryV1.ReportRequestSchema, {
        series: [
          { id: 1, metric: "response_total", labels: { ...labels, classification: "success" } },
          { id: 2, metric: "response_total", labels: { ...labels, classification: "failure" } },
          { id: 3, metric: "response_latency_ms", labels },
        ],
        samples: [
          { seriesId: 1, value: seconds * 9 },
          { seriesId: 2, value: seconds },
        ],
        histograms: [{ seriesId: 3, counts, sum: 0 }],
      })
    web?.take(report({ direction: "outbound", ...called }), START + timeMs)
    cart?.take(report({ direction: "inbound" }), START + timeMs)
  }
  return store
}

function ask(queries: TelemetryQueries, request: MessageInitShape<typeof TimeSeriesRequestSchema>) {
  return timeSeries(cluster(), queries, create(TimeSeriesRequestSchema, request), NOW)
}

const deployments = { namespace: "shop", kind: "deployment" }
const cartOnly = { ...deployments, name: "cart" }

test("a Deployment's points: rates, quantiles and buckets where there was traffic, and nothing where there was none", async () => {
  const queries = localQueries(telemetry(), () => NOW)
  const {
    startMs,
    stepMs,
    points,
    series = [],
  } = await ask(queries, { target: deployments, rangeMs: 20 * MINUTE })
  expect({ startMs, stepMs, points }).toEqual({ startMs: START, stepMs: MINUTE, points: 20 })
  expect(series.map(({ resource }) => resource?.name)).toEqual(["cart"])
  const told = series[0]?.points ?? []
  expect([told[0]?.index, told.length]).toEqual([10, 10])
  expect(told[5]).toMatchObject({ rps: 10, success: 0.9, p50Ms: 2, responses: 600n, failures: 60n })
  expect(told[5]?.p99Ms).toBeGreaterThan(390)
  expect(told[5]?.latencyCounts?.map(Number).filter(count => count > 0)).toEqual([300, 300])
})

test("the same comes over the network, by Service, by namespace, and of one sender only", async () => {
  const store = telemetry()
  const clock = { nowMs: () => NOW, aheadMs: () => 0 }
  const served = await serveTelemetry(store, localQueries(store, clock.nowMs), {
    host: "127.0.0.1",
    port: 0,
    clock,
  })
  try {
    const queries = remoteQueries(`127.0.0.1:${served.port}`)
    const rangeMs = 20 * MINUTE
    for (const request of [
      { target: { namespace: "shop", kind: "service" } },
      { target: { kind: "namespace", name: "shop" } },
      { target: cartOnly, from: { ...deployments, name: "web" } },
      { target: { ...deployments, name: "web" }, to: { namespace: "shop", kind: "service", name: "cart" } },
      { target: { namespace: "shop", kind: "pod", name: "cart-1-ab" } },
    ]) {
      const { series = [] } = await ask(queries, { ...request, rangeMs, stepMs: MINUTE })
      expect(series.map(({ points = [] }) => [points.length, points[4]?.rps])).toEqual([[10, 10]])
    }
    const { series } = await ask(queries, { target: cartOnly, from: cartOnly, rangeMs, stepMs: MINUTE })
    expect(series).toEqual([])
  } finally {
    served.close()
  }
})

test("what cannot be asked is said with what can", async () => {
  const queries = localQueries(telemetry(), () => NOW)
  for (const [request, reason] of [
    [{ rangeMs: 9_000 }, "range_ms must be 10000 to 86400000 milliseconds, or 0 for an hour, not 9000"],
    [{ rangeMs: 86_400_001 }, "range_ms must be"],
    [{ rangeMs: 2 * 3_600_000, stepMs: 30_000 }, "what is older than an hour is kept by the minute"],
    [{ stepMs: 15_000 }, "figures are kept by 10 seconds"],
    [{ rangeMs: MINUTE, stepMs: 2 * MINUTE }, "must not be longer than the range"],
    [{ from: cartOnly, to: cartOnly }, "from and to cannot be asked together"],
    [{ target: { kind: "pod" }, from: cartOnly }, "not by pod; ask for one of those"],
    [{ target: { kind: "deployment", name: "none", namespace: "shop" } }, 'deployment "none" is not known'],
    [{ endMs: Number.NaN }, "end_ms must be milliseconds since 1970"],
  ] as const) {
    const refusal = await ask(queries, { target: cartOnly, ...request }).then(() => "answered", String)
    expect(refusal).toContain(reason)
  }
})
