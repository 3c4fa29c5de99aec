// What stands where data will be, is not, or could not be had: never nothing, and never a wait without end.
import type { ReactNode } from "react"
import { CALL_TIMEOUT_MS, reasonOf } from "../mesh/calls.ts"
import { plain } from "../mesh/format.ts"

/** A question's state, as TanStack Query has it. */
interface Asked<T> {
  readonly data: T | null | undefined
  readonly error: unknown
}

/** Shows data once it is there, and keeps it; until then what is awaited, or what failed. */
export function Shown<T>({
  of,
  what,
  children,
}: {
  of: Asked<T>
  what: string
  children: (data: T) => ReactNode
}) {
  if (of.data !== undefined && of.data !== null) return children(of.data)
  if (of.error !== null && of.error !== undefined) return <Failed what={what} error={of.error} />
  return (
    <div className="state loading" role="status">
      <p>
        Asking for {what} … an answer takes {CALL_TIMEOUT_MS / 1000} s at most.
      </p>
      <div className="skeleton" />
      <div className="skeleton" />
      <div className="skeleton" />
    </div>
  )
}

/** Something could not be had. */
export function Failed({ what, error }: { readonly what: string; readonly error: unknown }) {
  return (
    <div className="state failed" role="alert">
      <h2>No {what} to show</h2>
      <p>{plain(reasonOf(error))}</p>
      <p className="quiet">
        It is asked for again by itself. conduit check says what is wrong with the control plane.
      </p>
    </div>
  )
}

/** There is nothing, and this is what to do. */
export function Empty({ title, children }: { readonly title: string; readonly children?: ReactNode }) {
  return (
    <div className="state">
      <h2>{title}</h2>
      {children}
    </div>
  )
}
