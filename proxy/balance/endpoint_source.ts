// Where a request's endpoint comes from: a balanced set, or the one address that it must go to.
import type { Endpoint } from "./endpoint.ts"

/** Nothing was tried yet. */
export const NONE_TRIED: readonly Endpoint[] = []

/** Chooses endpoints. */
export interface EndpointSource {
  /**
   * The endpoint for one more request, null when none is left.
   *
   * @param tried  endpoints that failed within the same exchange; not chosen again
   * @param nowMs  monotonic clock reading
   */
  pick(tried: readonly Endpoint[], nowMs: number): Endpoint | null
}

/** An address that admits no choice: the application beside an inbound proxy, a pod, the outside world. */
export class SingleEndpoint implements EndpointSource {
  readonly endpoint: Endpoint

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint
  }

  pick(tried: readonly Endpoint[], _nowMs: number): Endpoint | null {
    return tried.length === 0 ? this.endpoint : null
  }
}
