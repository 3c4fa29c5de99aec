// What the conformance kit found, for an author who is to act on it.

/** How it stands. */
export type FindingState = "ok" | "warning" | "failed"

/** One thing that was tried. */
export interface Finding {
  /** What is tried, such as `Policy: answers garbage with an error`. */
  readonly check: string
  readonly state: FindingState
  /** What was sent. */
  readonly sent: string
  /** What came. */
  readonly came: string
  /** What to do; empty where nothing is. */
  readonly todo: string
  /** How long it took, milliseconds. */
  readonly ms: number
}

/** What a probe says; the kit adds its name and its time. */
export interface Verdict {
  readonly state: FindingState
  readonly sent: string
  readonly came: string
  readonly todo?: string
}

/** As it should be. */
export function ok(sent: string, came: string): Verdict {
  return { state: "ok", sent, came }
}

/** Works, and should be looked at. */
export function warning(sent: string, came: string, todo: string): Verdict {
  return { state: "warning", sent, came, todo }
}

/** The control plane would not take it, or would be harmed by it. */
export function failed(sent: string, came: string, todo: string): Verdict {
  return { state: "failed", sent, came, todo }
}
