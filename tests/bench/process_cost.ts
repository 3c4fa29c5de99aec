// What processes have cost so far, as /proc tells it.
import { readFileSync } from "node:fs"

const CLOCK_TICKS_PER_SECOND = 100

/** CPU time of all of them, microseconds. */
export function cpuMicros(pids: readonly number[]): number {
  let ticks = 0
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    ticks += Number(fields[11]) + Number(fields[12])
  }
  return (ticks * 1_000_000) / CLOCK_TICKS_PER_SECOND
}

/** Time for which their main threads were ready to run and had no core, milliseconds: what others on the machine took. */
export function coreWaitMs(pids: readonly number[]): number {
  let nanoseconds = 0
  for (const pid of pids) nanoseconds += Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[1])
  return nanoseconds / 1e6
}

/** Memory of their own, bytes. */
export function anonymousBytes(pids: readonly number[]): number {
  let kib = 0
  for (const pid of pids) {
    kib += Number(/^Anonymous:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0)
  }
  return kib * 1024
}
