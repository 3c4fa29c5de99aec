// How many requests of a service may be sent again: a share of those sent first, over a sliding window, so that retries
// never multiply the load on a service that fails (Finagle's and Linkerd's retry budget).

/** Share of requests that may be sent again. */
export const RETRY_RATIO = 0.2
/** Requests per second that may be sent again whatever the load, so that quiet services have retries at all. */
export const RETRY_MIN_PER_SECOND = 10
/** Time for which a request counts towards the budget. */
export const RETRY_WINDOW_MS = 10_000
/** Parts of the window; what is counted in one leaves together. */
const SLOTS = 10

/** The budget of one service. Fixed in size; all methods are a few additions. */
export class RetryBudget {
  private readonly sent = new Float64Array(SLOTS)
  private readonly again = new Float64Array(SLOTS)
  private sentSum = 0
  private againSum = 0
  private slot = 0
  private readonly slotMs: number
  private readonly ratio: number
  private readonly reserve: number

  /** @param windowMs  time for which a request counts */
  constructor(
    ratio: number = RETRY_RATIO,
    minPerSecond: number = RETRY_MIN_PER_SECOND,
    windowMs: number = RETRY_WINDOW_MS,
  ) {
    this.ratio = ratio
    this.reserve = (minPerSecond * windowMs) / 1000
    this.slotMs = windowMs / SLOTS
  }

  /** A request is sent for the first time. */
  deposit(nowMs: number): void {
    this.advance(nowMs)
    // slot % SLOTS is below SLOTS, the length of both arrays; here and below.
    this.sent[this.slot % SLOTS]!++
    this.sentSum++
  }

  /** Takes the right to send one request again; false if there is none. */
  withdraw(nowMs: number): boolean {
    this.advance(nowMs)
    if (this.againSum + 1 > this.reserve + this.ratio * this.sentSum) return false
    this.again[this.slot % SLOTS]!++
    this.againSum++
    return true
  }

  private advance(nowMs: number): void {
    const now = Math.floor(nowMs / this.slotMs)
    if (now <= this.slot) return
    const passed = Math.min(now - this.slot, SLOTS)
    for (let i = 1; i <= passed; i++) {
      const gone = (now - passed + i) % SLOTS
      this.sentSum -= this.sent[gone]!
      this.againSum -= this.again[gone]!
      this.sent[gone] = 0
      this.again[gone] = 0
    }
    this.slot = now
  }
}
