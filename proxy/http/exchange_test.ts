// One request through balancing and telemetry, on a clock that tests drive.
import { expect, test } from "bun:test"
import {
  COLD_SAMPLES,
  Endpoint,
  EndpointSet,
  type EndpointSource,
  SingleEndpoint,
  UNKNOWN_ENDPOINT,
} from "../balance/mod.ts"
import { createLogger } from "../log.ts"
import { INBOUND, OUTBOUND, type ScopeLabels, Telemetry } from "../telemetry/mod.ts"
import {
  NO_GRPC_STATUS,
  OUTCOME_CLIENT_GONE,
  OUTCOME_COMPLETE,
  OUTCOME_REFUSED,
  OUTCOME_UPSTREAM_GONE,
} from "./classify.ts"
import { MAX_PICKS, PICK_BUDGET_MS } from "./exchange.ts"
import { Admission, createHttpService } from "./http_service.ts"
import {
  REFUSAL_CONNECT_FAILED,
  REFUSAL_MALFORMED,
  REFUSAL_NO_ENDPOINT,
  REFUSAL_OVERLOAD,
  REFUSAL_UPSTREAM_GONE,
} from "./refusal.ts"
import type { RequestView } from "./request_view.ts"

const VOTING: ScopeLabels = {
  direction: OUTBOUND,
  dstService: "voting",
  dstNamespace: "emojivoto",
  tls: null,
  clientId: "",
  route: "",
}

const INFO = {
  ...UNKNOWN_ENDPOINT,
  namespace: "emojivoto",
  pod: "voting-1",
  workloadKind: "deployment",
  workload: "voting",
}

const GET: RequestView = {
  method: "GET",
  authority: "voting.emojivoto",
  path: "/vote",
  isGrpc: false,
  upgrade: "",
  header: () => undefined,
  values: () => undefined,
}
const GRPC: RequestView = { ...GET, method: "POST", isGrpc: true }

function fixture(source: EndpointSource, labels: ScopeLabels = VOTING, limit = 1000) {
  const clock = { nowMs: 1000 }
  const telemetry = new Telemetry(clock)
  const lines: string[] = []
  const admission = new Admission(limit)
  const unreached = { count: 0 }
  const service = createHttpService({
    direction: labels.direction,
    target: {
      source,
      labels,
      defaultAuthority: "voting.emojivoto.svc.cluster.local",
      routes: null,
      port: 80,
    },
    telemetry,
    clock,
    log: createLogger({ sink: line => lines.push(line) }),
    admission,
    random: () => 0.5,
    fields: { conn: 7, peer: "10.0.0.9:5000", dst: "10.96.0.1:80" },
    onUnreached: () => unreached.count++,
  })
  const metrics = (name: string) =>
    telemetry
      .text()
      .split("\n")
      .filter(line => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return { clock, service, lines, admission, metrics, telemetry, unreached }
}

/** Past the first answers, of which none counts as slow. */
function warm(endpoint: Endpoint): Endpoint {
  for (let i = 0; i < COLD_SAMPLES; i++) endpoint.latency.observe(0, 0)
  return endpoint
}

test("a request is counted at its head, its response at its end, with the latency between", () => {
  const endpoint = warm(new Endpoint("10.0.0.1", 80, INFO))
  const { clock, service, metrics } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GET)
  expect(exchange.refusal).toBeNull()
  expect(exchange.pick()).toBe(endpoint)
  expect(endpoint.pending).toBe(1)
  const labels =
    'direction="outbound",authority="voting.emojivoto",target_addr="10.0.0.1:80",tls="no_identity",dst_service="voting",dst_namespace="emojivoto",dst_deployment="voting",dst_pod="voting-1"'
  expect(metrics("request_total")).toEqual([`request_total{${labels}} 1`])
  expect(metrics("response_total")).toEqual([])
  clock.nowMs += 40
  exchange.responseHead(200)
  clock.nowMs += 60
  exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  expect(endpoint.pending).toBe(0)
  expect(endpoint.latency.valueAt(1040)).toBe(40)
  expect(metrics("response_total")).toEqual([
    `response_total{${labels},classification="success",status_code="200"} 1`,
  ])
  expect(metrics("response_latency_ms_sum")).toEqual([
    `response_latency_ms_sum{${labels},status_code="200"} 100`,
  ])
  expect(metrics("route_request_total")[0]).toContain('rt_route="GET /vote"} 1')
  expect(metrics("route_actual_request_total")[0]).toEndWith(" 1")
})

test("an inbound request bears no destination labels and no route", () => {
  const endpoint = new Endpoint("10.0.0.1", 8080)
  const { service, metrics } = fixture(new SingleEndpoint(endpoint), {
    ...VOTING,
    direction: INBOUND,
    dstService: "",
    dstNamespace: "",
    tls: "disabled",
  })
  const exchange = service.begin({ ...GET, authority: "" })
  exchange.pick()
  exchange.responseHead(204)
  exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  expect(metrics("response_total")).toEqual([
    'response_total{direction="inbound",authority="voting.emojivoto.svc.cluster.local",target_addr="10.0.0.1:8080",tls="disabled",classification="success",status_code="204"} 1',
  ])
  expect(metrics("route_request_total")).toEqual([])
})

test("an endpoint that refuses is passed over, and the request is counted once", () => {
  const set = new EndpointSet(Math.random)
  set.replace(
    [1, 2, 3].map(n => ({ address: `10.0.0.${n}`, port: 80, info: { ...INFO, pod: `voting-${n}` } })),
    0,
  )
  const { service, metrics } = fixture(set)
  const exchange = service.begin(GET)
  const first = exchange.pick()
  exchange.connectFailed(first as Endpoint, "ECONNREFUSED")
  const second = exchange.pick()
  expect(second).not.toBeNull()
  expect(second).not.toBe(first)
  expect((first as Endpoint).pending).toBe(0)
  expect((first as Endpoint).connectFailures).toBe(1)
  exchange.responseHead(200)
  exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  const counts = metrics("request_total").map(line => Number(line.split(" ").at(-1)))
  expect(counts.reduce((a, b) => a + b, 0)).toBe(1)
  expect(metrics("route_actual_request_total")[0]).toEndWith(" 2")
  expect(metrics("response_total")).toHaveLength(1)
})

test("every endpoint that could not be reached is told, since news of endpoints may be missing", () => {
  const endpoint = new Endpoint("10.0.0.1", 80)
  const { service, unreached } = fixture(new SingleEndpoint(endpoint))
  const refused = service.begin(GET)
  refused.pick()
  refused.connectFailed(endpoint, "ECONNREFUSED")
  expect(unreached.count).toBe(1)
  const passedOn = service.begin(GET)
  passedOn.pick()
  passedOn.unreachedHead(502)
  expect(unreached.count).toBe(2)
  const answered = service.begin(GET)
  answered.pick()
  answered.responseHead(502)
  expect(unreached.count).toBe(2)
})

test("with all endpoints refusing, the answer is 502 and the log names the cause", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, lines, metrics } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GET)
  expect(exchange.pick()).toBe(endpoint)
  exchange.connectFailed(endpoint, "ECONNREFUSED")
  expect(exchange.pick()).toBeNull()
  expect(exchange.failure).toBe(REFUSAL_CONNECT_FAILED)
  const value = exchange.refuse(exchange.failure)
  exchange.end(OUTCOME_REFUSED, NO_GRPC_STATUS)
  expect(value).toMatch(/^connect-failed; id=[0-9a-z]{8}$/)
  const id = value.split("id=")[1] as string
  expect(lines.at(-1)).toContain(id)
  expect(lines.at(-1)).toContain("ECONNREFUSED")
  expect(lines.at(-1)).toContain("conn=7")
  expect(metrics("response_total")[0]).toContain(
    'classification="failure",status_code="502",error="connect-failed"} 1',
  )
})

test("without endpoints the answer is 503, counted for the service", () => {
  const { service, metrics } = fixture(new EndpointSet(Math.random))
  const exchange = service.begin(GRPC)
  expect(exchange.pick()).toBeNull()
  expect(exchange.failure).toBe(REFUSAL_NO_ENDPOINT)
  exchange.refuse(exchange.failure)
  exchange.end(OUTCOME_REFUSED, NO_GRPC_STATUS)
  expect(metrics("response_total")[0]).toContain('dst_service="voting"')
  expect(metrics("response_total")[0]).toContain('status_code="503",grpc_status="14",error="no-endpoint"} 1')
  expect(metrics("request_total")[0]).toEndWith(" 1")
})

test("tries end after a number of endpoints, and after a time", () => {
  const set = new EndpointSet(Math.random)
  set.replace(
    Array.from({ length: 40 }, (_, n) => ({
      address: `10.0.0.${n}`,
      port: 80,
      info: { ...INFO, pod: `p${n}` },
    })),
    0,
  )
  const { service, clock } = fixture(set)
  const many = service.begin(GET)
  let picks = 0
  for (let endpoint = many.pick(); endpoint !== null; endpoint = many.pick()) {
    picks++
    many.connectFailed(endpoint, "ECONNREFUSED")
  }
  expect(picks).toBe(MAX_PICKS)
  const slow = service.begin(GET)
  slow.connectFailed(slow.pick() as Endpoint, "ETIMEDOUT")
  clock.nowMs += PICK_BUDGET_MS
  expect(slow.pick()).toBeNull()
})

test("a request whose client went away before the answer is neither success nor failure", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, metrics, admission } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GET)
  exchange.pick()
  exchange.end(OUTCOME_CLIENT_GONE, NO_GRPC_STATUS)
  expect(endpoint.pending).toBe(0)
  expect(admission.inFlight).toBe(0)
  expect(metrics("response_total")).toEqual([])
  expect(metrics("request_abandoned_total")).toEqual(["request_abandoned_total 1"])
})

test("a gRPC stream is timed to its head for balancing, and pending until its end", () => {
  const endpoint = warm(new Endpoint("10.0.0.1", 80, INFO))
  const { clock, service, metrics } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GRPC)
  exchange.pick()
  clock.nowMs += 50
  exchange.responseHead(200)
  clock.nowMs += 60_000
  expect(endpoint.pending).toBe(1)
  exchange.end(OUTCOME_COMPLETE, 14)
  expect(endpoint.pending).toBe(0)
  expect(endpoint.latency.valueAt(1050)).toBe(50)
  expect(metrics("response_total")[0]).toContain(
    'classification="failure",status_code="200",grpc_status="14"} 1',
  )
})

test("an endpoint whose application was not reached steps aside, and its fast answer teaches no latency", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { clock, service, metrics } = fixture(new SingleEndpoint(endpoint))
  const guess = endpoint.latency.valueAt(1000)
  const exchange = service.begin(GET)
  exchange.pick()
  exchange.unreachedHead(502)
  exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  expect(endpoint.latency.valueAt(1000)).toBe(guess)
  expect(endpoint.asideUntilMs).toBeGreaterThan(clock.nowMs)
  expect(metrics("response_total")[0]).toContain('status_code="502"')
})

test("an endpoint that let a request wait and broke counts as that slow", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { clock, service, metrics } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GET)
  exchange.pick()
  clock.nowMs += 5000
  exchange.end(OUTCOME_UPSTREAM_GONE, NO_GRPC_STATUS)
  expect(endpoint.latency.valueAt(6000)).toBe(5000)
  expect(metrics("response_total")[0]).toContain('classification="failure",error="upstream-gone"} 1')
})

test("a retry on a fresh connection blames nobody and may choose the same endpoint", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, metrics } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GET)
  exchange.pick()
  exchange.retry(endpoint)
  expect(endpoint.pending).toBe(0)
  expect(exchange.pick()).toBe(endpoint)
  exchange.responseHead(200)
  exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  expect(endpoint.connectFailures).toBe(0)
  expect(metrics("request_total")[0]).toEndWith(" 1")
})

test("a request that waited long on a connection that proved dead is picked for anew, elsewhere", () => {
  const set = new EndpointSet(Math.random)
  const pods = ["dead", "living"].map((pod, n) => ({
    address: `10.0.0.${n}`,
    port: 80,
    info: { ...INFO, pod },
  }))
  set.replace(pods, 0)
  const { service, clock } = fixture(set)
  const warm = service.begin(GET)
  warm.pick()
  warm.responseHead(200)
  warm.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  const exchange = service.begin(GET)
  const first = exchange.pick() as Endpoint
  clock.nowMs += 10 * PICK_BUDGET_MS
  exchange.retry(first)
  const second = exchange.pick()
  expect(second).not.toBeNull()
  expect(second).not.toBe(first)
  exchange.connectFailed(second as Endpoint, "ECONNREFUSED")
  clock.nowMs += PICK_BUDGET_MS
  expect(exchange.pick()).toBeNull()
})

test("requests beyond the limit in flight are refused until others end", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, admission } = fixture(new SingleEndpoint(endpoint), VOTING, 2)
  const first = service.begin(GET)
  service.begin(GET)
  const third = service.begin(GET)
  expect(third.refusal).toBe(REFUSAL_OVERLOAD)
  third.refuse(REFUSAL_OVERLOAD)
  third.end(OUTCOME_REFUSED, NO_GRPC_STATUS)
  first.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  expect(admission.inFlight).toBe(1)
  expect(service.begin(GET).refusal).toBeNull()
})

test("ending twice counts once", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, metrics, admission } = fixture(new SingleEndpoint(endpoint))
  const exchange = service.begin(GET)
  exchange.pick()
  exchange.responseHead(200)
  exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
  exchange.end(OUTCOME_UPSTREAM_GONE, NO_GRPC_STATUS)
  expect(metrics("response_total")).toHaveLength(1)
  expect([endpoint.pending, admission.inFlight]).toEqual([0, 0])
})

test("a refused request is kept under the id of its answer; one that passes is not", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, telemetry } = fixture(new SingleEndpoint(endpoint))
  service.begin(GET).pick()
  expect(telemetry.refusals.find("")).toEqual([])
  const exchange = service.begin(GET)
  exchange.pick()
  const value = exchange.refuse(REFUSAL_UPSTREAM_GONE, "reset")
  expect(telemetry.refusals.find(value.slice("upstream-gone; id=".length))).toMatchObject([
    {
      direction: 1,
      reason: "upstream-gone",
      status: 502,
      method: "GET",
      authority: "voting.emojivoto",
      path: "/vote",
      clientIp: "10.0.0.9",
      destination: "10.96.0.1:80",
      endpoint: "10.0.0.1:80",
      verdict: null,
      detail: "reset",
    },
  ])
})

test("what never became a request is logged with an id and counted apart", () => {
  const { service, lines, metrics, telemetry } = fixture(new EndpointSet(Math.random))
  const value = service.refuse(REFUSAL_MALFORMED, "bare CR in a field")
  expect(value).toMatch(/^malformed; id=/)
  expect(telemetry.refusals.find(value.slice("malformed; id=".length))).toMatchObject([
    { reason: "malformed", status: 400, detail: "bare CR in a field", method: "", verdict: null },
  ])
  expect(lines[0]).toContain("bare CR in a field")
  expect(metrics("request_malformed_total")).toEqual(["request_malformed_total 1"])
})

test("a series dropped while a request runs is found again at its end", () => {
  const endpoint = new Endpoint("10.0.0.1", 80, INFO)
  const { service, metrics, telemetry, clock } = fixture(new SingleEndpoint(endpoint))
  for (let i = 0; i < 2; i++) {
    const exchange = service.begin(GET)
    exchange.pick()
    exchange.responseHead(200)
    // While it runs its series stay, however long it takes.
    for (let minute = 0; minute < 30; minute++) {
      clock.nowMs += 60_000
      telemetry.sweep()
    }
    exchange.end(OUTCOME_COMPLETE, NO_GRPC_STATUS)
    expect(metrics("response_total")[0]).toEndWith(" 1")
    for (let minute = 0; minute < 12; minute++) {
      clock.nowMs += 60_000
      telemetry.sweep()
    }
    expect(metrics("response_total")).toEqual([])
  }
})
