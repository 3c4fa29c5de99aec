// Windows of access records, with the clock in hand: what is reported twice, late or on a new stream counts once.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { telemetryV1 } from "../../protos/mod.ts"
import { MAX_ACCESS_ENTRIES } from "./access_ledger.ts"
import type { ReportStream } from "./report_stream.ts"
import { TelemetryStore } from "./store.ts"

const START = 1_750_000_000_000

const VOTE = {
  client_id: "web.shop.serviceaccount.identity.conduit.cluster.local",
  client_ip: "10.0.0.7",
  port: "8080",
  protocol: "grpc",
  method: "POST",
  path: "/v1.Voting/Vote",
  example: "/v1.Voting/Vote",
  verdict: "allow",
  policy: "default",
}

function open(store: TelemetryStore, startedMs = START, pod = "voting-1"): ReportStream {
  const about = create(telemetryV1.ReporterSchema, {
    namespace: "shop",
    pod,
    workloadKind: "deployment",
    workload: "voting",
    startedAtMs: BigInt(startedMs),
  })
  const stream = store.openStream(about)
  if (stream === null) throw new Error("no room")
  return stream
}

type Values = Readonly<Record<number, number>>

function report(series: Readonly<Record<number, Record<string, string>>>, values: Values) {
  return create(telemetryV1.ReportRequestSchema, {
    series: Object.entries(series).map(([id, labels]) => ({
      id: Number(id),
      metric: "access_total",
      labels,
    })),
    samples: Object.entries(values).map(([id, value]) => ({ seriesId: Number(id), value })),
  })
}

function counts(store: TelemetryStore, windowMs: number, nowMs: number): Record<string, number> {
  const rows = store.access(windowMs, nowMs).accesses
  return Object.fromEntries(
    rows.map(row => [row.other ? `other ${row.verdict}` : `${row.method} ${row.path}`, Number(row.count)]),
  )
}

test("a record is answered with all that it says, and with the time that its count covers", () => {
  const store = new TelemetryStore(START)
  const stream = open(store)
  stream.take(report({ 1: VOTE }, { 1: 40 }), START + 1000)
  stream.take(report({}, { 1: 80 }), START + 2000)
  expect(store.access(10_000, START + 2000).accesses).toEqual([
    {
      $typeName: "conduit.telemetry.v1.Access",
      reporter: expect.objectContaining({ namespace: "shop", pod: "voting-1", workload: "voting" }),
      clientId: VOTE.client_id,
      clientIp: "10.0.0.7",
      port: 8080,
      protocol: "grpc",
      method: "POST",
      path: VOTE.path,
      example: VOTE.path,
      verdict: "allow",
      policy: "default",
      audit: "",
      other: false,
      count: 80n,
      fromMs: START,
      toMs: START + 2000,
      wholeWindow: false,
    },
  ])
})

test("a report that is repeated, one that was lost, and one on a new stream count what happened once", () => {
  const store = new TelemetryStore(START)
  const first = open(store)
  first.take(report({ 1: VOTE }, { 1: 10 }), START + 1000)
  first.take(report({ 1: VOTE }, { 1: 10 }), START + 1100)
  // The report with 20 is lost.
  first.take(report({}, { 1: 30 }), START + 3000)
  const second = open(store)
  second.take(report({ 9: VOTE }, { 9: 35 }), START + 4000)
  first.take(report({}, { 1: 33 }), START + 4100)
  expect(counts(store, 60_000, START + 4200)).toEqual({ "POST /v1.Voting/Vote": 35 })
})

test("what happened before the window is not in it", () => {
  const store = new TelemetryStore(START)
  const stream = open(store)
  stream.take(report({ 1: VOTE }, { 1: 100 }), START + 1000)
  for (let second = 2; second <= 30; second++) stream.take(report({}, { 1: 100 }), START + second * 1000)
  stream.take(report({}, { 1: 107 }), START + 31_000)
  expect(counts(store, 10_000, START + 31_000)).toEqual({ "POST /v1.Voting/Vote": 7 })
  expect(counts(store, 60_000, START + 31_000)).toEqual({ "POST /v1.Voting/Vote": 107 })
  expect(counts(store, 10_000, START + 60_000)).toEqual({})
})

test("what a proxy counted before this service began is no traffic", () => {
  const store = new TelemetryStore(START)
  const stream = open(store, START - 3_600_000)
  stream.take(report({ 1: VOTE }, { 1: 1_000_000 }), START + 1000)
  stream.take(report({}, { 1: 1_000_005 }), START + 2000)
  expect(counts(store, 60_000, START + 2000)).toEqual({ "POST /v1.Voting/Vote": 5 })
  expect(store.known().reporters[0]?.sinceMs).toBe(START + 1000)
})

test("a record that the proxy dropped keeps its window, and begins again from zero", () => {
  const store = new TelemetryStore(START)
  const stream = open(store)
  stream.take(report({ 1: VOTE }, { 1: 10 }), START + 1000)
  stream.take(create(telemetryV1.ReportRequestSchema, { dropped: [1] }), START + 2000)
  stream.take(report({ 1: VOTE }, { 1: 12 }), START + 3000)
  expect(counts(store, 60_000, START + 3000)).toEqual({ "POST /v1.Voting/Vote": 22 })
})

test("records beyond the bound count as other of their verdict, and make room after the longest window", () => {
  const store = new TelemetryStore(START)
  const streams = Array.from({ length: 3 }, (_, pod) => open(store, START, `voting-${pod}`))
  const each = Math.ceil((MAX_ACCESS_ENTRIES + 100) / 3)
  for (const stream of streams) {
    const series: Record<number, Record<string, string>> = {}
    const values: Record<number, number> = {}
    for (let id = 1; id <= each; id++) {
      series[id] = { ...VOTE, path: `/s/${id}`, verdict: id % 2 === 0 ? "deny" : "allow" }
      values[id] = 2
    }
    stream.take(report(series, values), START + 1000)
    stream.take(report({}, { 1: 3 }), START + 2000)
  }
  expect(store.accessCount).toBeLessThanOrEqual(MAX_ACCESS_ENTRIES + 2)
  const rows = store.access(60_000, START + 2000).accesses
  expect(rows.reduce((sum, row) => sum + Number(row.count), 0)).toBe(3 * (each * 2 + 1))
  expect(
    rows
      .filter(row => row.other)
      .map(row => row.verdict)
      .sort(),
  ).toEqual(["allow", "deny"])
  expect(store.losses.foldedAccesses).toBeGreaterThan(0)
  for (const stream of streams) stream.close()
  store.sweep(START + 3_603_000)
  expect(store.accessCount).toBe(0)
})

test("labels that no proxy sends do no harm: they count as other", () => {
  const store = new TelemetryStore(START)
  const stream = open(store)
  stream.take(
    report(
      { 1: { ...VOTE, path: "x".repeat(2000) }, 2: { other: "true", verdict: "nonsense" }, 3: {} },
      {
        1: 1,
        2: 2,
        3: 4,
      },
    ),
    START + 1000,
  )
  stream.take(report({}, { 1: Number.POSITIVE_INFINITY, 2: Number.NaN }), START + 2000)
  expect(counts(store, 60_000, START + 2000)).toEqual({ "other allow": 1, "other deny": 2, " ": 4 })
})
