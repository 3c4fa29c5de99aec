// Files of mounted Secrets and ConfigMaps, read again and again: their content is compared, since a kubelet swaps
// the symlink of a whole folder, others rename file by file, and neither is told reliably by the kernel.
import { readFileSync, statSync } from "node:fs"

/** How often files are read; they are small, and a mount follows its object within a minute anyway. */
export const POLL_MS = 1_000

/** Text of a file, or why it cannot be read. Nothing of the file is in the error. */
export function textOf(path: string, maxBytes: number): string | Error {
  try {
    if (statSync(path).size > maxBytes) return new Error(`${path} has more than ${maxBytes} bytes`)
    return readFileSync(path, "utf8")
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return new Error(
      `${path} cannot be read: ${code === "ENOENT" ? "it does not exist" : (code ?? "unknown error")}`,
    )
  }
}

/** Calls `changed` with what `read` gives whenever it differs from before, at once the first time. @returns ends it */
export function follow<T>(
  read: () => T,
  changed: (value: T) => void,
  tick: () => void = () => {},
): () => void {
  let seen: string | null = null
  const look = (): void => {
    const value = read()
    const text = JSON.stringify(value, (_key, one) => (one instanceof Error ? `Error: ${one.message}` : one))
    if (text !== seen) {
      seen = text
      changed(value)
    }
    tick()
  }
  look()
  const timer = setInterval(look, POLL_MS)
  return () => clearInterval(timer)
}
