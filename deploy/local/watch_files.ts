// Notices edits of the manifests that a mesh was started with. Polls: a handful of files, and editors replace
// files in ways that make kernel watches miss one in a hundred.
import { readdirSync, statSync } from "node:fs"
import { join } from "node:path"

/** How often files are looked at. */
const POLL_MS = 250

/** Calls `onChange` after files changed and then kept still for one poll. @returns stops watching */
export function watchFiles(paths: readonly string[], onChange: () => void): () => void {
  let seen = fingerprint(paths)
  let pending = false
  const timer = setInterval(() => {
    const now = fingerprint(paths)
    if (now !== seen) {
      seen = now
      pending = true
    } else if (pending) {
      pending = false
      onChange()
    }
  }, POLL_MS)
  return () => clearInterval(timer)
}

function fingerprint(paths: readonly string[]): string {
  return paths
    .map(path => {
      try {
        const stat = statSync(path)
        if (!stat.isDirectory()) return mark(path)
        return readdirSync(path)
          .sort()
          .map(name => mark(join(path, name)))
          .join()
      } catch {
        return `${path} gone`
      }
    })
    .join("\n")
}

function mark(path: string): string {
  try {
    const stat = statSync(path)
    return `${path} ${stat.mtimeMs} ${stat.size} ${stat.ino}`
  } catch {
    return `${path} gone`
  }
}
