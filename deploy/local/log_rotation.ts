// Keeps containers' logs bounded, as a kubelet does: a file that has grown too long is kept once as NAME.log.1 and
// begun anew. Containers append to their own open file, which is therefore emptied in place.
import { copyFileSync, readdirSync, statSync, truncateSync } from "node:fs"
import { join } from "node:path"

/**
 * A log longer than this is rotated: a kubelet's containerLogMaxSize. The mesh's folder is in memory on most
 * machines, so each container may take twice this, and what it writes between two looks.
 */
export const MAX_LOG_BYTES = 10 * 1024 * 1024
/** How often logs are looked at. */
export const LOG_CHECK_MS = 250

/** Name of the part of a log that was rotated last. */
export function rotatedLog(path: string): string {
  return `${path}.1`
}

/**
 * Rotates every container's log below `folder` (NAMESPACE/POD/CONTAINER.log) that is too long. A full disk costs the
 * old part, never the bound.
 */
export function rotateLogs(folder: string, maxBytes: number = MAX_LOG_BYTES): void {
  for (const entry of listed(folder)) {
    const path = join(folder, entry)
    if (!/^[^/]+\/[^/]+\/[^/]+\.log$/.test(entry) || sizeOf(path) <= maxBytes) continue
    try {
      copyFileSync(path, rotatedLog(path))
    } catch {
      // No room for the old part: then it is gone.
    }
    try {
      truncateSync(path)
    } catch (error) {
      // The pod, and its logs, may have gone meanwhile.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error
    }
  }
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true }) as string[]
  } catch {
    return []
  }
}

function sizeOf(path: string): number {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}
