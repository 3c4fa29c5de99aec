// What balancing and telemetry add to one request: pick, count, classify, observe. Run: bun tests/bench/recording_bench.ts
import { type EndpointInfo, EndpointSet, UNKNOWN_ENDPOINT } from "../../proxy/balance/mod.ts"
import { Admission, createHttpService, OUTCOME_COMPLETE, type RequestView } from "../../proxy/http/mod.ts"
import { createLogger } from "../../proxy/log.ts"
import { OUTBOUND, Telemetry } from "../../proxy/telemetry/mod.ts"

/** Microseconds per request that this may cost at most. */
const TARGET_US = 0.6
const ROUNDS = 7
const REQUESTS_PER_ROUND = 500_000

interface Case {
  readonly name: string
  readonly endpoints: number
  readonly authorities: number
  readonly grpc: boolean
}

const CASES: readonly Case[] = [
  { name: "1 endpoint, 1 authority", endpoints: 1, authorities: 1, grpc: false },
  { name: "3 endpoints, 1 authority", endpoints: 3, authorities: 1, grpc: false },
  { name: "3 endpoints, 1 authority, gRPC", endpoints: 3, authorities: 1, grpc: true },
  { name: "100 endpoints, 10 authorities", endpoints: 100, authorities: 10, grpc: false },
]

for (const each of CASES) {
  const samples: number[] = []
  for (let round = 0; round < ROUNDS; round++) samples.push(measure(each))
  // The first rounds warm the compiler up.
  const settled = samples.slice(2).sort((a, b) => a - b)
  const median = settled[settled.length >> 1] ?? Number.NaN
  const verdict = median <= TARGET_US ? "" : `  over the target of ${TARGET_US}`
  console.log(`${each.name.padEnd(34)} ${median.toFixed(3)} us per request${verdict}`)
}

function measure({ endpoints, authorities, grpc }: Case): number {
  const clock = { nowMs: performance.now() }
  const telemetry = new Telemetry(clock)
  const source = new EndpointSet(Math.random)
  source.replace(
    Array.from({ length: endpoints }, (_, i) => ({ address: `10.0.0.${i}`, port: 80, info: infoOf(i) })),
    clock.nowMs,
  )
  const service = createHttpService({
    direction: OUTBOUND,
    target: {
      source,
      labels: {
        direction: OUTBOUND,
        dstService: "web",
        dstNamespace: "shop",
        tls: null,
        clientId: "",
        route: "",
      },
      defaultAuthority: "",
      routes: null,
      port: 80,
    },
    telemetry,
    clock,
    log: createLogger(),
    admission: new Admission(),
  })
  const views: RequestView[] = Array.from({ length: authorities }, (_, i) => ({
    method: "POST",
    authority: `web-${i}.shop`,
    path: "/",
    isGrpc: grpc,
    upgrade: "",
    header: () => undefined,
    values: () => undefined,
  }))
  const start = performance.now()
  for (let i = 0; i < REQUESTS_PER_ROUND; i++) {
    clock.nowMs += 0.01
    const exchange = service.begin(views[i % authorities] as RequestView)
    exchange.pick()
    exchange.responseHead(200)
    exchange.end(OUTCOME_COMPLETE, grpc ? 0 : -1)
  }
  return ((performance.now() - start) * 1000) / REQUESTS_PER_ROUND
}

function infoOf(i: number): EndpointInfo {
  return {
    ...UNKNOWN_ENDPOINT,
    namespace: "shop",
    pod: `web-${i}`,
    workloadKind: "deployment",
    workload: "web",
  }
}
