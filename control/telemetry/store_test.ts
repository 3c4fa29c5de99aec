// Windows over proxies' cumulative reports, with the clock in hand: what is counted once stays counted once.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import fc from "fast-check"
import { telemetryQueryV1, telemetryV1 } from "../../protos/mod.ts"
import { FigureSum, RouteSum } from "./figures.ts"
import { BUCKETS } from "./histogram_edges.ts"
import type { ReportStream } from "./report_stream.ts"
import { MAX_DST_PODS_PER_REPORTER, MAX_PEERS_PER_REPORTER, MAX_SERIES_PER_REPORTER } from "./reporter.ts"
import { TelemetryStore } from "./store.ts"

const START = 1_750_000_000_000
const { INBOUND, OUTBOUND } = telemetryQueryV1.Direction

/** A proxy's own counters, and the reports that it would send of them. */
class FakeProxy {
  readonly about: telemetryV1.Reporter
  successes = 0
  failures = 0
  counts = new Array<number>(BUCKETS).fill(0)
  open = 0
  private declared = false

  constructor(pod: string, startedMs: number, workload = "web") {
    this.about = create(telemetryV1.ReporterSchema, {
      namespace: "shop",
      pod,
      workloadKind: "deployment",
      workload,
      startedAtMs: BigInt(startedMs),
    })
  }

  /** Ends requests, each `bucket` of latency. */
  serve(successes: number, failures = 0, bucket = 2): void {
    this.successes += successes
    this.failures += failures
    this.counts[bucket] = (this.counts[bucket] ?? 0) + successes + failures
  }

  /** What it reports; `fresh` begins a stream again. */
  report(fresh = false): telemetryV1.ReportRequest {
    const declare = fresh || !this.declared
    this.declared = true
    const inbound = { direction: "inbound", tls: "disabled" }
    const series = [
      {
        id: 1,
        metric: "response_total",
        labels: { ...inbound, classification: "success", status_code: "200" },
      },
      {
        id: 2,
        metric: "response_total",
        labels: { ...inbound, classification: "failure", status_code: "500" },
      },
      { id: 3, metric: "response_latency_ms", labels: { ...inbound, status_code: "200" } },
      { id: 4, metric: "tcp_open_connections", labels: { ...inbound, peer: "src" } },
      { id: 5, metric: "tcp_open_connections", labels: { ...inbound, peer: "dst" } },
      { id: 6, metric: "request_total", labels: inbound },
    ]
    return create(telemetryV1.ReportRequestSchema, {
      ...(declare ? { series } : {}),
      samples: [
        { seriesId: 1, value: this.successes },
        { seriesId: 2, value: this.failures },
        { seriesId: 4, value: this.open },
        { seriesId: 5, value: 99 },
        { seriesId: 6, value: 12345 },
      ],
      histograms: [{ seriesId: 3, counts: this.counts.map(BigInt), sum: 0 }],
    })
  }
}

function open(store: TelemetryStore, proxy: FakeProxy): ReportStream {
  const stream = store.openStream(proxy.about)
  if (stream === null) throw new Error("refused")
  return stream
}

function figures(store: TelemetryStore, windowMs: number, nowMs: number) {
  const sum = new FigureSum()
  for (const row of store.traffic(windowMs, INBOUND, nowMs).traffic) sum.add(row)
  return { http: sum.http(), tcp: sum.tcp() }
}

test("a steady rate is told within half a percent in every tier, whatever the phase of the reports", () => {
  for (const phase of [0, 250, 999]) {
    const store = new TelemetryStore(START)
    const proxy = new FakeProxy("web-1", START)
    const stream = open(store, proxy)
    let now = START + phase
    for (let second = 0; second < 3600; second++) {
      now += 1000
      proxy.serve(99, 1)
      stream.take(proxy.report(second === 0), now)
    }
    for (const window of [1_000, 2_000, 5_000, 10_000, 60_000, 120_000, 600_000, 3_600_000]) {
      const { http } = figures(store, window, now + 400)
      expect(Math.abs((http?.rps ?? 0) - 100)).toBeLessThan(window > 120_000 ? 1 : 0.5)
      expect(http?.success).toBeCloseTo(0.99, 6)
    }
  }
})

test("jittered reports do not jitter the rate", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 700, max: 1300 }), { minLength: 90, maxLength: 90 }), gaps => {
      const store = new TelemetryStore(START)
      const proxy = new FakeProxy("web-1", START)
      const stream = open(store, proxy)
      let now = START
      for (const gap of gaps) {
        now += gap
        proxy.serve(gap)
        stream.take(proxy.report(now === START + gap), now)
      }
      const rps = figures(store, 30_000, now).http?.rps ?? 0
      expect(Math.abs(rps - 1000)).toBeLessThan(5)
    }),
    { numRuns: 50 },
  )
})

test("a proxy that is five seconds old shows the rate of those five seconds", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START + 100_000)
  const stream = open(store, proxy)
  for (let second = 1; second <= 5; second++) {
    proxy.serve(40)
    stream.take(proxy.report(second === 1), START + 100_000 + second * 1000)
  }
  const { http } = figures(store, 60_000, START + 105_000)
  expect(http?.rps).toBeCloseTo(40, 6)
  expect(http?.responses).toBe(200)
})

test("a rollout keeps the rate: pods that went stay counted, pods that came do not double it", () => {
  const store = new TelemetryStore(START)
  const old = new FakeProxy("web-old", START)
  const next = new FakeProxy("web-new", START + 60_000)
  const oldStream = open(store, old)
  for (let second = 1; second <= 60; second++) {
    old.serve(50)
    oldStream.take(old.report(second === 1), START + second * 1000)
  }
  oldStream.close()
  const newStream = open(store, next)
  for (let second = 61; second <= 90; second++) {
    next.serve(50)
    newStream.take(next.report(second === 61), START + second * 1000)
  }
  const { http } = figures(store, 60_000, START + 90_000)
  expect(Math.abs((http?.rps ?? 0) - 50)).toBeLessThan(1)
})

test("reports repeated on a new stream count nothing twice", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START + 1)
  const first = open(store, proxy)
  proxy.serve(10)
  first.take(proxy.report(true), START + 1000)
  first.take(proxy.report(), START + 1100)
  const second = open(store, proxy)
  second.take(proxy.report(true), START + 2000)
  proxy.serve(5)
  second.take(proxy.report(), START + 3000)
  first.take(proxy.report(), START + 3100)
  expect(figures(store, 60_000, START + 3200).http?.responses).toBe(15)
})

test("a restarted proxy counts from zero again, and what it counted before stays", () => {
  const store = new TelemetryStore(START)
  const before = new FakeProxy("web-1", START + 1)
  const stream = open(store, before)
  before.serve(30)
  stream.take(before.report(true), START + 1000)
  stream.close()
  const after = new FakeProxy("web-1", START + 2000)
  after.serve(7)
  open(store, after).take(after.report(true), START + 3000)
  expect(figures(store, 60_000, START + 3000).http?.responses).toBe(37)
})

test("after a restart of the control plane old totals are a base, not traffic", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START - 86_400_000)
  proxy.serve(1_000_000)
  const stream = open(store, proxy)
  stream.take(proxy.report(true), START + 1000)
  expect(figures(store, 60_000, START + 1000).http).toBeNull()
  proxy.serve(20)
  stream.take(proxy.report(), START + 2000)
  const { http } = figures(store, 60_000, START + 2000)
  expect(http?.responses).toBe(20)
  expect(http?.rps).toBeCloseTo(20, 6)
})

test("no traffic in the window is no figure, never a zero", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  proxy.serve(10)
  proxy.open = 3
  stream.take(proxy.report(true), START + 1000)
  const later = figures(store, 10_000, START + 30_000)
  expect(later.http).toBeNull()
  expect(later.tcp?.open).toBe(3)
  stream.close()
  expect(figures(store, 10_000, START + 30_000).tcp).toBeNull()
})

test("quantiles are interpolated within their bucket", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  proxy.serve(50, 0, 5) // 5 to 10 ms
  proxy.serve(50, 0, 10) // 50 to 100 ms
  stream.take(proxy.report(true), START + 1000)
  const latency = figures(store, 10_000, START + 1000).http?.latencyMs
  expect(latency).toEqual({ p50: 10, p95: 95, p99: 99 })
})

test("called pods beyond the cap count for their workload only", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  const count = MAX_DST_PODS_PER_REPORTER + 10
  const series = Array.from({ length: count }, (_, id) => ({
    id,
    metric: "response_total",
    labels: {
      direction: "outbound",
      classification: "success",
      dst_namespace: "shop",
      dst_service: "cart",
      dst_deployment: "cart",
      dst_pod: `cart-${id}`,
    },
  }))
  const samples = series.map(({ id }) => ({ seriesId: id, value: 1 }))
  stream.take(create(telemetryV1.ReportRequestSchema, { series, samples }), START + 1000)
  const rows = store.traffic(60_000, OUTBOUND, START + 1000).traffic
  expect(rows.length).toBe(MAX_DST_PODS_PER_REPORTER + 1)
  const folded = rows.find(row => row.dst?.pod === "")
  expect(folded).toMatchObject({ successes: 10n, dst: { workloadKind: "deployment", workload: "cart" } })
})

test("proxies that went are forgotten after the longest window, with all that they held", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  proxy.serve(1)
  stream.take(proxy.report(true), START + 1000)
  stream.close()
  store.sweep(START + 3_600_000)
  expect(store.reporterCount).toBe(1)
  store.sweep(START + 3_602_000)
  expect([store.reporterCount, store.peerCount]).toEqual([0, 0])
})

test("a peer whose series the proxy dropped makes room after the longest window", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  proxy.serve(1)
  stream.take(proxy.report(true), START + 1000)
  stream.take(create(telemetryV1.ReportRequestSchema, { dropped: [1, 2, 3, 4, 5, 6] }), START + 600_000)
  store.sweep(START + 601_000)
  expect(store.peerCount).toBe(1)
  store.sweep(START + 3_602_000)
  expect(store.peerCount).toBe(0)
})

test("totals of an older proxy are a base also when they come in several messages", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START - 86_400_000)
  const stream = open(store, proxy)
  const message = (id: number, value: number) =>
    create(telemetryV1.ReportRequestSchema, {
      series: [
        {
          id,
          metric: "response_total",
          labels: { direction: "inbound", classification: "success", status_code: String(200 + id) },
        },
      ],
      samples: [{ seriesId: id, value }],
    })
  stream.take(message(1, 1_000_000), START + 1000)
  stream.take(message(2, 2_000_000), START + 1300)
  expect(figures(store, 60_000, START + 1400).http).toBeNull()
  stream.take(message(3, 5), START + 2000)
  expect(figures(store, 60_000, START + 2000).http?.responses).toBe(5)
})

test("quiet before a window does not dilute the rate within it", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  stream.take(proxy.report(true), START + 28_200)
  for (let second = 30; second <= 40; second++) {
    if (second > 30) proxy.serve(100)
    stream.take(proxy.report(), START + second * 1000 + 900)
  }
  expect(figures(store, 10_000, START + 40_900).http?.rps).toBeCloseTo(100, 6)
  const quiet = new TelemetryStore(START)
  const late = new FakeProxy("web-1", START)
  const lateStream = open(quiet, late)
  lateStream.take(late.report(true), START + 28_200)
  for (let second = 31; second <= 40; second++) {
    late.serve(100)
    lateStream.take(late.report(), START + second * 1000 + 900)
  }
  expect(figures(quiet, 10_000, START + 40_900).http?.rps).toBeCloseTo(100, 6)
})

test("a route's figures are kept apart from those of traffic, with what was sent", () => {
  const store = new TelemetryStore(START)
  const proxy = new FakeProxy("web-1", START)
  const stream = open(store, proxy)
  const route = { direction: "outbound", dst_service: "cart", dst_namespace: "shop", rt_route: "split" }
  const series = [
    {
      id: 1,
      metric: "route_response_total",
      labels: { ...route, classification: "success", status_code: "200" },
    },
    {
      id: 2,
      metric: "route_response_total",
      labels: { ...route, classification: "failure", status_code: "503" },
    },
    { id: 3, metric: "route_response_latency_ms", labels: route },
    { id: 4, metric: "route_actual_request_total", labels: route },
    { id: 5, metric: "route_request_total", labels: route },
  ]
  const counts = new Array<bigint>(BUCKETS).fill(0n)
  for (let second = 0; second <= 10; second++) {
    counts[2] = BigInt(second * 10)
    const samples = [
      { seriesId: 1, value: second * 9 },
      { seriesId: 2, value: second },
      { seriesId: 4, value: second * 15 },
      { seriesId: 5, value: second * 10 },
    ]
    const report = create(telemetryV1.ReportRequestSchema, {
      ...(second === 0 ? { series } : {}),
      samples,
      histograms: [{ seriesId: 3, counts, sum: 0 }],
    })
    stream.take(report, START + second * 1000)
  }
  const now = START + 10_000
  const { routes } = store.routes(5_000, now)
  expect(
    routes.map(({ dstNamespace, dstService, route: name }) => `${dstNamespace}/${dstService} ${name}`),
  ).toEqual(["shop/cart split"])
  const sum = new RouteSum()
  for (const row of routes) sum.add(row)
  expect(sum.http()).toMatchObject({ success: 0.9, responses: 50, failures: 5 })
  expect(sum.http()?.rps).toBeCloseTo(10, 6)
  // 50 requests in 75 attempts, 45 of which were answered well.
  expect(sum.actual()?.success).toBeCloseTo(45 / 75, 6)
  expect(sum.actual()?.rps).toBeCloseTo(15, 6)
  expect(store.traffic(5_000, OUTBOUND, now).traffic).toEqual([])
})

test("a renewal of a proxy's certificate is noted when it comes, its first certificate is none", () => {
  const store = new TelemetryStore(START)
  const stream = open(store, new FakeProxy("web-1", START))
  const renewed = (): number | undefined => store.known().reporters[0]?.certificateRenewedMs
  const report = (value: number, atMs: number, first = false): void => {
    const series = first ? [{ id: 7, metric: "identity_cert_refresh_count", labels: {} }] : []
    const samples = [{ seriesId: 7, value }]
    stream.take(create(telemetryV1.ReportRequestSchema, { series, samples }), atMs)
  }
  report(0, START + 1000, true)
  report(1, START + 2000)
  expect(renewed()).toBe(0)
  report(2, START + 9000)
  expect(renewed()).toBe(START + 9000)
  report(2, START + 12_000)
  expect(renewed()).toBe(START + 9000)
})

test("a proxy that invents a million authorities, methods and paths is bounded, and nobody else pays for it", () => {
  const store = new TelemetryStore(START)
  const good = new FakeProxy("web-1", START)
  const goodStream = open(store, good)
  good.serve(10)
  goodStream.take(good.report(true), START + 1000)
  const hostile = open(store, new FakeProxy("evil-1", START))
  const EACH = 10_000
  const before = process.memoryUsage().rss
  for (let begin = 0; begin < 1_000_000; begin += EACH) {
    const series = Array.from({ length: EACH }, (_, index) => {
      const id = begin + index
      const name = `invented-${id}`
      return id % 2 === 0
        ? {
            id,
            metric: "response_total",
            labels: { direction: "inbound", client_id: name, classification: "success" },
          }
        : {
            id,
            metric: "access_total",
            labels: { method: name, path: `/${name}`, verdict: "allow", client_ip: name },
          }
    })
    const samples = series.map(({ id }) => ({ seriesId: id, value: 1 }))
    hostile.take(create(telemetryV1.ReportRequestSchema, { series, samples }), START + 2000)
  }
  expect(store.peerCount).toBeLessThanOrEqual(MAX_PEERS_PER_REPORTER + 1)
  expect(store.peerCount + store.accessCount).toBeLessThanOrEqual(MAX_SERIES_PER_REPORTER + 1)
  expect(process.memoryUsage().rss - before).toBeLessThan(500 * 1024 * 1024)
  good.serve(5)
  goodStream.take(good.report(), START + 3000)
  const mine = store
    .traffic(10_000, INBOUND, START + 3000)
    .traffic.filter(row => row.reporter?.pod === "web-1")
  expect(mine.map(row => row.successes)).toEqual([15n])
}, 30_000)
