// A control plane and its proxies under a clock that a test moves.
import type { Log } from "../log.ts"
import { type ReportStream, type SteadyClock, steadyClock, TelemetryStore } from "../telemetry/mod.ts"
import { EmbeddedHistory, type EmbeddedHistoryOptions } from "./embedded_history.ts"
import {
  BEGIN_MS,
  Counters,
  type HistoryCase,
  LENGTH_MS,
  type ProxyProcess,
  reporterOf,
  reportOf,
} from "./history_cases.ts"

const REPORT_MS = 5_000
const SECOND = 1000

function logTo(lines: string[]): Log {
  const line = (level: string) => (text: string) => lines.push(`${level} ${text}`)
  return {
    debug: line("debug"),
    info: line("info"),
    warn: line("warn"),
    error: line("error"),
  } as unknown as Log
}

/** A control plane under a clock that the test moves, and proxies that report to it. */
export class HistoryWorld {
  /** True time since BEGIN_MS. */
  timeMs = 0
  /** What the machine's clock was set by. */
  wallStepMs = 0
  /** What was logged. */
  readonly lines: string[] = []
  store!: TelemetryStore
  history!: EmbeddedHistory
  clock!: SteadyClock
  private readonly proxies: { counters: Counters; stream: ReportStream | null }[]
  private readonly folder: string
  private readonly options: Pick<EmbeddedHistoryOptions, "limitBytes" | "maxKeys">

  constructor(
    folder: string,
    processes: readonly ProxyProcess[],
    options: Pick<EmbeddedHistoryOptions, "limitBytes" | "maxKeys"> = {},
  ) {
    this.folder = folder
    this.options = options
    this.proxies = processes.map(process => ({ counters: new Counters(process), stream: null }))
    this.begin()
  }

  /** Wall clock, milliseconds since 1970. */
  wallMs = (): number => BEGIN_MS + this.timeMs + this.wallStepMs

  /** Begins a process of the control plane, as the one that was killed left its file. */
  begin(): void {
    const { wallMs, folder, options } = this
    this.history?.close()
    this.history = new EmbeddedHistory(folder, { ...options, log: logTo(this.lines), wallMs })
    const { resumedMs } = this.history
    this.clock = steadyClock(resumedMs, wallMs, () => this.timeMs)
    this.store = new TelemetryStore(resumedMs === 0 ? this.clock.nowMs() : resumedMs, this.history)
    for (const proxy of this.proxies) proxy.stream = null
  }

  /** Lets the history look at the clock. */
  tick(): void {
    this.history.tick(this.store.all(), this.clock)
  }

  /** Lets every proxy report. */
  report(doubled = false): void {
    for (const proxy of this.proxies) {
      const { counters } = proxy
      const { startedMs, endsMs = Number.POSITIVE_INFINITY } = counters.process
      if (this.timeMs < startedMs) continue
      counters.countUntil(this.timeMs)
      if (this.timeMs >= endsMs) {
        if (this.timeMs < endsMs + REPORT_MS) proxy.stream?.take(reportOf(counters), this.clock.nowMs())
        proxy.stream?.close(this.clock.nowMs())
        proxy.stream = null
        continue
      }
      proxy.stream ??= this.store.openStream(reporterOf(counters.process), this.clock.aheadMs())
      proxy.stream?.take(reportOf(counters), this.clock.nowMs())
      if (!doubled) continue
      proxy.stream?.take(reportOf(counters), this.clock.nowMs() + 1)
      proxy.stream?.close(this.clock.nowMs() + 1)
      proxy.stream = this.store.openStream(reporterOf(counters.process), this.clock.aheadMs())
      proxy.stream?.take(reportOf(counters), this.clock.nowMs() + 2)
    }
  }

  /** All of a case. */
  play({ lost = [], doubled, restart, clockStep }: HistoryCase): void {
    for (let timeMs = 0; timeMs <= LENGTH_MS + 30 * SECOND; timeMs += REPORT_MS) {
      if (restart !== undefined && timeMs > restart[0] && timeMs - REPORT_MS <= restart[0]) {
        this.timeMs = restart[0] + restart[1]
        this.begin()
      }
      if (restart !== undefined && timeMs > restart[0] && timeMs < restart[0] + restart[1]) continue
      this.timeMs = timeMs
      if (clockStep !== undefined && timeMs > clockStep[0]) this.wallStepMs = clockStep[1]
      if (lost.some(([from, until]) => timeMs >= from && timeMs < until)) {
        for (const proxy of this.proxies) {
          proxy.stream?.close(this.clock.nowMs())
          proxy.stream = null
        }
      } else if (timeMs <= LENGTH_MS) this.report(doubled === true)
      this.tick()
    }
  }
}
