// What taps add to one request: where nobody looks, where it does not match, at a share of 10 %, and up to the limit of
// 10,000 a second. Run: bun tests/bench/tap_bench.ts
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { tapV1 } from "../../protos/mod.ts"
import { EndpointSet, UNKNOWN_ENDPOINT } from "../../proxy/balance/mod.ts"
import { Admission, createHttpService, OUTCOME_COMPLETE, type RequestView } from "../../proxy/http/mod.ts"
import { createLogger } from "../../proxy/log.ts"
import { readMatch } from "../../proxy/tap/match.ts"
import { OUTBOUND, Telemetry } from "../../proxy/telemetry/mod.ts"

const ROUNDS = 9
const REQUESTS_PER_ROUND = 200_000
/** Requests a second that the clock shows; with 10,000 of them told of at most. */
const REQUESTS_PER_SECOND = 50_000

interface Case {
  readonly name: string
  readonly match: MessageInitShape<typeof tapV1.WatchRequestSchema> | null
}

const CASES: readonly Case[] = [
  { name: "nobody looks", match: null },
  { name: "nobody looks, again", match: null },
  { name: "one looks for another path", match: { outbound: true, pathPrefix: "/other" } },
  { name: "one looks at 10 %", match: { outbound: true, sample: 0.1 } },
  { name: "one looks at 10,000 a second", match: { outbound: true } },
  { name: "one looks at failures only", match: { outbound: true, failuresOnly: true } },
]

const samples = new Map<Case, number[]>(CASES.map(one => [one, []]))
for (let round = 0; round < ROUNDS; round++) for (const one of CASES) samples.get(one)?.push(measure(one))
let before = 0
for (const [{ name }, all] of samples) {
  // The first rounds warm the compiler up.
  const settled = all.slice(2).sort((a, b) => a - b)
  const median = settled[settled.length >> 1] ?? Number.NaN
  if (before === 0) before = median
  console.log(`${name.padEnd(32)} ${median.toFixed(3)} us per request, ${(median - before).toFixed(3)} more`)
}

function measure({ match }: Case): number {
  const clock = { nowMs: 0 }
  const telemetry = new Telemetry(clock)
  const source = new EndpointSet(Math.random)
  source.replace([{ address: "10.0.0.1", port: 80, info: UNKNOWN_ENDPOINT }], 0)
  let bytes = 0
  if (match !== null)
    telemetry.taps.open(
      readMatch(toBinary(tapV1.WatchRequestSchema, create(tapV1.WatchRequestSchema, match))),
      {
        unreadBytes: 0,
        send(message) {
          bytes += message.length
        },
        wake() {},
      },
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
    fields: { peer: "10.0.0.7:40000", dst: "10.0.0.1:80" },
  })
  const view: RequestView = {
    method: "GET",
    authority: "web.shop",
    path: "/api/items?page=1",
    isGrpc: false,
    upgrade: "",
    header: () => undefined,
    values: () => undefined,
  }
  const start = performance.now()
  for (let i = 0; i < REQUESTS_PER_ROUND; i++) {
    clock.nowMs += 1000 / REQUESTS_PER_SECOND
    const exchange = service.begin(view)
    exchange.pick()
    exchange.responseHead(200)
    exchange.end(OUTCOME_COMPLETE, -1)
  }
  const us = ((performance.now() - start) * 1000) / REQUESTS_PER_ROUND
  if (match?.sample !== undefined && bytes === 0) throw new Error("nothing was told")
  return us
}
