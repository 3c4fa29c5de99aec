// What matching costs a request: tables of 0 to 200 routes, asked as a proxy asks them. Run: bun tests/bench/routes_bench.ts
import {
  MATCH_EXACT,
  MATCH_PREFIX,
  MATCH_REGEX,
  NO_FILTERS,
  NO_TIMEOUTS,
  ROUTE_KIND_HTTP,
  RouteTable,
  type RuleConfig,
} from "../../proxy/route/mod.ts"

/** Nanoseconds per request that 200 routes may cost: 5 % of the cheapest request that the proxy forwards (2.2 us). */
const TARGET_NS = 110
const ROUNDS = 7
const REQUESTS_PER_ROUND = 1_000_000

interface Case {
  readonly name: string
  readonly rules: readonly RuleConfig[]
  readonly paths: readonly string[]
}

function rule(index: number, pathKind: number, path: string, header = ""): RuleConfig {
  const headers = header === "" ? [] : [{ name: "x-version", kind: MATCH_EXACT, value: header }]
  return {
    name: `r/${index}`,
    matches: [{ rank: index, pathKind, path, method: "", headers, query: [] }],
    filters: NO_FILTERS,
    backends: [{ weight: 1, backend: 0, filters: NO_FILTERS, fault: "" }],
    timeouts: NO_TIMEOUTS,
    retry: null,
    session: null,
    fault: "",
  }
}

const many = (make: (i: number) => RuleConfig, count = 200) =>
  Array.from({ length: count }, (_, i) => make(i))
const spread = (make: (i: number) => string) => Array.from({ length: 20 }, (_, i) => make((i * 37) % 200))

const CASES: readonly Case[] = [
  { name: "1 prefix /", rules: [rule(0, MATCH_PREFIX, "")], paths: ["/api/orders/42?full=1"] },
  {
    name: "200 exact paths",
    rules: many(i => rule(i, MATCH_EXACT, `/shop.v1.Service${i}/Method`)),
    paths: spread(i => `/shop.v1.Service${i}/Method`),
  },
  {
    name: "200 prefixes",
    rules: many(i => rule(i, MATCH_PREFIX, `/api/v1/resource-${i}`)),
    paths: spread(i => `/api/v1/resource-${i}/orders/42?full=1`),
  },
  {
    name: "200 prefixes, none met",
    rules: many(i => rule(i, MATCH_PREFIX, `/api/v1/resource-${i}`)),
    paths: spread(i => `/other/v1/resource-${i}/orders/42`),
  },
  {
    name: "200 of one prefix, by header field",
    rules: many(i => rule(i, MATCH_PREFIX, "/api", `v${i}`)),
    paths: ["/api/orders"],
  },
  {
    name: "10 expressions, then a prefix",
    rules: [...many(i => rule(i, MATCH_REGEX, `/user/[0-9]+/part-${i}/.*`), 10), rule(10, MATCH_PREFIX, "")],
    paths: spread(i => `/user/${i}/part-x/orders`),
  },
]

for (const { name, rules, paths } of CASES) {
  const table = new RouteTable({
    kind: ROUTE_KIND_HTTP,
    rules,
    timeouts: NO_TIMEOUTS,
    retry: null,
    accrual: null,
    balancing: null,
    injected: null,
  })
  const requests = paths.map(path => ({
    method: "GET",
    // As an engine gives it: a string that was not looked at before.
    path,
    isGrpc: false,
    authority: "web.shop",
    values: (field: string) => (field === "x-version" ? "v100" : undefined),
  }))
  const samples: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    let met = 0
    // Time of the processor, not of the clock: what else the machine does is not counted.
    const started = process.cpuUsage()
    for (let i = 0; i < REQUESTS_PER_ROUND; i++) {
      const request = requests[i % requests.length]
      if (request !== undefined && table.match(request) !== null) met++
    }
    const { user, system } = process.cpuUsage(started)
    samples.push(((user + system) * 1000) / REQUESTS_PER_ROUND)
    if (met !== 0 && met !== REQUESTS_PER_ROUND) throw new Error(`${name}: ${met} met`)
  }
  const settled = samples.slice(2).sort((a, b) => a - b)
  const median = settled[settled.length >> 1] ?? Number.NaN
  console.log(
    `${name.padEnd(36)} ${median.toFixed(0)} ns per request${median <= TARGET_NS ? "" : `  over the target of ${TARGET_NS}`}`,
  )
}
