// What recording an access adds to one request. Run: bun tests/bench/access_bench.ts
import type { Verdict } from "../../protos/authorization/mod.ts"
import { AccessRecords } from "../../proxy/telemetry/mod.ts"

/** Microseconds per request that this may cost at most, where the same was recorded before. */
const TARGET_US = 0.15
const ROUNDS = 7
const REQUESTS_PER_ROUND = 500_000

const ALLOWED: Verdict = {
  allowed: true,
  cause: "default",
  namespace: "",
  name: "all-unauthenticated",
  rule: -1,
  detail: "",
  audit: null,
}

interface Case {
  readonly name: string
  /** Paths as a server reads them: strings made anew for each request. */
  readonly paths: readonly string[]
  readonly target: number
}

const CASES: readonly Case[] = [
  { name: "1 route", paths: ["/emojivoto.v1.VotingService/Vote"], target: TARGET_US },
  {
    name: "20 routes",
    paths: Array.from({ length: 20 }, (_, i) => `/api/route-${letter(i)}`),
    target: TARGET_US,
  },
  { name: "numbers in paths, all different", paths: ids("/users/", "/orders"), target: 0.6 },
  { name: "a flood of invented words", paths: words(), target: 1.5 },
]

for (const { name, paths, target } of CASES) {
  const samples: number[] = []
  for (let round = 0; round < ROUNDS; round++) samples.push(measure(paths))
  const settled = samples.slice(2).sort((a, b) => a - b)
  const median = settled[settled.length >> 1] ?? Number.NaN
  const verdict = median <= target ? "" : `  over the target of ${target}`
  console.log(`${name.padEnd(34)} ${median.toFixed(3)} us per request${verdict}`)
}

function measure(paths: readonly string[]): number {
  let kept = 0
  const records = new AccessRecords()
  const client = { address: "10.0.0.1", dnsName: "web.shop" }
  const bytes = paths.map(path => Buffer.from(path, "latin1"))
  const read = (i: number) => (bytes[i % bytes.length] as Buffer).toString("latin1")
  let empty = performance.now()
  for (let i = 0; i < REQUESTS_PER_ROUND; i++) kept += read(i).length
  empty = performance.now() - empty
  const start = performance.now()
  for (let i = 0; i < REQUESTS_PER_ROUND; i++) {
    const path = read(i)
    kept += path.length
    records.decided(client, 8080, "http1", "GET", path, ALLOWED)
  }
  // What reading the path costs is no part of recording it.
  const tookMs = performance.now() - start - empty
  if (kept === 0) throw new Error("nothing was read")
  return (tookMs * 1000) / REQUESTS_PER_ROUND
}

function letter(i: number): string {
  return String.fromCharCode(97 + i)
}

function ids(before: string, after: string): string[] {
  return Array.from({ length: 100_000 }, (_, i) => `${before}${i}${after}`)
}

function words(): string[] {
  return Array.from(
    { length: 100_000 },
    (_, i) => `/${[...String(i)].map(digit => letter(Number(digit))).join("")}`,
  )
}
