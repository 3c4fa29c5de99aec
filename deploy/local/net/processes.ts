// Facts about processes from /proc: children, start times, markers.
import { readdirSync, readFileSync } from "node:fs"

/** Environment variable that marks every process a local mesh started outside its pods' own namespaces. */
export const MESH_MARK = "CONDUIT_DEV_ID"

/** Prefix that makes the kernel kill a process when its parent dies, however it dies. */
export const DIE_WITH_PARENT: readonly string[] = ["setpriv", "--pdeathsig", "KILL"]

/** Host process ids of a process's children, oldest first; empty when it is gone. */
export function childrenOf(pid: number): number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()
    return text === "" ? [] : text.split(" ").map(Number)
  } catch {
    return childrenByScan(pid)
  }
}

/** For kernels without CONFIG_PROC_CHILDREN. */
function childrenByScan(pid: number): number[] {
  return allPids().filter(candidate => statFields(candidate)?.[1] === String(pid))
}

/** Start time in clock ticks since boot; with the pid it names a process for good. null when it is gone. */
export function startTimeOf(pid: number): string | null {
  return statFields(pid)?.[19] ?? null
}

/** Whether the process with that pid is the one that started then, and is no zombie. */
export function isAlive(pid: number, startTime: string | null): boolean {
  const fields = statFields(pid)
  return fields !== null && fields[0] !== "Z" && (startTime === null || fields[19] === startTime)
}

/** Host process ids whose environment carries the mark of the mesh `id`. */
export function markedPids(id: string): number[] {
  const wanted = `${MESH_MARK}=${id}`
  return allPids().filter(pid => {
    try {
      return readFileSync(`/proc/${pid}/environ`, "latin1").split("\0").includes(wanted)
    } catch {
      return false
    }
  })
}

/** Ends a process; that it is already gone is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}

function allPids(): number[] {
  return readdirSync("/proc")
    .filter(name => /^\d+$/.test(name))
    .map(Number)
}

/** Fields of /proc/PID/stat from the state on (proc(5) field 3). */
function statFields(pid: number): string[] | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1")
    return text.slice(text.lastIndexOf(")") + 2).split(" ")
  } catch {
    return null
  }
}
