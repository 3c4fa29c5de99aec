// The process_* family of Prometheus' client libraries, how late the event loop is, and which version runs.
import { readdirSync, readFileSync } from "node:fs"
import type { Metric } from "./admin.ts"

/** How often the event loop is asked how late it is, milliseconds. */
const LAG_INTERVAL_MS = 500
/** A lag is told for this many intervals: longer than scrapes are apart, so that none falls between two of them. */
const LAG_INTERVALS = 60

/** Figures of this process. */
export class ProcessMetrics {
  private readonly version: string
  private readonly services: string
  private readonly lags: number[] = []
  private readonly timer: ReturnType<typeof setInterval>

  /** @param services  names of what it serves, in order */
  constructor(version: string, services: readonly string[]) {
    this.version = version
    this.services = services.join(",")
    let dueMs = performance.now() + LAG_INTERVAL_MS
    this.timer = setInterval(() => {
      const nowMs = performance.now()
      this.late(nowMs - dueMs)
      dueMs = nowMs + LAG_INTERVAL_MS
    }, LAG_INTERVAL_MS)
    this.timer.unref()
  }

  /** A turn of the loop came so late. */
  late(lagMs: number): void {
    this.lags.push(Math.max(0, lagMs))
    if (this.lags.length > LAG_INTERVALS) this.lags.shift()
  }

  stop(): void {
    clearInterval(this.timer)
  }

  /** The figures now; what the system does not tell is left out. */
  metrics(): Metric[] {
    const { user, system } = process.cpuUsage()
    const status = read("/proc/self/status")
    const gauge = (name: string, help: string, value: number): Metric[] =>
      Number.isFinite(value) ? [{ name, help, type: "gauge", value }] : []
    return [
      {
        name: "conduit_build_info",
        help: "Version of the control plane and what it serves, as labels.",
        type: "gauge",
        value: 1,
        labels: { version: this.version, services: this.services },
      },
      {
        name: "process_cpu_seconds_total",
        help: "Total user and system CPU time spent in seconds.",
        type: "counter",
        value: (user + system) / 1e6,
      },
      ...gauge("process_resident_memory_bytes", "Resident memory size in bytes.", kilobytes(status, "VmRSS")),
      ...gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", kilobytes(status, "VmSize")),
      ...gauge("process_open_fds", "Number of open file descriptors.", openFds()),
      ...gauge("process_max_fds", "Maximum number of open file descriptors.", maxFds()),
      ...gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        Date.now() / 1000 - process.uptime(),
      ),
      ...gauge(
        "process_event_loop_lag_seconds",
        "Longest time that something waited for its turn, over the last half minute.",
        this.lags.length === 0 ? 0 : Math.max(...this.lags) / 1000,
      ),
    ]
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

function kilobytes(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)
  return match === null ? Number.NaN : Number(match[1]) * 1024
}

function maxFds(): number {
  const match = /^Max open files\s+(\d+)/m.exec(read("/proc/self/limits"))
  return match === null ? Number.NaN : Number(match[1])
}

function openFds(): number {
  try {
    return readdirSync("/proc/self/fd").length
  } catch {
    return Number.NaN
  }
}
