// A place that is not there.
import { Link } from "@tanstack/react-router"
import { Empty } from "../parts/state.tsx"

/** What stands at an address of no page. */
export function NotFoundPage() {
  return (
    <Empty title="There is no such page">
      <p>
        <Link to="/">The overview</Link> leads to all others.
      </p>
    </Empty>
  )
}
