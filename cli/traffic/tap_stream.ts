// The stream of a tap: opened with what proves the caller, and the requests in it put together.
import type { MessageInitShape } from "@bufbuild/protobuf"
import {
  createTapClient,
  type TapConnectionClosed,
  type TapConnectionOpened,
  TapHeaders,
  type TapEvent,
  type TapRequestBegun,
  type TapRequestEnded,
  type TapRequestSchema,
  type TapResponseHead,
  type TapState,
} from "../../protos/mod.ts"
import type { ApiConnection } from "../connect.ts"

/** Requests, and connections, that are followed at most; the oldest is forgotten. */
export const MAX_FOLLOWED = 20_000

/** A request as far as it is known. */
export interface FollowedRequest {
  readonly id: string
  /** Short, for lines: number of the pod that tells, number of the request. */
  readonly shortId: string
  readonly begun: TapRequestBegun
  head: TapResponseHead | null
  ended: TapRequestEnded | null
}

/** A raw connection as far as it is known. */
export interface FollowedConnection {
  readonly id: string
  /** As of a request. */
  readonly shortId: string
  readonly opened: TapConnectionOpened
  closed: TapConnectionClosed | null
}

/** What a command does with what is heard. */
export interface TapListener {
  /** A raw connection is open, or over; only where they were asked for. */
  connection?(connection: FollowedConnection, moment: "opened" | "closed"): void
  /** A request was begun, answered, or is over. */
  moment(request: FollowedRequest, moment: "begun" | "head" | "ended"): void
  /** What is heard, and what is not, has changed. */
  state(state: TapState): void
}

/** How a tap ended. */
export interface TapTotals {
  begun: number
  ended: number
  opened: number
  closed: number
  state: TapState | null
}

/**
 * Listens until the signal, or the end of the stream.
 *
 * @throws Failure with a sentence for whatever the control plane answers
 */
export async function listenToTap(
  mesh: ApiConnection,
  request: MessageInitShape<typeof TapRequestSchema>,
  signal: AbortSignal,
  listener: TapListener,
): Promise<TapTotals> {
  const totals: TapTotals = { begun: 0, ended: 0, opened: 0, closed: 0, state: null }
  const requests = new Map<string, FollowedRequest>()
  const connections = new Map<string, FollowedConnection>()
  const pods = new Map<string, number>()
  const shortened = (id: string): string => {
    const slash = id.lastIndexOf("/")
    const pod = id.slice(0, slash)
    const number = pods.get(pod) ?? pods.size
    pods.set(pod, number)
    return `${number}:${id.slice(slash + 1)}`
  }
  const takeConnection = (id: string, moment: Extract<TapEvent["moment"], { case: "opened" | "closed" }>) => {
    if (moment.case === "opened") {
      totals.opened++
      const followed = { id, shortId: shortened(id), opened: moment.value, closed: null }
      keep(connections, id, followed)
      listener.connection?.(followed, "opened")
      return
    }
    const followed = connections.get(id)
    if (followed === undefined) return
    followed.closed = moment.value
    connections.delete(id)
    totals.closed++
    listener.connection?.(followed, "closed")
  }
  const take = ({ id, moment }: TapEvent): void => {
    if (moment.case === "begun") {
      totals.begun++
      const followed = { id, shortId: shortened(id), begun: moment.value, head: null, ended: null }
      keep(requests, id, followed)
      listener.moment(followed, "begun")
      return
    }
    if (moment.case === "opened" || moment.case === "closed") {
      takeConnection(id, moment)
      return
    }
    const followed = requests.get(id)
    if (followed === undefined) return
    if (moment.case === "head") followed.head = moment.value
    if (moment.case === "ended") {
      followed.ended = moment.value
      requests.delete(id)
      totals.ended++
    }
    if (moment.case !== undefined) listener.moment(followed, moment.case)
  }
  const headers = await proof(mesh, request.headers === TapHeaders.VALUES)
  await mesh.call(async (_api, transport) => {
    const client = createTapClient(transport)
    try {
      // 0: as long as it takes.
      for await (const { events, state } of client.tap(request, { signal, headers, timeoutMs: 0 })) {
        for (const event of events) take(event)
        if (state === undefined) continue
        totals.state = state
        listener.state(state)
      }
    } catch (error) {
      if (!signal.aborted) throw error
    }
  })
  return totals
}

function keep<T>(followed: Map<string, T>, id: string, one: T): void {
  followed.set(id, one)
  if (followed.size > MAX_FOLLOWED) followed.delete(followed.keys().next().value as string)
}

/** In a cluster, a token of the account that taps; who may have it made is RBAC's to say. */
async function proof(mesh: ApiConnection, values: boolean): Promise<Record<string, string>> {
  if (mesh.cluster === null) return {}
  const { tapToken } = await import("../cluster/tap_token.ts")
  return { authorization: `Bearer ${await tapToken(mesh.cluster, values)}` }
}

/** Who is heard, and who is not, for a person; empty while nobody has answered. @param doing  such as `tapping` */
export function stateLine({ proxies, failures }: TapState, doing: string): string {
  const heard = proxies === 0 ? "" : `${doing} ${proxies} ${proxies === 1 ? "proxy" : "proxies"}`
  return [heard, ...failures.map(failure => `cannot tap ${failure}`)].filter(part => part !== "").join("; ")
}

/** The summary of a tap, for a person. */
export function tapSummary({ begun, ended, opened, closed, state }: TapTotals, seconds: number): string {
  const of = (number: number | bigint, one: string): string =>
    `${number} ${one}${number === 1 || number === 1n ? "" : "s"}`
  const parts = [
    `${of(begun, "request")}${opened === 0 ? "" : ` and ${of(opened, "connection")}`} of ${of(state?.proxies ?? 0, "proxy").replace("proxys", "proxies")} in ${seconds}s`,
  ]
  const running = begun - ended + opened - closed
  if (running > 0) parts.push(`${running} not over yet`)
  if (state !== null) {
    if (state.limited > 0n) parts.push(`${state.limited} left out as too many a second (--max-rps)`)
    if (state.dropped > 0n) parts.push(`${state.dropped} dropped, as they were not read fast enough`)
    if (state.leftOut > 0)
      parts.push(`${of(state.leftOut, "proxy").replace("proxys", "proxies")} not asked, as too many`)
    if (state.unmeshed > 0) parts.push(`${of(state.unmeshed, "pod")} without a proxy not heard`)
    for (const failure of state.failures) parts.push(`not heard: ${failure}`)
  }
  return parts.join("; ")
}
