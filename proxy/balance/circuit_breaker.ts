// Leaves out an endpoint that fails, and lets it prove that it is well again: by failures in a row, or by its success
// rate over a window (Linkerd's two failure accruals). One request at a time is the probe.

import type { AccrualConfig } from "../../protos/routes/mod.ts"

export type { AccrualConfig }

/** Share of successes over the window below which an endpoint is left out (Linkerd's figure). */
export const MIN_SUCCESS_RATE = 0.8
/** Answers in the window before its success rate says anything (Linkerd's figure). */
export const MIN_RATE_SAMPLES = 5
/** Time over which the success rate is taken (Linkerd's figure). */
export const RATE_WINDOW_MS = 10_000
/** Share by which a penalty is lengthened at random: proxies do not come back to an endpoint in step. */
export const PENALTY_JITTER = 0.5
/** Longest time that a probe may take before another request may be one: its answer may never come. */
export const PROBE_LIMIT_MS = 10_000
/** Share of a set's endpoints that may be left out; with more out, all are used as if none were (panic). */
export const PANIC_SHARE = 0.5

/** Requests pass. */
export const CIRCUIT_CLOSED = 0
/** None passes until the penalty is over. */
export const CIRCUIT_OPEN = 1
/** The penalty is over: one request passes, as a probe. */
export const CIRCUIT_PROBING = 2

const SLOTS = 10

/** Circuits of a set that are not closed. */
export class OpenCircuits {
  count = 0
}

/** The circuit of one endpoint. Fixed in size. */
export class CircuitBreaker {
  /** One of the CIRCUIT_ constants. */
  state = CIRCUIT_CLOSED
  private readonly config: AccrualConfig
  private readonly circuits: OpenCircuits
  private readonly byRate: boolean
  private failuresInRow = 0
  private penalties = 0
  private openUntilMs = 0
  private probeSinceMs = Number.NEGATIVE_INFINITY
  private readonly good = new Float64Array(SLOTS)
  private readonly bad = new Float64Array(SLOTS)
  private slot = 0

  /**
   * @param byRate  whether the success rate counts too
   * @param circuits  of the set that the endpoint is of
   */
  constructor(config: AccrualConfig, byRate = false, circuits: OpenCircuits = new OpenCircuits()) {
    this.config = config
    this.circuits = circuits
    this.byRate = byRate
  }

  /** Whether the endpoint may be chosen now. Asking changes nothing; `sent` tells of the choice. */
  admits(nowMs: number): boolean {
    if (this.state === CIRCUIT_CLOSED) return true
    if (this.state === CIRCUIT_OPEN) return nowMs >= this.openUntilMs
    return nowMs - this.probeSinceMs >= PROBE_LIMIT_MS
  }

  /** A request is sent to the endpoint. */
  sent(nowMs: number): void {
    if (this.state === CIRCUIT_CLOSED || !this.admits(nowMs)) return
    this.state = CIRCUIT_PROBING
    this.probeSinceMs = nowMs
  }

  /** A request was answered well. */
  succeeded(nowMs: number): void {
    this.failuresInRow = 0
    if (this.state === CIRCUIT_CLOSED) {
      if (this.byRate) this.count(nowMs, this.good)
      return
    }
    // An answer to a request of before the circuit opened proves nothing.
    if (this.state === CIRCUIT_PROBING) this.close()
  }

  /**
   * A request failed.
   *
   * @param random  uniform, 0 to 1
   */
  failed(nowMs: number, random: number): void {
    this.failuresInRow++
    if (this.state === CIRCUIT_PROBING) this.open(nowMs, random)
    else if (this.state === CIRCUIT_CLOSED) {
      if (this.byRate) this.count(nowMs, this.bad)
      const { maxFailures } = this.config
      if ((maxFailures > 0 && this.failuresInRow >= maxFailures) || (this.byRate && this.tooManyFail())) {
        this.open(nowMs, random)
      }
    }
  }

  private open(nowMs: number, random: number): void {
    const doubled = this.config.minPenaltyMs * 2 ** Math.min(this.penalties, 20)
    const penalty = Math.min(this.config.maxPenaltyMs, doubled) * (1 + PENALTY_JITTER * random)
    this.penalties++
    if (this.state === CIRCUIT_CLOSED) this.circuits.count++
    this.state = CIRCUIT_OPEN
    this.openUntilMs = nowMs + penalty
  }

  /** The endpoint is gone, or its set counts failures no more. */
  retire(): void {
    if (this.state !== CIRCUIT_CLOSED) this.close()
  }

  private close(): void {
    this.circuits.count--
    this.state = CIRCUIT_CLOSED
    this.penalties = 0
    this.good.fill(0)
    this.bad.fill(0)
  }

  private count(nowMs: number, into: Float64Array): void {
    const now = Math.floor((nowMs * SLOTS) / RATE_WINDOW_MS)
    const passed = Math.min(Math.max(0, now - this.slot), SLOTS)
    for (let i = 1; i <= passed; i++) {
      this.good[(now - passed + i) % SLOTS] = 0
      this.bad[(now - passed + i) % SLOTS] = 0
    }
    this.slot = Math.max(now, this.slot)
    // slot % SLOTS is below SLOTS, the arrays' length.
    into[this.slot % SLOTS]!++
  }

  private tooManyFail(): boolean {
    let good = 0
    let bad = 0
    for (let i = 0; i < SLOTS; i++) {
      good += this.good[i]!
      bad += this.bad[i]!
    }
    return good + bad >= MIN_RATE_SAMPLES && good < MIN_SUCCESS_RATE * (good + bad)
  }
}

/** Whether so many of a set are left out that leaving any out would drown the rest. */
export function isPanic(leftOut: number, all: number): boolean {
  return leftOut > all * PANIC_SHARE
}
