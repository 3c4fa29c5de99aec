// `npm run bench`: Conduit's proxy beside nginx, haproxy and Envoy. One proxy on one core, load and backend on
// another; the same redirected path, backend and load for all; runs interleaved, with one peer entered twice as
// the A/A control. Prints a table, writes JSON, and says what it cannot claim.
//
// usage: bun tests/bench/run.ts [--quick] [--only http1,http2,tcp | --only mtls | --only routes | --only guards |
//        --only timeouts | --only policy | --only telemetry[,http2] | --only tap[,http2]]
//        [--peers conduit,haproxy]
//        [--json FILE]
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { tempFolder } from "../lab/temp_folder.ts"
import {
  BENCH_TIMEOUT_MS,
  conduit,
  SERVICE_VARIANTS,
  type ServiceVariant,
  serviceAddress,
} from "./conduit_peer.ts"
import type { BenchReport, Figures, Measured, Scenario } from "./figures.ts"
import { median } from "./figures.ts"
import type { LoadOptions, LoadResult } from "./load.ts"
import { conduitMtls, conduitPlain, conduitUncounted, haproxyMtls } from "./mtls_pair.ts"
import type { BenchProtocol, Peer, RunningPeer } from "./peers.ts"
import { envoy, haproxy, nginx } from "./peers.ts"
import { benchPolicy } from "./policy_bench.ts"
import { anonymousBytes, coreWaitMs, cpuMicros } from "./process_cost.ts"
import { printPaired, printReport } from "./report.ts"
import { LOOKS, type Looking, look, printTold } from "./tap_looks.ts"

const SCENARIOS: readonly Scenario[] = [
  { name: "http1 64 conn", protocol: "http1", connections: 64, streams: 1, bodyBytes: 100, paced: true },
  { name: "http1 1 MiB", protocol: "http1", connections: 4, streams: 1, bodyBytes: 1 << 20, paced: false },
  { name: "h2c 8 x 16", protocol: "http2", connections: 8, streams: 16, bodyBytes: 100, paced: true },
  { name: "h2c 64 x 1", protocol: "http2", connections: 64, streams: 1, bodyBytes: 100, paced: false },
  { name: "h2c 1 x 100", protocol: "http2", connections: 1, streams: 100, bodyBytes: 100, paced: false },
  { name: "h2c 1 x 1", protocol: "http2", connections: 1, streams: 1, bodyBytes: 100, paced: false },
  { name: "h2c 1 MiB", protocol: "http2", connections: 4, streams: 1, bodyBytes: 1 << 20, paced: false },
  { name: "tcp 64 conn", protocol: "tcp", connections: 64, streams: 1, bodyBytes: 100, paced: true },
  { name: "tcp 1 MiB", protocol: "tcp", connections: 4, streams: 1, bodyBytes: 1 << 20, paced: false },
]
/** Pairs of proxies with mutual TLS between them: `--only mtls`. */
const MTLS_SCENARIOS: readonly Scenario[] = [
  { name: "mtls http1 64", protocol: "http1", connections: 64, streams: 1, bodyBytes: 100, paced: true },
  { name: "mtls h2 8 x 16", protocol: "http2", connections: 8, streams: 16, bodyBytes: 100, paced: true },
  { name: "mtls h2 64 x 1", protocol: "http2", connections: 64, streams: 1, bodyBytes: 100, paced: false },
  {
    name: "mtls http1 1 MiB",
    protocol: "http1",
    connections: 4,
    streams: 1,
    bodyBytes: 1 << 20,
    paced: false,
  },
]
/**
 * One proxy, and a Service with something beside one without: 200 routes (`--only routes`), or retries and a breaker
 * (`--only guards`); pairs that count, and one that does not (`--only telemetry`).
 */
const SMALL_SCENARIOS: readonly Scenario[] = [
  { name: "http1 64 conn", protocol: "http1", connections: 64, streams: 1, bodyBytes: 100, paced: false },
  { name: "h2c 8 x 16", protocol: "http2", connections: 8, streams: 16, bodyBytes: 100, paced: false },
]
const VARIANTS: Readonly<Record<string, readonly (readonly [label: string, ServiceVariant])[]>> = {
  routes: [["200 routes", "routed"]],
  guards: [
    ["retries", "retried"],
    ["breaker", "breaking"],
  ],
  timeouts: [["timeout", "impatient"]],
}
/** Calls at a time that hang, beside a load of half the capacity: `--only timeouts`. */
const HANGING_CALLS = 20
/** The p99 of the time until such a call is answered, milliseconds; its Service allows `BENCH_TIMEOUT_MS`. */
const TIMED_OUT_P99_MS = 115
/** Share of the time that the proxy may wait for its core, before its latency tells more of the machine than of it. */
const CORE_WAIT_SHARE_MAX = 0.05
const CHURN_CONNECTIONS = 16
const IDLE_MS = 8_000
const KNEE_SHARES = [0.2, 0.5, 0.7]
const BACKEND = { host: "10.98.0.1", port: 9000 }

function fail(sentence: string): never {
  console.error(`bench: ${sentence}`)
  process.exit(1)
}

async function waitForPort(port: number): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    try {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {} } })
      socket.terminate()
      return
    } catch {
      await Bun.sleep(50)
    }
  }
  throw new Error(`nothing listens on 127.0.0.1:${port} after 10 s`)
}

async function measure(
  peer: RunningPeer,
  address: string,
  scenario: Scenario,
  rate: number,
  durationMs: number,
  hanging = 0,
): Promise<Figures> {
  const options: LoadOptions = {
    protocol: scenario.protocol,
    target: { host: address, port: 80 },
    backend: BACKEND,
    connections: scenario.connections,
    streams: scenario.streams,
    bodyBytes: scenario.bodyBytes,
    ratePerSecond: rate,
    hanging,
    warmupMs: 1000,
    durationMs,
  }
  const pids = peer.pids()
  let before = 0
  let after = 0
  const load = Bun.spawn(
    ["taskset", "-c", "1", process.execPath, join(import.meta.dir, "load.ts"), JSON.stringify(options)],
    {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
      ipc(message) {
        if (message === "counting") before = cpuMicros(pids)
        else after = cpuMicros(pids)
      },
    },
  )
  const timer = setTimeout(() => load.kill("SIGKILL"), durationMs + 20_000)
  const text = await new Response(load.stdout).text()
  clearTimeout(timer)
  if ((await load.exited) !== 0 || text === "") {
    throw new Error(`${peer.name}, ${scenario.name}: the load did not end by itself`)
  }
  const result = JSON.parse(text) as LoadResult
  return {
    requestsPerSecond: (result.requests * 1000) / result.elapsedMs,
    cpuMicrosPerRequest: (after - before) / Math.max(1, result.requests),
    p50: result.p50,
    p99: result.p99,
    p999: result.p999,
    failures: result.failures,
    hung: result.hung,
  }
}

/** Half of what the proxy carries, beside calls that hang: how long these take until they are answered. */
async function measureTimeouts(
  { peer, address }: Entrant,
  scenario: Scenario,
  capacity: number,
  durationMs: number,
): Promise<void> {
  const rate = Math.round(capacity / 2)
  const before = coreWaitMs(peer.pids())
  const { hung, failures } = await measure(
    peer,
    address(scenario.protocol),
    scenario,
    rate,
    durationMs,
    HANGING_CALLS,
  )
  const at = (share: number): number =>
    hung[Math.min(hung.length - 1, Math.floor(hung.length * share))] ?? Number.NaN
  const p99 = at(0.99)
  const waitedMs = coreWaitMs(peer.pids()) - before
  console.log(
    `${scenario.name.padEnd(15)} a timeout of ${BENCH_TIMEOUT_MS} ms beside ${rate} requests/s: ${hung.length} calls, ` +
      `p50 ${at(0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${at(1).toFixed(1)} ms, ${failures} failed; ` +
      `in ${(durationMs / 1000).toFixed(1)} s the proxy waited ${waitedMs.toFixed(0)} ms for its core`,
  )
  if (p99 < TIMED_OUT_P99_MS) return
  if (waitedMs > durationMs * CORE_WAIT_SHARE_MAX) {
    console.error(`bench: ${scenario.name}: too much else runs here to say what is the proxy's of it`)
    return
  }
  console.error(`bench: ${scenario.name}: p99 of the timeout is over ${TIMED_OUT_P99_MS} ms`)
  process.exitCode = 1
}

interface Entrant {
  readonly label: string
  readonly peer: RunningPeer
  /** Address whose port 80 is redirected to the peer, by protocol. */
  readonly address: (protocol: BenchProtocol) => string
  /** Who looks at the requests meanwhile; absent for nobody. */
  readonly look?: Looking
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      only: { type: "string" },
      peers: { type: "string" },
      json: { type: "string", default: ".build/bench.json" },
      rounds: { type: "string" },
    },
  })
  if (cpus().length < 2) fail("two cores are needed: one for the proxy, one for load and backend")
  if (process.getuid?.() !== 0) fail("root is needed: the path under test is an iptables redirect")
  if (process.env.CONDUIT_BENCH_NETNS === undefined) {
    // What can be installed is installed now: the namespace of the bench reaches no package index.
    for (const peer of [haproxy, nginx, envoy]) peer.missing()
    // Everything happens in a network namespace without a name: it goes with the last process in it.
    const again = Bun.spawnSync(["unshare", "--net", process.execPath, ...process.argv.slice(1)], {
      stdio: ["inherit", "inherit", "inherit"],
      env: { ...process.env, CONDUIT_BENCH_NETNS: "1" },
    })
    process.exit(again.exitCode ?? 1)
  }
  const run = (...command: string[]) => {
    const done = Bun.spawnSync(command, { stdout: "pipe", stderr: "pipe" })
    if (done.exitCode !== 0) fail(`${command.join(" ")}: ${done.stderr.toString().trim()}`)
  }
  run("ip", "link", "set", "lo", "up")
  run("ip", "addr", "add", "10.99.0.1/16", "dev", "lo")
  run("ip", "addr", "add", `${BACKEND.host}/32`, "dev", "lo")

  const only = values.only?.split(",")
  if (only?.includes("policy")) {
    if (!(await benchPolicy())) process.exitCode = 1
    if (only.length === 1) return
  }
  const folder = tempFolder("bench")
  const wanted = values.peers?.split(",")
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
  const durationMs = values.quick ? 1500 : 3000
  const isMtls = only?.includes("mtls") ?? false
  const variants = VARIANTS[only?.[0] ?? ""] ?? null
  const isTelemetry = only?.includes("telemetry") ?? false
  const isTap = only?.includes("tap") ?? false
  const scenarios = isMtls
    ? MTLS_SCENARIOS
    : variants !== null || isTelemetry || isTap
      ? SMALL_SCENARIOS.filter(s => only?.length === 1 || only?.includes(s.protocol))
      : SCENARIOS.filter(s => only === undefined || only.includes(s.protocol))
  const missing: Record<string, string> = {}
  const entrants: Entrant[] = []
  // haproxy runs twice: what differs between the two is the noise of the machine.
  const pairs: readonly (readonly [string, Peer])[] = [
    ["conduit", conduitMtls],
    ["haproxy", haproxyMtls],
    ["haproxy (A/A)", haproxyMtls],
    ["conduit, plain", conduitPlain],
  ]
  const single: readonly (readonly [string, Peer])[] = [
    ["conduit", conduit],
    ["haproxy", haproxy],
    ["haproxy (A/A)", haproxy],
    ["nginx", nginx],
    ["envoy", envoy],
  ]
  const counting: readonly (readonly [string, Peer])[] = [
    ["not counting", conduitUncounted],
    ["conduit", conduitPlain],
    ["conduit (A/A)", conduitPlain],
  ]
  const peers = isMtls
    ? pairs
    : variants !== null
      ? single.slice(0, 1)
      : isTelemetry
        ? counting
        : isTap
          ? pairs.slice(0, 1)
          : single
  try {
    let index = 0
    for (const [label, peer] of peers) {
      if (wanted !== undefined && !wanted.includes(peer.name)) continue
      const reason = peer.missing()
      if (reason !== null) {
        missing[label] = reason
        console.error(`bench: without ${label}: ${reason}`)
        continue
      }
      const number = ++index
      const at = {
        backendHost: BACKEND.host,
        backendPort: BACKEND.port,
        basePort: 10_000 + number * 100,
        folder,
        core: 0,
        loadCore: 1,
      }
      const started = await peer.start(at)
      const of = (variant: ServiceVariant) => (protocol: BenchProtocol) =>
        serviceAddress(number, protocol, variant)
      const address = of("plain")
      for (const protocol of ["http1", "http2", "tcp"] as const) {
        const port = started.port(protocol)
        if (port === null) continue
        await waitForPort(port)
        for (const variant of variants === null ? (["plain"] as const) : SERVICE_VARIANTS) {
          const one = of(variant)(protocol)
          const match = ["-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-d", one, "--dport", "80"]
          run("iptables", ...match, "-j", "REDIRECT", "--to-ports", String(port))
        }
      }
      if (isTap)
        for (const [name, looking] of Object.entries(LOOKS))
          entrants.push({
            ...{ label: name, peer: started, address },
            ...(looking === null ? {} : { look: { ...looking, told: [] } }),
          })
      else entrants.push({ label, peer: started, address })
      if (variants !== null) {
        // The same proxy and Service once more: what differs between those two is the noise of the machine.
        entrants.push({ label: "conduit (A/A)", peer: started, address })
        for (const [variantLabel, variant] of variants)
          entrants.push({ label: variantLabel, peer: started, address: of(variant) })
      }
    }
    if (isMtls) {
      // Idle: what a start takes has been given back.
      await Bun.sleep(IDLE_MS)
      for (const { label, peer } of entrants) {
        console.log(
          `${label.padEnd(15)} anonymous at idle ${(anonymousBytes(peer.pids()) / 1e6).toFixed(1)} MB`,
        )
      }
      await measureChurn(entrants, rounds, durationMs)
    }
    const measured: Measured[] = []
    for (const scenario of scenarios) {
      measured.push(await measureScenario(scenario, entrants, rounds, durationMs))
    }
    for (const [label] of variants ?? []) printPaired(measured, label, ["conduit", "conduit (A/A)"])
    const impatient = entrants.find(({ label }) => only?.includes("timeouts") && label === "timeout")
    if (impatient !== undefined) {
      for (const { scenario, closed } of measured) {
        const capacity = median((closed.timeout ?? []).map(figures => figures.requestsPerSecond))
        await measureTimeouts(impatient, scenario, capacity, durationMs * 3)
      }
    }
    const anonymous: Record<string, number> = {}
    for (const { label, peer } of entrants) anonymous[label] = anonymousBytes(peer.pids())
    if (isTap) {
      const [off = "", ...others] = Object.keys(LOOKS)
      for (const other of others) printPaired(measured, other, [off])
      for (const { label, look: looking } of entrants) printTold(label, looking)
    }
    if (isTelemetry) printPaired(measured, "conduit", ["conduit (A/A)", "not counting"])
    const report: BenchReport = {
      machine: {
        cpu: cpus()[0]?.model ?? "unknown",
        cores: cpus().length,
        kernel: readFileSync("/proc/sys/kernel/osrelease", "utf8").trim(),
      },
      rounds,
      missing,
      measured,
      anonymousBytes: anonymous,
    }
    mkdirSync(join(values.json, ".."), { recursive: true })
    writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`)
    printReport(report)
    console.log(`\nwritten to ${values.json}`)
  } finally {
    for (const peer of new Set(entrants.map(({ peer }) => peer))) await peer.stop()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Connections a second through each pair, a handshake each, and the share of sessions that were resumed. */
async function measureChurn(entrants: readonly Entrant[], rounds: number, durationMs: number): Promise<void> {
  for (const { label, peer, address } of entrants) {
    const rates: number[] = []
    const cpu: number[] = []
    for (let round = 0; round < rounds; round++) {
      const target = { host: address("tcp"), port: 80 }
      const options = { target, backend: BACKEND, connections: CHURN_CONNECTIONS, warmupMs: 500, durationMs }
      let before = 0
      let after = 0
      const churn = Bun.spawn(
        ["taskset", "-c", "1", process.execPath, join(import.meta.dir, "churn.ts"), JSON.stringify(options)],
        {
          stdin: "ignore",
          stdout: "pipe",
          stderr: "inherit",
          ipc(message) {
            if (message === "counting") before = cpuMicros(peer.pids())
            else after = cpuMicros(peer.pids())
          },
        },
      )
      const result = JSON.parse(await new Response(churn.stdout).text())
      rates.push(result.perSecond)
      cpu.push((after - before) / Math.max(1, result.connections))
    }
    const share = await resumedShare(peer)
    console.log(
      `${label.padEnd(15)} ${median(rates).toFixed(0)} connections/s, ${median(cpu).toFixed(0)} us CPU each${share}`,
    )
  }
}

async function resumedShare(peer: RunningPeer): Promise<string> {
  if (peer.name !== "conduit") return ""
  const port = (peer.port("tcp") ?? 0) + 90
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const count = (resumed: string) =>
    Number(
      new RegExp(`tls_handshakes_total\\{direction="outbound",resumed="${resumed}"\\} (\\d+)`).exec(
        text,
      )?.[1] ?? 0,
    )
  const [full, resumed] = [count("false"), count("true")]
  return `, ${((100 * resumed) / Math.max(1, full + resumed)).toFixed(1)} % resumed`
}

async function measureScenario(
  scenario: Scenario,
  entrants: readonly Entrant[],
  rounds: number,
  durationMs: number,
): Promise<Measured> {
  const able = entrants.filter(e => e.peer.port(scenario.protocol) !== null)
  const closed: Record<string, Figures[]> = {}
  const progress = (text: string) => console.error(`bench: ${scenario.name}: ${text}`)
  for (let round = 0; round < rounds; round++) {
    // Who comes first in one round comes last in the next: a machine that slows down slows nobody in particular.
    for (const { label, peer, address, look: looking } of round % 2 === 0 ? able : [...able].reverse()) {
      const lookAway = looking === undefined ? null : await look(peer, looking)
      const figures = await measure(peer, address(scenario.protocol), scenario, 0, durationMs)
      await lookAway?.()
      closed[label] = [...(closed[label] ?? []), figures]
      progress(`round ${round + 1}/${rounds}, ${label}: ${figures.requestsPerSecond.toFixed(0)}/s`)
    }
  }
  const paced: Record<string, Record<string, Figures[]>> = {}
  if (scenario.paced) {
    // The lowest knee of all, so that every peer carries the same rate and none is past its limit.
    const knee = Math.min(...Object.values(closed).map(f => median(f.map(x => x.requestsPerSecond))))
    for (const share of KNEE_SHARES) {
      const rate = Math.round(knee * share)
      const key = `${Math.round(share * 100)} % = ${rate}/s`
      const byPeer: Record<string, Figures[]> = {}
      paced[key] = byPeer
      for (let round = 0; round < Math.min(rounds, 2); round++) {
        for (const { label, peer, address } of able) {
          const figures = await measure(peer, address(scenario.protocol), scenario, rate, durationMs)
          byPeer[label] = [...(byPeer[label] ?? []), figures]
        }
      }
      progress(`at ${key} of the knee done`)
    }
  }
  return { scenario, closed, paced }
}

if (import.meta.main) await main()
