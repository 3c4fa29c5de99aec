// A page whose own code failed: the rest of the dashboard goes on, and says so.
import type { ErrorComponentProps } from "@tanstack/react-router"
import { plain } from "../mesh/format.ts"

/** What stands in the place of a page that failed. */
export function BrokenPage({ error, reset }: ErrorComponentProps) {
  return (
    <section className="state" role="alert">
      <h1>This page failed</h1>
      <p>It is a fault of the dashboard, not of the mesh; other pages go on.</p>
      <p className="quiet">{plain(error instanceof Error ? error.message : String(error))}</p>
      <div className="actions">
        <button type="button" onClick={reset}>
          Try again
        </button>
        <button type="button" onClick={() => window.location.reload()}>
          Reload the dashboard
        </button>
      </div>
    </section>
  )
}
