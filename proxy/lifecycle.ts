// From SIGTERM to the end: unready first, then a window in which both directions go on, then the end as soon as
// nothing is open and the application calls nobody any more. Refusing at once is what makes rollouts fail: clients hear of the end later than the proxy does.
import type { Logger } from "./log.ts"
import { type Clock, callbackTimer, type TimerWheel } from "./net/mod.ts"

/** After TERM connections are accepted at least this long: so long do endpoints stay in clients' views. */
export const DRAIN_WINDOW_MS = 3_000

/**
 * How long the application must not have called anybody before the proxy takes it that it is done. Both get their TERM
 * together where there are no native sidecars, and what the application does last (reports, hand-overs) needs the proxy.
 */
export const OUTBOUND_QUIET_MS = 2_000

/** How often it is looked whether all connections have ended. */
const POLL_MS = 100

/** What a shutdown needs. */
export interface LifecycleOptions {
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly log: Logger
  /** From TERM to the end at the latest. */
  readonly graceMs: number
  /** Accepted connections that are open, both directions. */
  readonly openConnections: () => number
  /** Clock reading when the application last began or ended a connection to the outside. */
  readonly outboundUsedMs: () => number
  /** TERM came: inbound connections are to be ended as they become free. */
  readonly drain: () => void
  /** The drain window is over: inbound connections on which nothing runs are to be closed. Called repeatedly. */
  readonly closeIdle: () => void
  /** The end; may send a last report. Called once. */
  readonly exit: () => void
}

/** Whether the proxy serves, drains, or is done. */
export class Lifecycle {
  /** TERM came. */
  draining = false
  private readonly options: LifecycleOptions
  private done = false

  constructor(options: LifecycleOptions) {
    this.options = options
  }

  /** Begins the orderly end; the second call ends at once. */
  terminate(why: string): void {
    const { clock, log, timers, graceMs, openConnections, outboundUsedMs } = this.options
    if (this.draining) {
      log.warn("second signal: ending at once", { open: openConnections() })
      this.finish()
      return
    }
    this.draining = true
    log.info(`${why}: draining`, { open: openConnections(), grace_ms: graceMs })
    this.options.drain()
    // A signal comes outside of the loop's callbacks, so the clock is read at the first poll.
    let startedMs = Number.NaN
    const poll = callbackTimer(() => {
      if (Number.isNaN(startedMs)) startedMs = clock.nowMs - POLL_MS
      const passedMs = clock.nowMs - startedMs
      const open = openConnections()
      if (passedMs >= graceMs) {
        if (open > 0) log.warn("the grace period is over; connections are cut", { open })
        this.finish()
      } else if (
        passedMs >= DRAIN_WINDOW_MS &&
        open === 0 &&
        clock.nowMs - outboundUsedMs() >= OUTBOUND_QUIET_MS
      ) {
        log.info("all connections have ended")
        this.finish()
      } else {
        if (passedMs >= DRAIN_WINDOW_MS) this.options.closeIdle()
        timers.schedule(poll, POLL_MS)
      }
    })
    timers.schedule(poll, POLL_MS)
  }

  private finish(): void {
    if (this.done) return
    this.done = true
    this.options.exit()
  }
}
