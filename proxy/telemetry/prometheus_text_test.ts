// The exposition, read back by a parser of the format.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { OUTBOUND } from "./http_series.ts"
import { prometheusText } from "./prometheus_text.ts"
import { Histogram, LATENCY_EDGES_MS, type Labels, type Metric, Scalar, type Series } from "./series.ts"
import { Telemetry } from "./telemetry.ts"

const HITS: Metric = { name: "hits_total", kind: "counter", help: "Hits \\ and\nmisses." }
const WAIT: Metric = { name: "wait_ms", kind: "histogram", help: "Waiting." }

interface Parsed {
  readonly types: ReadonlyMap<string, string>
  readonly samples: { name: string; labels: Record<string, string>; value: number }[]
}

/** Reads the text format strictly: throws on anything that Prometheus would refuse. */
function parse(text: string): Parsed {
  if (text !== "" && !text.endsWith("\n")) throw new Error("the last line has no end")
  const types = new Map<string, string>()
  const helped = new Set<string>()
  const samples: Parsed["samples"] = []
  const seen = new Set<string>()
  let family = ""
  for (const line of text.split("\n").slice(0, -1)) {
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/.exec(line)
    if (comment !== null) {
      const [, kind, name, rest] = comment as unknown as [string, string, string, string]
      const known = kind === "HELP" ? helped.has(name) : types.has(name)
      if (known) throw new Error(`${kind} of ${name} comes twice`)
      if (kind === "HELP") helped.add(name)
      else types.set(name, rest)
      family = name
      continue
    }
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^\n]*)\})? (\S+)$/.exec(line)
    if (match === null) throw new Error(`no sample: ${line}`)
    const [, name, labelPart, valueText] = match as unknown as [string, string, string | undefined, string]
    const base = types.get(family) === "histogram" ? name.replace(/_(bucket|sum|count)$/, "") : name
    if (base !== family) throw new Error(`${name} stands under ${family}`)
    const labels: Record<string, string> = {}
    let rest = labelPart ?? ""
    while (rest !== "") {
      const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)/.exec(rest)
      if (label === null) throw new Error(`no label: ${rest}`)
      const [whole, key, value] = label as unknown as [string, string, string]
      if (key in labels) throw new Error(`label ${key} comes twice`)
      labels[key] = value.replace(/\\(["\\n])/g, (_, c: string) => (c === "n" ? "\n" : c))
      rest = rest.slice(whole.length)
    }
    const value = valueText === "+Inf" ? Number.POSITIVE_INFINITY : Number(valueText)
    if (Number.isNaN(value)) throw new Error(`no number: ${line}`)
    const id = `${name} ${JSON.stringify(Object.entries(labels).sort())}`
    if (seen.has(id)) throw new Error(`series comes twice: ${id}`)
    seen.add(id)
    samples.push({ name, labels, value })
  }
  return { types, samples }
}

test("label values of any kind come back as they were", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      (label, value) => {
        const clean = label.replaceAll("\0", "")
        const series = new Scalar(HITS, [["authority", clean]])
        series.value = value
        const { samples } = parse(prometheusText([series]))
        expect(samples).toEqual([{ name: "hits_total", labels: { authority: clean }, value: value + 0 }])
      },
    ),
  )
})

test("a histogram's buckets are cumulative, end at +Inf, and agree with its count and sum", () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 1e5, noNaN: true }), { maxLength: 60 }), values => {
      const histogram = new Histogram(WAIT, [["a", "b"]])
      for (const value of values) histogram.observe(value)
      const { samples, types } = parse(prometheusText([histogram]))
      expect(types.get("wait_ms")).toBe("histogram")
      const buckets = samples.filter(sample => sample.name === "wait_ms_bucket")
      expect(buckets).toHaveLength(LATENCY_EDGES_MS.length + 1)
      for (const { labels, value } of buckets) {
        const edge = labels.le === "+Inf" ? Number.POSITIVE_INFINITY : Number(labels.le)
        expect(value).toBe(values.filter(observed => observed <= edge).length)
      }
      expect(samples.find(sample => sample.name === "wait_ms_count")?.value).toBe(values.length)
      expect(samples.find(sample => sample.name === "wait_ms_sum")?.value).toBeCloseTo(
        values.reduce((a, b) => a + b, 0),
        3,
      )
    }),
  )
})

test("what is not a number is shown as 0, never as NaN", () => {
  const series = new Scalar(HITS, [])
  series.value = Number.NaN
  expect(prometheusText([series])).toEndWith("hits_total 0\n")
})

test("series of one metric stand together under one HELP and TYPE, wherever they come from", () => {
  const of = (metric: Metric, labels: Labels): Series =>
    metric.kind === "histogram" ? new Histogram(metric, labels) : new Scalar(metric, labels)
  const text = prometheusText([of(HITS, [["a", "1"]]), of(WAIT, []), of(HITS, [["a", "2"]])])
  expect(parse(text).samples.filter(sample => sample.name === "hits_total")).toHaveLength(2)
})

test("everything that a proxy shows can be parsed, the process's own figures included", () => {
  const clock = { nowMs: 0 }
  const telemetry = new Telemetry(clock, undefined, { version: "1.2.3" })
  const record = telemetry.openConnection({
    direction: OUTBOUND,
    peer: "dst",
    targetAddress: "[fd00::1]:80",
    tls: "no_identity",
    clientId: "",
    serverId: "",
    dstService: 'we"ird',
    dstNamespace: "n",
    dst: null,
  })
  record.add(5, 6)
  record.close("ECONNRESET")
  const { samples, types } = parse(telemetry.text())
  const figureOf = (name: string) => samples.find(sample => sample.name === name)?.value
  expect(figureOf("tcp_open_total")).toBe(1)
  expect(figureOf("tcp_open_connections")).toBe(0)
  expect(figureOf("tcp_read_bytes_total")).toBe(5)
  expect(figureOf("tcp_write_bytes_total")).toBe(6)
  expect(samples.find(sample => sample.name === "tcp_close_total")?.labels.error).toBe("ECONNRESET")
  expect(types.get("tcp_open_connections")).toBe("gauge")
  expect(samples.find(sample => sample.name === "conduit_build_info")?.labels).toEqual({ version: "1.2.3" })
  for (const name of [
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
    "process_virtual_memory_bytes",
    "process_open_fds",
    "process_max_fds",
    "process_start_time_seconds",
  ]) {
    expect([name, (figureOf(name) ?? 0) > 0]).toEqual([name, true])
  }
})
