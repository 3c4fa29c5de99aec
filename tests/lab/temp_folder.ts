// Folders of tests under the system's temporary one. Their names bear the process that made them: one that was killed
// from outside leaves its own, and the next removes them, as it does with namespaces.
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const OWNED = /^conduit-[a-z0-9-]+-(\d+)x[A-Za-z0-9]{6}$/
let swept = false

/**
 * Makes a folder; whoever makes it removes it. The first one of a process sweeps those whose process is gone.
 *
 * @param name  what it is for: lower-case letters, digits, hyphens
 */
export function tempFolder(name: string): string {
  if (!swept) sweepFolders()
  swept = true
  return mkdtempSync(join(tmpdir(), `conduit-${name}-${process.pid}x`))
}

/** Removes the folders of processes that are gone. */
export function sweepFolders(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = OWNED.exec(name)?.[1]
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue
    try {
      rmSync(join(tmpdir(), name), { recursive: true, force: true })
    } catch {
      // Another user's, who will sweep it.
    }
  }
}
