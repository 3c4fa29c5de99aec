// The process_* family of Prometheus' client libraries, from /proc, read when somebody asks.
import { readdirSync, readFileSync } from "node:fs"
import { type Metric, Scalar, type Series } from "./series.ts"

const CPU: Metric = {
  name: "process_cpu_seconds_total",
  kind: "counter",
  help: "Total user and system CPU time spent in seconds.",
}
const RESIDENT: Metric = {
  name: "process_resident_memory_bytes",
  kind: "gauge",
  help: "Resident memory size in bytes, the runtime's shared binary included.",
}
const ANONYMOUS: Metric = {
  name: "process_anonymous_memory_bytes",
  kind: "gauge",
  help: "Memory of this process alone in bytes, shared files left out.",
}
const VIRTUAL: Metric = {
  name: "process_virtual_memory_bytes",
  kind: "gauge",
  help: "Virtual memory size in bytes.",
}
const OPEN_FDS: Metric = { name: "process_open_fds", kind: "gauge", help: "Number of open file descriptors." }
const MAX_FDS: Metric = {
  name: "process_max_fds",
  kind: "gauge",
  help: "Maximum number of open file descriptors.",
}
const START_TIME: Metric = {
  name: "process_start_time_seconds",
  kind: "gauge",
  help: "Start time of the process since unix epoch in seconds.",
}

/** Reads a file, "" when it cannot be read. */
export type ReadText = (path: string) => string

const readProc: ReadText = path => {
  try {
    return readFileSync(path, "utf8")
  } catch {
    return ""
  }
}

/** Figures of this process. What the system does not tell is left out. */
export class ProcessMetrics {
  private readonly startedAtMs: number
  private readonly read: ReadText

  /** @param startedAtMs  milliseconds since 1970 */
  constructor(startedAtMs: number, read: ReadText = readProc) {
    this.startedAtMs = startedAtMs
    this.read = read
  }

  /** The figures now. */
  collect(): Series[] {
    const usage = process.cpuUsage()
    const status = this.read("/proc/self/status")
    return [
      ...figure(CPU, (usage.user + usage.system) / 1e6),
      ...figure(RESIDENT, kilobytes(status, "VmRSS")),
      ...figure(ANONYMOUS, kilobytes(status, "RssAnon")),
      ...figure(VIRTUAL, kilobytes(status, "VmSize")),
      ...figure(OPEN_FDS, openFds()),
      ...figure(MAX_FDS, maxFds(this.read("/proc/self/limits"))),
      ...figure(START_TIME, this.startedAtMs / 1000),
    ]
  }
}

function figure(metric: Metric, value: number): Series[] {
  if (!Number.isFinite(value)) return []
  const series = new Scalar(metric, [])
  series.value = value
  return [series]
}

function kilobytes(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)
  return match === null ? Number.NaN : Number(match[1]) * 1024
}

function maxFds(limits: string): number {
  const match = /^Max open files\s+(\d+|unlimited)/m.exec(limits)
  return match === null || match[1] === "unlimited" ? Number.NaN : Number(match[1])
}

function openFds(): number {
  try {
    return readdirSync("/proc/self/fd").length
  } catch {
    return Number.NaN
  }
}
