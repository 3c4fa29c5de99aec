// Reports as the control plane reads them, on a link that tests hold in their hands.
import { expect, test } from "bun:test"
import { fromBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { telemetryV1 } from "../../protos/mod.ts"
import type { ControlLinkHandler, Link } from "../control_plane/mod.ts"
import { TimerWheel } from "../net/mod.ts"
import { Registry } from "./registry.ts"
import {
  MAX_SERIES_PER_TURN,
  MAX_UNSENT_BYTES,
  REPORT_INTERVAL_MS,
  Reporter,
  TURN_INTERVAL_MS,
} from "./reporter.ts"
import { LATENCY_EDGES_MS, type Metric, SeriesGroup } from "./series.ts"

const REQUESTS: Metric = { name: "request_total", kind: "counter", help: "" }
const LATENCY: Metric = { name: "response_latency_ms", kind: "histogram", help: "" }
const OWN: Metric = { name: "process_open_fds", kind: "gauge", help: "" }

class TestLink implements Link {
  up = false
  queuedBytes = 0
  finished = false
  readonly counts = { attempted: 0, opened: 0, failed: 0, received: 0, sent: 0 }
  messages: telemetryV1.ReportRequest[] = []

  start(): void {}
  hurry(): void {}
  stop(): void {}
  finish(): void {
    this.finished = true
  }
  send(message: Uint8Array): void {
    this.messages.push(fromBinary(telemetryV1.ReportRequestSchema, message))
  }
  take(): telemetryV1.ReportRequest[] {
    const messages = this.messages
    this.messages = []
    return messages
  }
}

function fixture() {
  const clock = { nowMs: 0 }
  const timers = new TimerWheel(clock)
  const registry = new Registry()
  const link = new TestLink()
  let handler: ControlLinkHandler | null = null
  const reporter = new Reporter({
    openLink: given => {
      handler = given
      return link
    },
    address: "telemetry:8087",
    timers,
    random: () => 0.5,
    registries: [registry],
    info: {
      namespace: "shop",
      pod: "web-1",
      workloadKind: "deployment",
      workload: "web",
      version: "1",
      startedAtMs: 5,
    },
  })
  reporter.start()
  const open = () => {
    link.up = true
    handler?.onOpen()
  }
  const wait = (ms: number) => {
    clock.nowMs += ms
    timers.advance()
  }
  return { clock, registry, link, reporter, open, wait }
}

test("a stream begins with who reports and the edges of histograms", () => {
  const { link, open } = fixture()
  open()
  const [first] = link.take()
  expect(first?.reporter).toMatchObject({
    namespace: "shop",
    pod: "web-1",
    workloadKind: "deployment",
    workload: "web",
    proxyVersion: "1",
    startedAtMs: 5n,
    histogramEdgesMs: [...LATENCY_EDGES_MS],
  })
})

test("a series is named once, then only its changes are sent", () => {
  const { registry, link, open, wait } = fixture()
  const group = registry.group("g", key => new SeriesGroup(key))
  const hits = registry.scalar(group, REQUESTS, [["direction", "inbound"]])
  const latency = registry.histogram(group, LATENCY, [])
  hits.value = 3
  latency.observe(7)
  latency.observe(70_000)
  open()
  const all = link.take()
  const series = all.flatMap(message => message.series)
  expect(series.map(({ metric, labels }) => [metric, labels])).toEqual([
    ["request_total", { direction: "inbound" }],
    ["response_latency_ms", {}],
  ])
  expect(all.flatMap(message => message.samples)).toMatchObject([{ seriesId: series[0]?.id, value: 3 }])
  const histogram = all.flatMap(message => message.histograms)[0]
  expect(histogram?.counts).toHaveLength(LATENCY_EDGES_MS.length + 1)
  expect(histogram?.counts[5]).toBe(1n)
  expect(histogram?.counts.at(-1)).toBe(1n)
  expect(histogram?.sum).toBe(70_007)
  wait(REPORT_INTERVAL_MS + 10)
  expect(link.take()).toEqual([])
  hits.value++
  wait(REPORT_INTERVAL_MS + 10)
  const [change] = link.take()
  expect(change?.series).toEqual([])
  expect(change?.samples).toMatchObject([{ seriesId: series[0]?.id, value: 4 }])
})

test("a long report is sent in parts, so that requests do not wait for it", () => {
  const { registry, link, open, wait } = fixture()
  const count = 2 * MAX_SERIES_PER_TURN + 10
  for (let i = 0; i < count; i++) {
    const group = registry.group(`g${i}`, key => new SeriesGroup(key))
    registry.scalar(group, REQUESTS, [["i", String(i)]]).value = i + 1
  }
  open()
  const parts: number[] = []
  for (let i = 0; i < 4; i++) {
    parts.push(link.take().flatMap(message => message.samples).length)
    wait(TURN_INTERVAL_MS + 5)
  }
  expect(parts).toEqual([MAX_SERIES_PER_TURN, MAX_SERIES_PER_TURN, 10, 0])
})

test("the process's own figures are not reported", () => {
  const { registry, link, open } = fixture()
  registry.scalar(
    registry.group("g", key => new SeriesGroup(key)),
    OWN,
    [],
  ).value = 9
  open()
  expect(link.take().flatMap(message => message.series)).toEqual([])
})

test("a new stream gets everything again", () => {
  const { registry, link, open, wait } = fixture()
  const hits = registry.scalar(
    registry.group("g", key => new SeriesGroup(key)),
    REQUESTS,
    [],
  )
  hits.value = 1
  open()
  link.take()
  link.up = false
  hits.value = 2
  wait(20_000)
  expect(link.take()).toEqual([])
  open()
  const again = link.take()
  expect(again.flatMap(message => message.series)).toHaveLength(1)
  expect(again.flatMap(message => message.samples)[0]?.value).toBe(2)
})

test("a server that does not read gets no further report until it does", () => {
  const { registry, link, open, wait } = fixture()
  const hits = registry.scalar(
    registry.group("g", key => new SeriesGroup(key)),
    REQUESTS,
    [],
  )
  open()
  link.take()
  link.queuedBytes = MAX_UNSENT_BYTES + 1
  hits.value = 1
  wait(10 * REPORT_INTERVAL_MS)
  expect(link.take()).toEqual([])
  link.queuedBytes = 0
  wait(REPORT_INTERVAL_MS + 10)
  expect(link.take().flatMap(message => message.samples)[0]?.value).toBe(1)
})

test("dropped series are told, and their numbers used again only after that", () => {
  const { registry, link, open, wait, clock } = fixture()
  registry.scalar(
    registry.group("old", key => new SeriesGroup(key)),
    REQUESTS,
    [["a", "old"]],
  ).value = 1
  open()
  const id = link.take().flatMap(message => message.series)[0]?.id as number
  registry.sweep(clock.nowMs)
  registry.sweep(clock.nowMs + 600_000)
  registry.scalar(
    registry.group("new", key => new SeriesGroup(key)),
    REQUESTS,
    [["a", "new"]],
  ).value = 1
  wait(REPORT_INTERVAL_MS + 10)
  const messages = link.take()
  expect(messages[0]?.dropped).toEqual([id])
  const named = messages.flatMap(message => message.series)
  expect(named).toHaveLength(1)
  expect(named[0]?.id).toBe(id)
})

test("the last report carries what changed and ends the stream", () => {
  const { registry, link, open, reporter, wait } = fixture()
  const hits = registry.scalar(
    registry.group("g", key => new SeriesGroup(key)),
    REQUESTS,
    [],
  )
  open()
  link.take()
  hits.value = 42
  reporter.finish()
  expect(link.take().flatMap(message => message.samples)[0]?.value).toBe(42)
  expect(link.finished).toBe(true)
  hits.value = 43
  wait(10_000)
  expect(link.take()).toEqual([])
})

test("whatever happens, a server that sums up the messages knows what the proxy counted", () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant("hit" as const), at: fc.nat(5), by: fc.integer({ min: 1, max: 5 }) }),
    fc.record({ kind: fc.constant("wait" as const) }),
    fc.record({ kind: fc.constant("reconnect" as const) }),
    fc.record({ kind: fc.constant("idle" as const) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), steps => {
      const { registry, link, open, wait, clock } = fixture()
      let names = new Map<number, string>()
      let values = new Map<string, number>()
      const take = () => {
        for (const message of link.take()) {
          if (message.reporter !== undefined) {
            names = new Map()
            values = new Map()
          }
          for (const id of message.dropped) {
            expect(names.has(id)).toBe(true)
            values.delete(names.get(id) as string)
            names.delete(id)
          }
          for (const series of message.series) {
            expect(names.has(series.id)).toBe(false)
            names.set(series.id, series.labels.at as string)
          }
          for (const sample of message.samples) {
            expect(names.has(sample.seriesId)).toBe(true)
            values.set(names.get(sample.seriesId) as string, sample.value)
          }
        }
      }
      open()
      for (const each of steps) {
        if (each.kind === "hit") {
          const group = registry.group(`g${each.at}`, key => {
            const made = new SeriesGroup(key)
            registry.scalar(made, REQUESTS, [["at", String(each.at)]])
            return made
          })
          const [series] = group.series
          if (series !== undefined && "value" in series) series.value += each.by
        } else if (each.kind === "wait") wait(REPORT_INTERVAL_MS + 10)
        else if (each.kind === "reconnect") open()
        else {
          registry.sweep(clock.nowMs)
          registry.sweep(clock.nowMs + 600_000)
        }
        take()
      }
      wait(REPORT_INTERVAL_MS + 10)
      take()
      const counted = new Map(
        [...registry.all()].map(series => [
          series.labels[0]?.[1] as string,
          "value" in series ? series.value : 0,
        ]),
      )
      expect(values).toEqual(counted)
    }),
  )
})
