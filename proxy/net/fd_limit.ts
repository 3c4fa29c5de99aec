// How many sockets the proxy may hold: the process's limit of open files less a reserve. The runtime's accept loop
// spins when it meets EMFILE, so the proxy never lets it come to that.
import { readFileSync } from "node:fs"

/** Descriptors kept for everything that is no proxied connection: runtime, control plane, admin, logs. */
export const RESERVED_DESCRIPTORS = 64

/** Assumed when the system does not say. */
const FALLBACK_OPEN_FILES = 1024

let limit = 0

/** Sockets that proxied connections may hold together, accepted and dialled. */
export function socketLimit(): number {
  if (limit === 0) limit = Math.max(16, openFilesLimit() - RESERVED_DESCRIPTORS)
  return limit
}

/** For tests and configuration: sets the limit by hand; 0 goes back to the system's. */
export function setSocketLimit(sockets: number): void {
  limit = sockets
}

function openFilesLimit(): number {
  try {
    const line = /^Max open files\s+(\d+|unlimited)/m.exec(readFileSync("/proc/self/limits", "latin1"))
    if (line?.[1] === "unlimited") return Number.MAX_SAFE_INTEGER
    return Number(line?.[1] ?? FALLBACK_OPEN_FILES)
  } catch {
    return FALLBACK_OPEN_FILES
  }
}
