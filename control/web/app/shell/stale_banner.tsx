// Says that figures are old: an answer that failed leaves the last one on the screen, and its age with it.
import { useQueryClient } from "@tanstack/react-query"
import { useEffect, useState } from "react"
import { reasonOf } from "../mesh/calls.ts"
import { plain, span } from "../mesh/format.ts"

/** Between two looks at the answers, milliseconds. */
const LOOK_MS = 1000

interface Staleness {
  readonly sentence: string
  /** When the oldest of the figures came, milliseconds since 1970. */
  readonly sinceMs: number
}

/** The banner; nothing while all is fresh. */
export function StaleBanner() {
  const client = useQueryClient()
  const [stale, setStale] = useState<Staleness | null>(null)
  const [nowMs, setNowMs] = useState(Date.now)
  useEffect(() => {
    const look = (): void => {
      const failed = client
        .getQueryCache()
        .findAll({ type: "active" })
        .filter(({ state }) => state.error !== null && state.data !== undefined)
        .sort((a, b) => a.state.dataUpdatedAt - b.state.dataUpdatedAt)
      const [oldest] = failed
      setNowMs(Date.now())
      setStale(
        oldest === undefined
          ? null
          : { sentence: reasonOf(oldest.state.error), sinceMs: oldest.state.dataUpdatedAt },
      )
    }
    const timer = setInterval(look, LOOK_MS)
    return () => clearInterval(timer)
  }, [client])
  return (
    <div aria-live="polite">
      {stale !== null && (
        <p className="banner">
          <strong>These figures are {span(nowMs - stale.sinceMs)} old.</strong> {plain(stale.sentence)}. The
          page goes on asking; traffic of the mesh goes on without the control plane.
        </p>
      )}
    </div>
  )
}
