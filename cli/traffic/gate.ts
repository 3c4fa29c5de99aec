// `conduit gate RESOURCE`: waits until live traffic has shown that a release holds, or that it does not; for pipelines.
import type { ApiClient, GateResponse } from "../../protos/mod.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { type ApiConnection, openApi } from "../connect.ts"
import { Failure, UsageError } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { formatOf, say, writeOut } from "../output.ts"
import {
  KIND_WORDS,
  parseResources,
  peerOf,
  queryOf,
  resourcesText,
  resourceText,
  SELECTOR_FLAG,
  selectorOf,
} from "../resource.ts"
import { GATE_FORMATS, type GateLine, gateLine, renderGate } from "./gate_report.ts"

/** Time between two questions. */
export const POLL_MS = 1_000

/** For how long a control plane may be away: a restart of it fails no release. */
export const AWAY_MS = 30_000

/** Longest window, as the API has it. */
const MAX_FOR_MS = 55 * 60_000

/** Time as a gate needs it; tests pass their own. */
export interface GateClock {
  /** Milliseconds; only differences count. */
  nowMs(): number
  sleep(ms: number): Promise<void>
}

const CLOCK: GateClock = {
  nowMs: () => performance.now(),
  sleep: async ms => {
    await new Promise(resolve => setTimeout(resolve, ms))
  },
}

/** A question to the gate; `beginMs` 0 asks where a window would begin. */
export type AskGate = (beginMs: number) => Promise<readonly GateResponse[]>

/** What a person is told while a gate waits. */
export interface GateNews {
  /** Something happened. */
  line(text: string): void
  /** How it stands; shown in place on a terminal. */
  progress(lines: readonly GateLine[], elapsedMs: number): void
}

/**
 * Waits for the verdict on a window that begins now.
 *
 * @param what  the resources, for sentences
 * @returns how each resource ended; all of those that were asked for when one failed before the window's end
 * @throws Failure when there is nothing to judge, or the control plane stays away or loses figures
 */
export async function waitAtGate(
  ask: AskGate,
  what: string,
  clock: GateClock,
  news: GateNews,
): Promise<readonly GateLine[]> {
  const first = await ask(0)
  if (first.every(({ rows }) => rows.length === 0)) throw new Failure(`gate: no ${what} was found to judge`)
  const beginMs = Math.max(...first.map(answer => answer.nextBeginMs))
  const most = new Map<string, number>()
  let awaySinceMs: number | null = null
  for (;;) {
    await clock.sleep(POLL_MS)
    let answers: readonly GateResponse[]
    try {
      answers = await ask(beginMs)
    } catch (error) {
      if (!(error instanceof Failure)) throw error
      awaySinceMs ??= clock.nowMs()
      if (clock.nowMs() - awaySinceMs >= AWAY_MS) {
        const away = `the control plane could not be asked for ${AWAY_MS / 1000} s`
        throw new Failure(`gate: no verdict on ${what}: ${away}: ${error.message}`, { cause: error })
      }
      news.line(`conduit: ${error.message}; trying again`)
      continue
    }
    awaySinceMs = null
    const lines = answers.flatMap(({ rows }) => rows.map(gateLine))
    if (lines.length === 0) throw new Failure(`gate: ${what} went away while its traffic was watched`)
    for (const line of lines) {
      const name = resourceText(line.kind, line.name)
      const before = most.get(`${line.namespace}/${name}`) ?? 0
      // Counts since a fixed begin only grow; figures in slots may differ by a little at their ends.
      if (line.responses < before * 0.9) {
        throw new Failure(
          `gate: no verdict on ${name}: the control plane lost figures of the window (it was restarted); run it again`,
        )
      }
      most.set(`${line.namespace}/${name}`, Math.max(before, line.responses))
    }
    const failed = lines.some(line => line.verdict === "failed")
    if (failed || lines.every(line => line.verdict === "passed")) return lines
    news.progress(lines, Math.max(...answers.map(answer => answer.elapsedMs)))
  }
}

/**
 * Reads a percentage such as `99.5` or `99.5%` as a share.
 *
 * @throws UsageError when it is none, or looks like a share already
 */
export function shareOf(text: string): number {
  const value = /^\d+(\.\d+)?%?$/.test(text) ? Number.parseFloat(text) : Number.NaN
  if (value > 0 && value <= 1 && !text.endsWith("%")) {
    const meant = Number((value * 100).toFixed(6))
    throw new UsageError(`--success takes a percentage: write ${meant}% if that is what "${text}" means`)
  }
  if (!(value > 0 && value <= 100))
    throw new UsageError(`--success cannot be "${text}"; write a percentage above 0 up to 100, such as 99.5`)
  return value / 100
}

function latencyOf(text: string | undefined, flag: string): number {
  if (text === undefined) return 0
  const ms = parseDurationMs(text, flag)
  if (ms <= 0 || ms > 50_000)
    throw new UsageError(`${flag} cannot be "${text}"; latencies are told apart from 1ms to 50s`)
  return ms
}

function countOf(text: string | undefined): bigint {
  if (text === undefined) return 0n
  if (!/^\d{1,12}$/.test(text))
    throw new UsageError(`--min-requests cannot be "${text}"; write a number, such as 100`)
  return BigInt(text)
}

function windowOf(text: string | undefined): number {
  const ms = parseDurationMs(text ?? "1m", "--for")
  if (ms < 1000 || ms > MAX_FOR_MS)
    throw new UsageError(`--for cannot be "${text}"; a gate watches for 1s to 55m`)
  return ms
}

/** `conduit gate RESOURCE`. */
export const gate = command({
  meta: {
    name: "gate",
    description: "Exits 0 only if live traffic, from now on and for a while, holds what a release must hold",
  },
  args: {
    ...GLOBAL_FLAGS,
    output: { type: "string", alias: "o", valueHint: "FORMAT", description: GATE_FORMATS.join(", ") },
    resource: {
      type: "positional",
      valueHint: "RESOURCE",
      description: "deploy/web; of several each must hold",
      required: true,
    },
    success: {
      type: "string",
      valueHint: "PCT",
      description: "least share of requests that succeed, such as 99.5",
    },
    p50: { type: "string", valueHint: "DURATION", description: "highest median latency, such as 50ms" },
    p95: { type: "string", valueHint: "DURATION", description: "highest 95th percentile" },
    p99: { type: "string", valueHint: "DURATION", description: "highest 99th percentile" },
    for: { type: "string", valueHint: "DURATION", description: "how long to watch, 1s to 55m (default: 1m)" },
    "min-requests": {
      type: "string",
      valueHint: "N",
      description: "fail if fewer requests ended (default: 1)",
    },
    "allow-no-traffic": { type: "boolean", description: "pass if there was no request at all" },
    from: { type: "string", valueHint: "RESOURCE", description: "only traffic that this sends" },
    "from-namespace": { type: "string", valueHint: "NAMESPACE", description: "namespace of --from" },
    ...SELECTOR_FLAG,
  },
  variadic: true,
  offers: { resource: KIND_WORDS, from: KIND_WORDS, output: GATE_FORMATS },
  examples: [
    {
      line: "conduit gate deploy/web --success 99.5 --p99 300ms --for 2m",
      why: "after kubectl rollout status",
    },
    { line: "conduit gate deploy -l app=web --success 99 -o junit > gate.xml", why: "for a CI system" },
    { line: "conduit gate svc/cart --from deploy/web --success 99.9", why: "as one caller sees it" },
  ],
  async run({ args }) {
    const format = formatOf(args.output, GATE_FORMATS)
    const targets = parseResources(args._)
    const sender = peerOf(args.from, "--from")
    const windowMs = windowOf(args.for)
    const limits = {
      success: args.success === undefined ? 0 : shareOf(args.success),
      p50Ms: latencyOf(args.p50, "--p50"),
      p95Ms: latencyOf(args.p95, "--p95"),
      p99Ms: latencyOf(args.p99, "--p99"),
      minRequests: countOf(args["min-requests"]),
    }
    if (limits.success + limits.p50Ms + limits.p95Ms + limits.p99Ms === 0)
      throw new UsageError("gate needs something that must hold: --success 99.5, or --p99 300ms")
    await using mesh = await openApi(args)
    const { namespace } = mesh
    const from = selectorOf(sender, args["from-namespace"] ?? namespace)
    const ask = asker(mesh, beginMs =>
      targets.map(target => ({
        target: queryOf(target, namespace, args.selector),
        windowMs,
        beginMs,
        limits,
        allowNoTraffic: args["allow-no-traffic"] === true,
        ...(from === undefined ? {} : { from }),
      })),
    )
    const what = resourcesText(targets)
    const news = newsOf(windowMs, process.stderr.isTTY === true)
    if (process.stderr.isTTY !== true) say(`watching ${what} for ${windowMs / 1000} s`)
    const lines = await waitAtGate(ask, what, CLOCK, news)
    news.line("")
    writeOut(await renderGate(format, lines, { namespaces: namespace === "", windowMs }))
    const failed = lines.filter(line => line.verdict === "failed")
    if (failed.length === 0) return
    const reasons = failed.flatMap(({ kind, name, reasons }) =>
      reasons.map(reason => `${resourceText(kind, name)}: ${reason}`),
    )
    throw new Failure(`gate: ${reasons.join("\n")}`)
  },
})

function asker(
  mesh: ApiConnection,
  requests: (beginMs: number) => Parameters<ApiClient["gate"]>[0][],
): AskGate {
  return async beginMs =>
    await mesh.call(async api => await Promise.all(requests(beginMs).map(request => api.gate(request))))
}

function newsOf(windowMs: number, terminal: boolean): GateNews {
  let shown = false
  const clear = (): void => {
    if (shown) process.stderr.write("\r\u001b[K")
    shown = false
  }
  return {
    line: text => {
      clear()
      if (text !== "") say(text)
    },
    progress: (lines, elapsedMs) => {
      if (!terminal) return
      clear()
      const left = Math.max(0, Math.ceil((windowMs - elapsedMs) / 1000))
      const figures = lines.map(({ kind, name, success, responses }) => {
        const share = success === null ? "no requests yet" : `${(success * 100).toFixed(2)}% of ${responses}`
        return `${resourceText(kind, name)} ${share}`
      })
      process.stderr.write(
        `${left} s left: ${figures.join(", ")}`.slice(0, (process.stderr.columns ?? 80) - 1),
      )
      shown = true
    },
  }
}
