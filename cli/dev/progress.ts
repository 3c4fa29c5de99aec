// What people see while a mesh comes up: one line that follows the count on a terminal, plain lines elsewhere.
import type { PodReport } from "../../deploy/mod.ts"

/** Shows progress of pods. */
export interface Progress {
  /** Called with the pods as they are now. */
  update(pods: readonly PodReport[]): void
  /** Prints a line of its own. */
  line(text: string): void
  /** Removes the moving line. */
  end(): void
}

/** Progress on a stream; `terminal` moves the cursor. */
export function progressOn(write: (text: string) => void, terminal: boolean): Progress {
  const announced = new Set<string>()
  let shown = false
  const clear = () => {
    if (shown) write("\r\x1b[K")
    shown = false
  }
  const line = (text: string) => {
    clear()
    write(`${text}\n`)
  }
  return {
    line,
    end: clear,
    update(pods) {
      const ready = pods.filter(pod => pod.ready || pod.phase === "Succeeded")
      for (const pod of ready) {
        const key = `${pod.namespace}/${pod.name}`
        if (announced.has(key)) continue
        announced.add(key)
        if (!terminal) line(`${key} ready${pod.meshed ? " (meshed)" : ""}`)
      }
      if (!terminal) return
      const waiting = pods.filter(pod => !ready.includes(pod)).map(pod => pod.workload?.name ?? pod.name)
      const rest = waiting.length === 0 ? "" : `: waiting for ${[...new Set(waiting)].slice(0, 4).join(", ")}`
      clear()
      write(`${ready.length}/${pods.length} pods ready${rest}`.slice(0, 100))
      shown = true
    },
  }
}
