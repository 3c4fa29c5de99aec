// When a link to a plugin does what.

/** Longest wait for Describe: a plugin may be starting. */
export const DESCRIBE_TIMEOUT_MS = 5_000
/** First pause before a plugin is called again; it doubles up to `RECONNECT_MAX_MS`. */
export const RECONNECT_MIN_MS = 100
/** Longest pause. */
export const RECONNECT_MAX_MS = 5_000
/** A plugin that answers is described again after this: what it says of itself may have changed. */
export const DESCRIBE_AGAIN_MS = 15_000
/** A plugin that is wrong about itself is asked again after this. */
export const INVALID_RETRY_MS = 5_000
/**
 * How long the first policies and amendments of a plugin are waited for, whatever its deadline: a process that has begun tells
 * proxies nothing meanwhile, and those of new pods wait as long for their first answer.
 */
export const FIRST_ANSWER_MS = 2_000

/** When a link does what. Milliseconds. */
export interface LinkPace {
  readonly describeTimeoutMs: number
  readonly describeAgainMs: number
  readonly reconnectMinMs: number
  readonly reconnectMaxMs: number
  readonly invalidRetryMs: number
  readonly firstAnswerMs: number
}

/** Pace of a control plane. */
export const LINK_PACE: LinkPace = {
  describeTimeoutMs: DESCRIBE_TIMEOUT_MS,
  describeAgainMs: DESCRIBE_AGAIN_MS,
  reconnectMinMs: RECONNECT_MIN_MS,
  reconnectMaxMs: RECONNECT_MAX_MS,
  invalidRetryMs: INVALID_RETRY_MS,
  firstAnswerMs: FIRST_ANSWER_MS,
}
