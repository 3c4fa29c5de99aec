// What the answers of hooks may hold: for the control plane, which refuses others, and for `conduit plugin check`, which tells a
// plugin's author. protos/conduit/plugin/v1 says the same in its comments.

/** Policies of one plugin: each is looked at for each connection to the pods that it targets. */
export const MAX_SUPPLIED_POLICIES = 1000
/** Endpoints that a plugin adds to one port. */
export const MAX_ADDED_ENDPOINTS = 1000
/** Endpoints that a plugin changes of one port. */
export const MAX_CHANGED_ENDPOINTS = 5000
/** Highest weight. */
export const MAX_ENDPOINT_WEIGHT = 10_000
/** Longest time that a decision may be kept, milliseconds. */
export const MAX_ASK_CACHE_MS = 300_000
/** Longest reason of a decision, bytes: it is passed on to callers in a header. */
export const MAX_ASK_REASON_BYTES = 1_024
/** Lines of one plugin that `conduit check` tells. */
export const MAX_CHECK_LINES = 50

const ZONE = /^[\w.-]{0,253}$/
const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** Whether a text may be a zone. */
export function isZone(text: string): boolean {
  return ZONE.test(text)
}

/** Whether a text may be a namespace, or the name of a supplied policy (RFC 1123). */
export function isDnsLabel(text: string): boolean {
  return DNS_LABEL.test(text)
}

/** Whether a number may be a port. */
export function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535
}
