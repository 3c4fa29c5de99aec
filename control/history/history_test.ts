// Memory and file held to the table of history_cases.ts, with the clock in hand; tests/programs/prometheus_test.ts holds a real
// Prometheus to it. Then what becomes of the file when things go wrong.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Log } from "../log.ts"
import {
  LiveHistory,
  localQueries,
  type ReportStream,
  type SteadyClock,
  steadyClock,
  TelemetryStore,
} from "../telemetry/mod.ts"
import { EmbeddedHistory, HISTORY_FILE } from "./embedded_history.ts"
import {
  BEGIN_MS,
  Counters,
  fullQuestion,
  HISTORY_CASES,
  type HistoryCase,
  LENGTH_MS,
  type ProxyProcess,
  reporterOf,
  reportOf,
  wrongWith,
} from "./history_cases.ts"

const REPORT_MS = 5_000
const SECOND = 1000
const MINUTE = 60 * SECOND

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-history-"))
})
afterEach(() => {
  chmodSync(folder, 0o755)
  rmSync(folder, { recursive: true, force: true })
})

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
class World {
  /** True time since BEGIN_MS. */
  timeMs = 0
  wallStepMs = 0
  readonly lines: string[] = []
  store!: TelemetryStore
  history!: EmbeddedHistory
  clock!: SteadyClock
  private readonly proxies: { counters: Counters; stream: ReportStream | null }[]
  private readonly limitBytes: number | undefined
  private readonly maxKeys: number | undefined

  constructor(processes: readonly ProxyProcess[], options: { limitBytes?: number; maxKeys?: number } = {}) {
    this.limitBytes = options.limitBytes
    this.maxKeys = options.maxKeys
    this.proxies = processes.map(process => ({ counters: new Counters(process), stream: null }))
    this.begin()
  }

  wallMs = (): number => BEGIN_MS + this.timeMs + this.wallStepMs

  /** Begins a process of the control plane, as the one that was killed left its file. */
  begin(): void {
    const { limitBytes, maxKeys, wallMs } = this
    this.history?.close()
    this.history = new EmbeddedHistory(folder, {
      log: logTo(this.lines),
      wallMs,
      ...(limitBytes === undefined ? {} : { limitBytes }),
      ...(maxKeys === undefined ? {} : { maxKeys }),
    })
    const { resumedMs } = this.history
    this.clock = steadyClock(resumedMs, wallMs, () => this.timeMs)
    this.store = new TelemetryStore(resumedMs === 0 ? this.clock.nowMs() : resumedMs, this.history)
    for (const proxy of this.proxies) proxy.stream = null
  }

  tick(): void {
    this.history.tick(this.store.all(), this.clock)
  }

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

for (const one of HISTORY_CASES) {
  const restarts = one.restart !== undefined
  test(`${restarts ? "file" : "file and memory"}: ${one.name}`, async () => {
    const world = new World(one.processes)
    world.play(one)
    const histories = { file: world.history, ...(restarts ? {} : { memory: new LiveHistory(world.store) }) }
    for (const [name, history] of Object.entries(histories)) {
      for (const question of one.questions) {
        expect({ name, about: question.about, wrong: await wrongWith(history, one, question) }).toEqual({
          name,
          about: question.about,
          wrong: [],
        })
      }
    }
    expect(world.lines).toEqual([])
    world.history.close()
  })
}
