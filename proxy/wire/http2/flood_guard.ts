// Budgets against peers that make work without using it: floods of control frames and of reset streams.

/**
 * Frames that carry nothing (PING, SETTINGS, PRIORITY, WINDOW_UPDATE, RST_STREAM, empty DATA, unknown types) that a
 * peer may be ahead of its useful frames (CVE-2019-9512, -9514, -9515, -9517, -9518). Large enough for the bursts of
 * window updates and probing pings that real clients send.
 */
export const MAX_IDLE_FRAMES = 10_000

/** Idle frames paid for by one frame that carried a head or data, in either direction. */
export const IDLE_FRAMES_PER_USEFUL = 8

/** Idle frames forgiven each second, so that quiet connections may ping. */
export const IDLE_FRAMES_PER_SECOND = 100

/** What a SETTINGS frame counts for: it must be acknowledged, and may touch every stream. */
export const SETTINGS_COST = 10

/**
 * Streams that a peer may end early in a burst: by RST_STREAM (CVE-2023-44487, rapid reset) or by provoking one of
 * ours with a faulty frame (CVE-2025-8671, MadeYouReset). They make work here and upstream, without counting against
 * the limit of concurrent streams.
 */
export const MAX_EARLY_RESETS = 500

/** Early resets forgiven each second. */
export const EARLY_RESETS_PER_SECOND = 100

/**
 * A stream that lived longer than this was bounded by the limit of concurrent streams: 100 streams of 100 ms are a
 * thousand a second. Its end is no early reset, so a storm of missed deadlines does not cost a client its connection.
 */
export const EARLY_RESET_MS = 100

/** One connection's budgets. */
export class FloodGuard {
  private idleFrames = 0
  private earlyResets = 0
  private forgivenAtMs: number

  /** @param nowMs  monotonic clock reading */
  constructor(nowMs: number) {
    this.forgivenAtMs = nowMs
  }

  /** Counts an idle frame; false when the peer went too far. */
  idleFrame(nowMs: number, cost = 1): boolean {
    this.idleFrames += cost
    if (this.idleFrames <= MAX_IDLE_FRAMES) return true
    this.forgive(nowMs)
    return this.idleFrames <= MAX_IDLE_FRAMES
  }

  /** Counts a frame with a head or data, sent or received. */
  usefulFrame(): void {
    this.idleFrames = this.idleFrames > IDLE_FRAMES_PER_USEFUL ? this.idleFrames - IDLE_FRAMES_PER_USEFUL : 0
  }

  /** Counts a stream that the peer ended or made us end; false when it went too far. */
  reset(nowMs: number, streamAgeMs: number): boolean {
    if (streamAgeMs > EARLY_RESET_MS) return true
    this.earlyResets++
    if (this.earlyResets <= MAX_EARLY_RESETS) return true
    this.forgive(nowMs)
    return this.earlyResets <= MAX_EARLY_RESETS
  }

  private forgive(nowMs: number): void {
    const seconds = Math.max(0, nowMs - this.forgivenAtMs) / 1000
    this.forgivenAtMs = nowMs
    this.idleFrames = Math.max(0, this.idleFrames - seconds * IDLE_FRAMES_PER_SECOND)
    this.earlyResets = Math.max(0, this.earlyResets - seconds * EARLY_RESETS_PER_SECOND)
  }
}
