// The stream of a tap: opened with what proves the caller, and the requests in it put together.
import type { MessageInitShape } from "@bufbuild/protobuf"
import {
  createTapClient,
  TapHeaders,
  type TapEvent,
  type TapRequestBegun,
  type TapRequestEnded,
  type TapRequestSchema,
  type TapResponseHead,
  type TapState,
} from "../../protos/mod.ts"
import type { ApiConnection } from "../connect.ts"

/** Requests that are followed at most; the oldest is forgotten. */
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

/** What a command does with what is heard. */
export interface TapListener {
  /** A request was begun, answered, or is over. */
  moment(request: FollowedRequest, moment: "begun" | "head" | "ended"): void
  /** What is heard, and what is not, has changed. */
  state(state: TapState): void
}

/** How a tap ended. */
export interface TapTotals {
  begun: number
  ended: number
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
  const totals: TapTotals = { begun: 0, ended: 0, state: null }
  const requests = new Map<string, FollowedRequest>()
  const pods = new Map<string, number>()
  const take = ({ id, moment }: TapEvent): void => {
    if (moment.case === "begun") {
      totals.begun++
      const slash = id.lastIndexOf("/")
      const pod = id.slice(0, slash)
      const number = pods.get(pod) ?? pods.size
      pods.set(pod, number)
      const shortId = `${number}:${id.slice(slash + 1)}`
      const followed = { id, shortId, begun: moment.value, head: null, ended: null }
      requests.set(id, followed)
      if (requests.size > MAX_FOLLOWED) requests.delete(requests.keys().next().value as string)
      listener.moment(followed, "begun")
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
export function tapSummary({ begun, ended, state }: TapTotals, seconds: number): string {
  const of = (number: number | bigint, one: string): string =>
    `${number} ${one}${number === 1 || number === 1n ? "" : "s"}`
  const parts = [
    `${of(begun, "request")} of ${of(state?.proxies ?? 0, "proxy").replace("proxys", "proxies")} in ${seconds}s`,
  ]
  if (begun > ended) parts.push(`${begun - ended} not over yet`)
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
