// What changed lately, as a list and as marks on the time axis of charts.
import { useQuery } from "@connectrpc/connect-query"
import { useState } from "react"
import { ApiService, type Event, EventKind } from "../../../../protos/mod.ts"
import { plain, span } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import type { Workload } from "../mesh/mesh.ts"
import { Name } from "./name.tsx"
import { Shown } from "./state.tsx"

/** Changes that are kept by the API, milliseconds. */
const KEPT_MS = 3_600_000
/** Most changes that are listed before somebody asks for all. */
const SHOWN_EVENTS = 6

const WORDS: Readonly<Partial<Record<EventKind, string>>> = {
  [EventKind.ROLLOUT]: "rollout",
  [EventKind.POLICY]: "policy",
  [EventKind.ROUTE]: "route",
  [EventKind.CERTIFICATE]: "certificate",
}

/** Changes of one workload, which bear on no other. */
const OF_WORKLOADS: ReadonlySet<EventKind> = new Set([EventKind.ROLLOUT, EventKind.CERTIFICATE])

/** A change, at its place on a time axis. */
export interface TimeMark {
  readonly timeMs: number
  readonly label: string
}

/** Changes of a namespace, or of all, the latest first. */
export function useEvents(namespace = "") {
  const { slowly } = useLive()
  return useQuery(
    ApiService.method.events,
    { namespace, windowMs: KEPT_MS },
    // A change is looked for more often than it comes: it explains what figures do.
    { refetchInterval: slowly === false ? false : slowly / 3 },
  )
}

/** Changes that may bear on a workload: its own rollouts and certificates, what these rest on, policies and routes of its namespace. */
export function eventsOf(events: readonly Event[], { namespace, kind, name }: Workload): readonly Event[] {
  return events.filter(
    ({ kind: what, resource }) =>
      resource?.namespace === "" ||
      (resource?.namespace === namespace &&
        (!OF_WORKLOADS.has(what) || (resource.kind === kind && resource.name === name))),
  )
}

/** Changes as marks. */
export function marksOf(events: readonly Event[]): TimeMark[] {
  return events.map(({ timeMs, kind, resource, what }) => ({
    timeMs,
    label: `${WORDS[kind] ?? "change"} ${resource?.name ?? ""} ${what}`,
  }))
}

/** The list. */
export function EventList({
  of,
  pick = all => all,
}: {
  readonly of: ReturnType<typeof useEvents>
  readonly pick?: (events: readonly Event[]) => readonly Event[]
}) {
  const nowMs = Date.now()
  const [all, setAll] = useState(false)
  return (
    <Shown of={of} what="changes">
      {({ events, sinceMs }) => {
        const shown = pick(events)
        return shown.length === 0 ? (
          <p className="quiet">
            No rollout, policy, route or certificate has changed in the last {span(nowMs - sinceMs)}.
          </p>
        ) : (
          <ol className="events">
            {shown.slice(0, all ? shown.length : SHOWN_EVENTS).map(({ timeMs, kind, resource, what }) => (
              <li
                key={`${timeMs} ${kind} ${resource?.namespace}/${resource?.kind}/${resource?.name} ${what}`}
              >
                <time dateTime={new Date(timeMs).toISOString()} title={new Date(timeMs).toLocaleString()}>
                  {span(nowMs - timeMs)} ago
                </time>
                <span className="tag">{WORDS[kind] ?? "change"}</span>
                <span>
                  <span className="quiet">
                    <Name>{resource?.namespace ?? ""}</Name>/
                  </span>
                  <strong>
                    <Name>{resource?.name ?? ""}</Name>
                  </strong>
                </span>
                <span className="quiet">{plain(what)}</span>
              </li>
            ))}
            {!all && shown.length > SHOWN_EVENTS && (
              <li>
                <button type="button" className="ghost" onClick={() => setAll(true)}>
                  {shown.length - SHOWN_EVENTS} more
                </button>
              </li>
            )}
          </ol>
        )
      }}
    </Shown>
  )
}
