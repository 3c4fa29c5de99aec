// A copy of a request, sent to the backend of a mirror filter beside the request itself. Nobody waits for it: its answer
// is read and dropped, and whatever goes wrong with it is counted and told to nobody.
import type { Endpoint } from "../balance/mod.ts"
import { Timer } from "../net/mod.ts"
import type { Scalar } from "../telemetry/mod.ts"
import type { HttpEnv } from "./env.ts"
import type { Exchange } from "./exchange.ts"

/** Copies under way in one direction; beyond it requests are not copied. A slow mirror must not hold the proxy's memory. */
export const MAX_MIRRORS_IN_FLIGHT = 1024

/** Octets of one copy that may wait for its server; a slower one loses the copy, for the request waits for no mirror. */
export const MIRROR_HELD_BYTES = 262_144

/** Octets of all copies of a direction that may wait: as much as bodies that are kept to be sent again. */
export const MIRROR_TOTAL_BYTES = 16 * 1_048_576

/** After this a copy is given up; nobody waits for its answer, and it holds a connection. */
export const MIRROR_TIMEOUT_MS = 30_000

/** What the copies of one direction take together. */
export class MirrorBudget {
  inFlight = 0
  heldBytes = 0
}

/** Copies by what became of them. */
export interface MirrorCounts {
  /** The server answered. */
  readonly answered: Scalar
  /** No endpoint, or the connection failed or broke. */
  readonly failed: Scalar
  /** Given up by the proxy, for one of the limits, or with a request that broke off. */
  readonly dropped: Scalar
}

/** What every copy needs. */
export interface MirrorTerms {
  readonly budget: MirrorBudget
  readonly counts: MirrorCounts
  readonly env: HttpEnv
  /** Uniform, 0 to 1. */
  readonly random: () => number
}

/** What became of a copy: it was answered. */
export const MIRROR_ANSWERED = 0
/** It failed: its server, or the way to it. */
export const MIRROR_FAILED = 1
/** It was given up. */
export const MIRROR_DROPPED = 2
/** One of the MIRROR_ outcomes. */
export type MirrorOutcome = 0 | 1 | 2

/** One copy under way: accounts for it, and ends it when it takes too long. */
export abstract class Mirror extends Timer {
  protected readonly endpoint: Endpoint
  protected readonly terms: MirrorTerms
  protected over = false
  private readonly startedMs: number
  private held = 0
  private isAnswered = false

  constructor(endpoint: Endpoint, terms: MirrorTerms) {
    super()
    this.endpoint = endpoint
    this.terms = terms
    const { env, budget } = terms
    this.startedMs = env.clock.nowMs
    budget.inFlight++
    endpoint.pending++
    endpoint.breaker?.sent(this.startedMs)
    env.timers.schedule(this, MIRROR_TIMEOUT_MS)
  }

  /** Lets go of the connection, whatever its state. */
  protected abstract letGo(): void

  /** A final response head came. */
  protected head(): void {
    if (this.isAnswered) return
    this.isAnswered = true
    const { nowMs } = this.terms.env.clock
    this.endpoint.latency.observe(nowMs - this.startedMs, nowMs)
    if (this.endpoint.connectFailures > 0) this.endpoint.connected()
  }

  /** The connection could not be made. */
  protected unreached(): void {
    if (this.over) return
    const { env, random } = this.terms
    this.endpoint.connectFailed(env.clock.nowMs, random())
    this.finish(MIRROR_FAILED)
  }

  /** So many octets wait for the server now; the copy is given up if that is too much. */
  protected account(bytes: number): void {
    if (this.over) return
    const { budget } = this.terms
    budget.heldBytes += bytes - this.held
    this.held = bytes
    if (bytes > MIRROR_HELD_BYTES || (bytes > 0 && budget.heldBytes > MIRROR_TOTAL_BYTES)) this.giveUp()
  }

  /** Ends the copy before its time. */
  giveUp(): void {
    this.finish(MIRROR_DROPPED)
  }

  override fire(): void {
    this.giveUp()
  }

  protected finish(outcome: MirrorOutcome): void {
    if (this.over) return
    this.over = true
    const { endpoint } = this
    const { budget, counts, env, random } = this.terms
    const { nowMs } = env.clock
    budget.inFlight--
    budget.heldBytes -= this.held
    this.held = 0
    endpoint.pending--
    if (endpoint.breaker !== null) {
      if (outcome === MIRROR_ANSWERED) endpoint.breaker.succeeded(nowMs)
      else if (outcome === MIRROR_FAILED) endpoint.breaker.failed(nowMs, random())
    }
    env.timers.cancel(this)
    const counted =
      outcome === MIRROR_ANSWERED
        ? counts.answered
        : outcome === MIRROR_FAILED
          ? counts.failed
          : counts.dropped
    counted.value++
    this.letGo()
  }
}

/**
 * Endpoints that get a copy of a request, drawn by the shares of its route's mirrors. Those for which there is no room or
 * no endpoint are counted here.
 */
export function mirrorEndpoints(
  { routing }: Exchange,
  { budget, counts, env, random }: MirrorTerms,
): Endpoint[] {
  const chosen: Endpoint[] = []
  for (const source of routing?.drawMirrors(random) ?? []) {
    const endpoint = source?.pick([], env.clock.nowMs) ?? null
    if (endpoint === null) counts.failed.value++
    else if (budget.inFlight + chosen.length >= MAX_MIRRORS_IN_FLIGHT) counts.dropped.value++
    else chosen.push(endpoint)
  }
  return chosen
}
