// The shop's customers: calls at a steady rate, whatever the answers take (open loop), every one counted.
// GET /counts gives the counts; POST /pause stops sending and answers once the last call has ended; POST /resume
// goes on. At its end it prints the counts.
import { Code, ConnectError } from "@connectrpc/connect"
import type { Call } from "./calls.ts"
import { Latencies } from "./latency.ts"
import type { ListenOptions, Service } from "./service.ts"

/** How often the generator looks which calls are due, in milliseconds: bursts stay small, and so does its CPU use. */
const TICK_MS = 20

/** Between two tries to reach a service before the load starts, in milliseconds. */
const WARM_UP_RETRY_MS = 250

/**
 * Calls of one kind that may run at once. A service that hangs must not let the generator pile up calls without
 * bound; calls that come due beyond it are not sent, and counted as `held back`.
 */
const MAX_IN_FLIGHT = 200

/** Counts of one kind of call. `sent` = `succeeded` + `failed` + `inFlight`, always. */
export interface CallCounts {
  /** As in Call. */
  readonly name: string
  /** As in Call. */
  readonly target: string
  /** As in Call. */
  readonly perSecond: number
  /** As in Call. */
  readonly reaches: readonly string[]
  /** As in Call. */
  readonly failsAt: readonly string[]
  /** Calls begun. */
  sent: number
  /** Calls that ended as they should. */
  succeeded: number
  /** Calls that ended otherwise. */
  failed: number
  /** Calls that have not ended. */
  inFlight: number
  /** Calls that came due and were not sent, because too many were in flight. */
  heldBack: number
  /** Why calls failed, and how many each: `502`, `grpc unavailable`, `connection: ...`. */
  failures: Record<string, number>
  /** Quantiles of the latency in milliseconds of ended calls; null when there were none. */
  latencyMs: { p50: number | null; p95: number | null; p99: number | null }
}

/** What GET /counts answers. */
export interface LoadCounts {
  /** Whether calls are being sent. */
  readonly running: boolean
  /** Milliseconds during which calls were sent. */
  readonly runningMs: number
  /** Counts per kind of call. */
  readonly calls: readonly CallCounts[]
}

interface Line {
  readonly call: Call
  readonly counts: CallCounts
  readonly latencies: Latencies
  issued: number
}

/** A steady load made of several kinds of calls. */
export class LoadGenerator {
  readonly #lines: Line[]
  readonly #nowMs: () => number
  #timer: ReturnType<typeof setInterval> | undefined
  #startedMs = 0
  #earlierMs = 0
  #idle: (() => void)[] = []

  /** @param nowMs  monotonic clock, milliseconds */
  constructor(calls: readonly Call[], nowMs: () => number) {
    this.#nowMs = nowMs
    this.#lines = calls.map(call => ({
      call,
      latencies: new Latencies(),
      issued: 0,
      counts: {
        name: call.name,
        target: call.target,
        perSecond: call.perSecond,
        reaches: call.reaches,
        failsAt: call.failsAt,
        sent: 0,
        succeeded: 0,
        failed: 0,
        inFlight: 0,
        heldBack: 0,
        failures: {},
        latencyMs: { p50: null, p95: null, p99: null },
      },
    }))
  }

  /** Waits until every kind of call succeeds once. These calls are not counted: the load has not begun. */
  async warmUp(signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#lines.map(async ({ call }) => {
        while (!signal.aborted) {
          if ((await outcome(call, 0)) === null) return
          await Bun.sleep(WARM_UP_RETRY_MS)
        }
      }),
    )
  }

  /** Starts sending, or goes on after a pause. */
  resume(): void {
    if (this.#timer !== undefined) return
    this.#startedMs = this.#nowMs()
    for (const line of this.#lines) line.issued = 0
    this.#timer = setInterval(() => this.tick(), TICK_MS)
  }

  /** Stops sending; resolves when the last call in flight has ended. */
  pause(): Promise<void> {
    if (this.#timer !== undefined) {
      clearInterval(this.#timer)
      this.#timer = undefined
      this.#earlierMs += this.#nowMs() - this.#startedMs
    }
    return new Promise(resolve => {
      this.#idle.push(resolve)
      this.#settle()
    })
  }

  /** Sends what has come due. Called by the generator's own timer; public for tests, which drive the clock. */
  tick(): void {
    const elapsedMs = this.#nowMs() - this.#startedMs
    for (let index = 0; index < this.#lines.length; index++) {
      const line = this.#lines[index]
      if (line === undefined) continue
      // Shifted against each other by a fraction of their period, so that kinds do not fire together.
      const due = Math.floor((elapsedMs * line.call.perSecond) / 1000 + index / this.#lines.length)
      for (; line.issued < due; line.issued++) this.#send(line)
    }
  }

  /** The counts as of now. */
  counts(): LoadCounts {
    const running = this.#timer !== undefined
    for (const { counts, latencies } of this.#lines)
      counts.latencyMs = {
        p50: latencies.quantile(0.5),
        p95: latencies.quantile(0.95),
        p99: latencies.quantile(0.99),
      }
    return {
      running,
      runningMs: Math.round(this.#earlierMs + (running ? this.#nowMs() - this.#startedMs : 0)),
      calls: this.#lines.map(line => line.counts),
    }
  }

  #send(line: Line): void {
    const { counts } = line
    if (counts.inFlight >= MAX_IN_FLIGHT) {
      counts.heldBack++
      return
    }
    const n = counts.sent++
    counts.inFlight++
    const startMs = this.#nowMs()
    outcome(line.call, n).then(failure => {
      line.latencies.add(this.#nowMs() - startMs)
      counts.inFlight--
      if (failure === null) counts.succeeded++
      else {
        counts.failed++
        counts.failures[failure] = (counts.failures[failure] ?? 0) + 1
      }
      this.#settle()
    })
  }

  #settle(): void {
    if (this.#idle.length === 0 || this.#timer !== undefined) return
    for (const { counts } of this.#lines) if (counts.inFlight > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }
}

async function outcome(call: Call, n: number): Promise<string | null> {
  try {
    return await call.run(n)
  } catch (error) {
    if (error instanceof ConnectError) return `grpc ${Code[error.code]}: ${error.rawMessage}`
    return `connection: ${error instanceof Error ? error.message : String(error)}`
  }
}

/** The counts as text: one line per kind of call, and a total. */
export function summary(counts: LoadCounts): string {
  const lines = [`load: ${(counts.runningMs / 1000).toFixed(1)} s of calls`]
  let sent = 0
  let failed = 0
  for (const call of counts.calls) {
    sent += call.sent
    failed += call.failed
    const why = Object.entries(call.failures).map(([reason, count]) => `${count} x ${reason}`)
    const quantiles = [call.latencyMs.p50, call.latencyMs.p95, call.latencyMs.p99].map(
      ms => ms?.toFixed(1) ?? "-",
    )
    lines.push(
      `  ${call.name} (${call.target}): ${call.sent} sent, ${call.failed} failed, p50/p95/p99 ${quantiles.join("/")} ms` +
        (why.length > 0 ? `; ${why.join(", ")}` : "") +
        (call.heldBack > 0 ? `; ${call.heldBack} held back` : ""),
    )
  }
  lines.push(`  total: ${sent} sent, ${failed} failed`)
  return lines.join("\n")
}

/** Starts the generator and its own HTTP port. Sends once every kind of call has succeeded once. */
export function startLoad(
  listen: ListenOptions,
  calls: readonly Call[],
): Service & { generator: LoadGenerator } {
  const generator = new LoadGenerator(calls, () => performance.now())
  const stopping = new AbortController()
  let wanted = true
  const warm = generator.warmUp(stopping.signal).then(() => {
    if (wanted && !stopping.signal.aborted) generator.resume()
  })
  const server = Bun.serve({
    hostname: listen.host,
    port: listen.port,
    idleTimeout: 60,
    routes: {
      "/counts": () => Response.json(generator.counts()),
      "/pause": {
        async POST() {
          wanted = false
          await warm
          await generator.pause()
          return Response.json(generator.counts())
        },
      },
      "/resume": {
        async POST() {
          wanted = true
          await warm
          generator.resume()
          return Response.json(generator.counts())
        },
      },
    },
    fetch: () => new Response("not found\n", { status: 404 }),
  })
  return {
    generator,
    port: server.port ?? 0,
    async stop() {
      wanted = false
      stopping.abort()
      await generator.pause()
      await server.stop(true)
      console.log(summary(generator.counts()))
    },
  }
}
