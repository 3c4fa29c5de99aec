// Series come, stay while they change or something runs, and go; their number is bounded.
import { expect, test } from "bun:test"
import { Endpoint, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import {
  AuthorityLabels,
  MAX_AUTHORITIES,
  MAX_AUTHORITY_LENGTH,
  OTHER_AUTHORITY,
} from "./authority_labels.ts"
import { HttpMetrics, OUTBOUND, type ScopeLabels } from "./http_series.ts"
import { IDLE_SERIES_MS, Registry } from "./registry.ts"
import { type Metric, type Series, SeriesGroup } from "./series.ts"
import { Telemetry } from "./telemetry.ts"

const HITS: Metric = { name: "hits_total", kind: "counter", help: "Hits." }
const SCOPE: ScopeLabels = {
  direction: OUTBOUND,
  dstService: "web",
  dstNamespace: "shop",
  tls: null,
  clientId: "",
  route: "",
}

test("a group without change for ten minutes is dropped as a whole", () => {
  const registry = new Registry()
  const group = registry.group("a", key => new SeriesGroup(key))
  const hits = registry.scalar(group, HITS, [])
  registry.scalar(group, HITS, [["code", "200"]])
  const gone: Series[] = []
  registry.onDrop(series => gone.push(series))
  registry.sweep(0)
  hits.value++
  registry.sweep(60_000)
  registry.sweep(60_000 + IDLE_SERIES_MS - 1)
  expect(registry.size).toBe(2)
  registry.sweep(60_000 + IDLE_SERIES_MS)
  expect([registry.size, group.dropped, gone.length]).toEqual([0, true, 2])
  expect(registry.group("a", key => new SeriesGroup(key))).not.toBe(group)
})

test("a group in which something runs stays", () => {
  const registry = new Registry()
  const group = registry.group("a", key => new SeriesGroup(key))
  registry.scalar(group, HITS, [])
  group.running = 1
  for (let i = 0; i <= 3; i++) registry.sweep(i * IDLE_SERIES_MS)
  expect(group.dropped).toBe(false)
  group.running = 0
  registry.sweep(4 * IDLE_SERIES_MS)
  expect(group.dropped).toBe(true)
})

test("beyond the cap, new peers share one series instead of growing without bound", () => {
  const registry = new Registry(100)
  const http = new HttpMetrics(registry)
  const authorities = new AuthorityLabels()
  const authority = authorities.of("web")
  for (let i = 0; i < 5000; i++) {
    const endpoint = new Endpoint(`10.0.${i >> 8}.${i & 255}`, 80, UNKNOWN_ENDPOINT)
    const series = http.requests(http.scope(SCOPE), endpoint, authority)
    series.request()
    series.response(200, -1, false, "", 1)
  }
  expect(registry.size).toBeLessThan(110)
  const requests = [...registry.all()].filter(series => series.metric.name === "request_total")
  const overflow = requests.find(series => series.labels.some(label => label[1] === OTHER_AUTHORITY))
  expect(overflow).toBeDefined()
  const total = requests.reduce((sum, series) => sum + ("value" in series ? series.value : 0), 0)
  expect(total).toBe(5000)
})

test("the same endpoint, authority and scope give the same series, without a search", () => {
  const http = new HttpMetrics(new Registry())
  const authorities = new AuthorityLabels()
  const endpoint = new Endpoint("10.0.0.1", 80)
  const scope = http.scope(SCOPE)
  const a = http.requests(scope, endpoint, authorities.of("a"))
  const b = http.requests(scope, endpoint, authorities.of("b"))
  expect(a).not.toBe(b)
  expect(http.requests(scope, endpoint, authorities.of("a"))).toBe(a)
  expect(http.requests(http.scope({ ...SCOPE }), endpoint, authorities.of("b"))).toBe(b)
  // The same address discovered again: another object, the same series.
  expect(http.requests(scope, new Endpoint("10.0.0.1", 80), authorities.of("a"))).toBe(a)
})

test("an update that changes no label costs one search, not one a request", () => {
  let searches = 0
  const registry = new (class extends Registry {
    override has(key: string): boolean {
      searches++
      return super.has(key)
    }
    override get full(): boolean {
      return true
    }
  })()
  const http = new HttpMetrics(registry)
  const authority = new AuthorityLabels().of("a")
  const endpoint = new Endpoint("10.0.0.1", 80)
  const scope = http.scope(SCOPE)
  const before = http.requests(scope, endpoint, authority)
  endpoint.info = { ...endpoint.info, zone: "z" }
  searches = 0
  for (let i = 0; i < 5; i++) expect(http.requests(scope, endpoint, authority)).toBe(before)
  expect(searches).toBe(1)
})

test("an endpoint that another workload took over is counted under its new name", () => {
  const registry = new Registry()
  const http = new HttpMetrics(registry)
  const authority = new AuthorityLabels().of("a")
  const endpoint = new Endpoint("10.0.0.1", 80, {
    ...UNKNOWN_ENDPOINT,
    workloadKind: "deployment",
    workload: "old",
  })
  const before = http.requests(http.scope(SCOPE), endpoint, authority)
  endpoint.info = { ...endpoint.info, workload: "new" }
  expect(http.requests(http.scope(SCOPE), endpoint, authority)).not.toBe(before)
})

test("authorities beyond the bound become `other`, and places are freed when nothing bears them", () => {
  const labels = new AuthorityLabels(3)
  const [a] = [labels.of("a"), labels.of("b"), labels.of("c")]
  expect(labels.of("d").text).toBe(OTHER_AUTHORITY)
  expect(labels.of("A")).toBe(a as ReturnType<typeof labels.of>)
  expect(labels.of("x".repeat(MAX_AUTHORITY_LENGTH + 1)).text).toBe(OTHER_AUTHORITY)
  labels.retain(new Set(["a"]))
  expect(labels.of("d").text).toBe("d")
  expect(labels.of("a")).toBe(a as ReturnType<typeof labels.of>)
})

test("a million authorities are a bounded number of labels, and `other`", () => {
  const labels = new AuthorityLabels()
  const seen = new Set<number>()
  let others = 0
  for (let i = 0; i < 1_000_000; i++) {
    const label = labels.of(`name-${i}.example`)
    if (label.text === OTHER_AUTHORITY) others++
    seen.add(label.id)
  }
  expect([seen.size, others]).toEqual([MAX_AUTHORITIES + 1, 1_000_000 - MAX_AUTHORITIES])
})

test("a sweep frees the authorities of series that went", () => {
  const clock = { nowMs: 0 }
  const telemetry = new Telemetry(clock)
  const scope = telemetry.http.scope(SCOPE)
  const endpoint = new Endpoint("10.0.0.1", 80)
  const label = telemetry.authorities.of("a")
  telemetry.http.requests(scope, endpoint, label).request()
  telemetry.sweep()
  expect(telemetry.authorities.of("a")).toBe(label)
  clock.nowMs += IDLE_SERIES_MS
  telemetry.sweep()
  expect(telemetry.authorities.of("a")).not.toBe(label)
})

test("connections with an error are closed under it, and bytes of open ones count", () => {
  const clock = { nowMs: 0 }
  const telemetry = new Telemetry(clock)
  const open = () =>
    telemetry.openConnection({
      direction: OUTBOUND,
      peer: "src",
      targetAddress: "10.0.0.1:80",
      tls: "loopback",
      clientId: "",
      serverId: "",
      dstService: "",
      dstNamespace: "",
      dst: null,
    })
  const [first, second] = [open(), open()]
  first.add(10, 20)
  clock.nowMs = 250
  first.close(null)
  first.close("ECONNRESET")
  second.close("ECONNRESET")
  const text = telemetry.text()
  const labels = 'direction="outbound",peer="src",target_addr="10.0.0.1:80",tls="loopback"'
  expect(text).toContain(`tcp_open_total{${labels}} 2\n`)
  expect(text).toContain(`tcp_close_total{${labels}} 1\n`)
  expect(text).toContain(`tcp_close_total{${labels},error="ECONNRESET"} 1\n`)
  expect(text).toContain(`tcp_read_bytes_total{${labels}} 10\n`)
  expect(text).toContain(`tcp_connection_duration_ms_sum{${labels}} 500\n`)
})

test("names of TLS share the bound of authorities, and keep their places while a connection bears them", () => {
  const clock = { nowMs: 0 }
  const telemetry = new Telemetry(clock)
  const labels = {
    direction: OUTBOUND,
    peer: "src",
    targetAddress: "10.0.0.1:443",
    tls: "loopback",
    clientId: "",
    serverId: "",
    dstService: "",
    dstNamespace: "",
    dst: null,
  } as const
  const open = (name: string) => telemetry.openConnection(labels, telemetry.authorities.of(name))
  const kept = open("kept.example")
  for (let n = 1; n < MAX_AUTHORITIES; n++) open(`n${n}.example`).close(null)
  open("late.example").close(null)
  expect(telemetry.text()).toContain(`tcp_open_total{direction="outbound",peer="src",authority="other"`)
  telemetry.sweep()
  clock.nowMs += IDLE_SERIES_MS
  telemetry.sweep()
  open("late.example").close(null)
  const text = telemetry.text()
  expect(text).toContain(`authority="late.example"`)
  expect(text).toContain(`authority="kept.example"`)
  expect(text).not.toContain(`authority="n1.example"`)
  kept.close(null)
})
