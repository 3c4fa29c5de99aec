// What a Service's annotations say of the traffic to it: retries, timeouts and circuit breaking for requests that meet no
// route or one that is silent about them (contract: `retry.conduit.io/*`, `timeout.conduit.io/*`, `balancer.conduit.io/*`).
import { FieldReader, isAbsent, type Mapping, show } from "./field_reader.ts"
import { MAX_RETRY_ATTEMPTS, type RouteComplaint } from "./route.ts"

/** Failures in a row after which an endpoint is left out, unless annotated (Linkerd's figure). */
export const DEFAULT_MAX_FAILURES = 7
/** First pause of an endpoint that is left out, unless annotated (Linkerd's figure). */
export const DEFAULT_MIN_PENALTY_MS = 1000
/** Longest pause of an endpoint that is left out, unless annotated (Linkerd's figure). */
export const DEFAULT_MAX_PENALTY_MS = 60_000

/** What holds for requests to a Service. Null where the Service says nothing. */
export interface ServiceTraffic {
  readonly retry: {
    readonly codes: readonly number[]
    readonly grpcCodes: readonly number[]
    readonly attempts: number
    /** Timeout of one attempt in milliseconds; 0 for none. */
    readonly attemptTimeoutMs: number
  } | null
  /** Milliseconds; 0 for none. */
  readonly timeouts: { readonly requestMs: number; readonly responseMs: number; readonly idleMs: number }
  readonly accrual: {
    readonly maxFailures: number
    readonly minPenaltyMs: number
    readonly maxPenaltyMs: number
  } | null
  /** How its endpoints are chosen; null for nothing in particular. */
  readonly balancing: {
    /** Milliseconds over which an endpoint that joins comes to its full share; 0 at once. */
    readonly slowStartMs: number
    /** Endpoints of the caller's own zone come first (`trafficDistribution`, `service.kubernetes.io/topology-mode`). */
    readonly preferZone: boolean
    /** A caller stays with one endpoint (`sessionAffinity: ClientIP`). */
    readonly byClient: boolean
  } | null
  /** Endpoints of the caller's own node come before those of its zone (`trafficDistribution: PreferSameNode`). */
  readonly sameNode: boolean
  /** Faults that its callers are to meet; null for none. */
  readonly fault: {
    readonly delayMs: number
    /** Percent. */
    readonly delayPercent: number
    /** HTTP status; 0 for none. */
    readonly abortStatus: number
    /** Percent. */
    readonly abortPercent: number
  } | null
}

/** A Service that says nothing. */
export const NO_TRAFFIC: ServiceTraffic = {
  retry: null,
  timeouts: { requestMs: 0, responseMs: 0, idleMs: 0 },
  accrual: null,
  balancing: null,
  sameNode: false,
  fault: null,
}

const RETRY = "retry.conduit.io/"
const TIMEOUT = "timeout.conduit.io/"
const ACCRUAL = "balancer.conduit.io/failure-accrual"
const SLOW_START = "balancer.conduit.io/slow-start"
const FAULT = "fault.conduit.io/"
const ANNOTATIONS = [
  ...["http", "grpc", "limit", "timeout"].map(name => RETRY + name),
  ...["request", "response", "idle"].map(name => TIMEOUT + name),
  SLOW_START,
  ...["delay", "delay-percent", "abort", "abort-percent"].map(name => FAULT + name),
  ACCRUAL,
  ...["max-failures", "min-penalty", "max-penalty"].map(name => `${ACCRUAL}-consecutive-${name}`),
]
/** What asks for hints of zones in EndpointSlices, now and formerly. */
const TOPOLOGY_MODES = ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"]
const GATEWAY_ERRORS = [502, 503, 504]
const GRPC_CODES: Readonly<Record<string, number>> = {
  cancelled: 1,
  unknown: 2,
  "deadline-exceeded": 4,
  "resource-exhausted": 8,
  aborted: 10,
  internal: 13,
  unavailable: 14,
  "data-loss": 15,
}

/** Reads the annotations of a Service; what cannot be understood is left out with a complaint. */
export function readServiceTraffic(raw: unknown): {
  readonly traffic: ServiceTraffic
  readonly complaints: readonly RouteComplaint[]
} {
  const { metadata, spec } = (raw ?? {}) as {
    readonly metadata?: Mapping | null
    readonly spec?: Mapping | null
  }
  const annotations = metadata?.annotations
  const isMapping = typeof annotations === "object" && annotations !== null && !Array.isArray(annotations)
  const given = isMapping ? (annotations as Mapping) : {}
  const distribution = String(spec?.trafficDistribution)
  const preferZone =
    ["PreferClose", "PreferSameZone", "PreferSameNode"].includes(distribution) ||
    TOPOLOGY_MODES.some(name => String(given[name]).toLowerCase() === "auto")
  const byClient = spec?.sessionAffinity === "ClientIP"
  const names = Object.keys(given).filter(name => /^(retry|timeout|balancer|fault)\.conduit\.io\//.test(name))
  if (names.length === 0 && !preferZone && !byClient) return { traffic: NO_TRAFFIC, complaints: [] }
  const reader = new FieldReader()
  reader.effect = "the annotation is ignored"
  for (const name of names) {
    if (!ANNOTATIONS.includes(name)) {
      reader.add(pathOf(name), `is not an annotation; there are ${ANNOTATIONS.join(", ")}`)
    }
  }
  const duration = (name: string): number => reader.duration(given[name], pathOf(name)) ?? 0
  const timeouts = {
    requestMs: duration(`${TIMEOUT}request`),
    responseMs: duration(`${TIMEOUT}response`),
    idleMs: duration(`${TIMEOUT}idle`),
  }
  return {
    traffic: {
      retry: readRetry(reader, given, duration),
      timeouts,
      accrual: readAccrual(reader, given, duration),
      balancing: readBalancing(duration(SLOW_START), preferZone, byClient),
      sameNode: distribution === "PreferSameNode",
      fault: readFault(reader, given, duration),
    },
    complaints: reader.complaints,
  }
}

function readBalancing(
  slowStartMs: number,
  preferZone: boolean,
  byClient: boolean,
): ServiceTraffic["balancing"] {
  return slowStartMs > 0 || preferZone || byClient ? { slowStartMs, preferZone, byClient } : null
}

function readFault(
  reader: FieldReader,
  given: Mapping,
  duration: (name: string) => number,
): ServiceTraffic["fault"] {
  const delayMs = duration(`${FAULT}delay`)
  const abort = given[`${FAULT}abort`]
  const abortStatus = typeof abort === "string" && /^[45]\d\d$/.test(abort) ? Number(abort) : 0
  if (!isAbsent(abort) && abortStatus === 0) {
    reader.add(pathOf(`${FAULT}abort`), `must be an HTTP status from 400 to 599, not ${show(abort)}`)
  }
  const percent = (name: string, of: number): number => {
    const value = count(reader, given, `${FAULT}${name}-percent`, 100, 100)
    if (of === 0 && !isAbsent(given[`${FAULT}${name}-percent`]))
      reader.add(pathOf(`${FAULT}${name}-percent`), `counts for nothing without ${FAULT}${name}`)
    return of === 0 ? 0 : value
  }
  const fault = {
    ...{ delayMs, delayPercent: percent("delay", delayMs) },
    ...{ abortStatus, abortPercent: percent("abort", abortStatus) },
  }
  return fault.delayPercent + fault.abortPercent === 0 ? null : fault
}

function pathOf(name: string): string[] {
  return ["metadata", "annotations", name]
}

function count(reader: FieldReader, given: Mapping, name: string, max: number, byDefault: number): number {
  const text = given[name]
  if (isAbsent(text)) return byDefault
  const value = typeof text === "string" && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= 0 && value <= max) return value
  reader.add(pathOf(name), `must be a number from 0 to ${max}, not ${show(text)}`)
  return byDefault
}

function readRetry(
  reader: FieldReader,
  given: Mapping,
  duration: (name: string) => number,
): ServiceTraffic["retry"] {
  const codes = readWords(reader, given, `${RETRY}http`, httpCodes)
  const grpcCodes = readWords(reader, given, `${RETRY}grpc`, word => {
    const code = GRPC_CODES[word]
    return code === undefined ? null : [code]
  })
  const attempts = count(reader, given, `${RETRY}limit`, MAX_RETRY_ATTEMPTS, 1)
  const attemptTimeoutMs = duration(`${RETRY}timeout`)
  if (codes.length === 0 && grpcCodes.length === 0) return null
  return { codes, grpcCodes, attempts, attemptTimeoutMs }
}

/** Codes of a word: `5xx`, `gateway-error`, `503`, `500-504`. */
function httpCodes(word: string): number[] | null {
  if (word === "5xx") return range(500, 599)
  if (word === "gateway-error") return GATEWAY_ERRORS
  const [, first, last] = /^([45]\d\d)(?:-([45]\d\d))?$/.exec(word) ?? []
  if (first === undefined || Number(last ?? first) < Number(first)) return null
  return range(Number(first), Number(last ?? first))
}

function range(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
}

function readWords(
  reader: FieldReader,
  given: Mapping,
  name: string,
  codesOf: (word: string) => readonly number[] | null,
): number[] {
  const text = given[name]
  if (isAbsent(text)) return []
  if (typeof text !== "string") {
    reader.add(pathOf(name), `must be text, not ${show(text)}`)
    return []
  }
  const found = new Set<number>()
  for (const word of text.split(",").map(one => one.trim().toLowerCase())) {
    const codes = codesOf(word)
    if (codes === null) {
      reader.add(pathOf(name), `has ${show(word)} in it, which names no status that can be sent again`)
      return []
    }
    for (const code of codes) found.add(code)
  }
  return [...found].sort((a, b) => a - b)
}

function readAccrual(
  reader: FieldReader,
  given: Mapping,
  duration: (name: string) => number,
): ServiceTraffic["accrual"] {
  const max = count(reader, given, `${ACCRUAL}-consecutive-max-failures`, 1_000_000, DEFAULT_MAX_FAILURES)
  const minPenaltyMs = duration(`${ACCRUAL}-consecutive-min-penalty`) || DEFAULT_MIN_PENALTY_MS
  const maxPenaltyMs = duration(`${ACCRUAL}-consecutive-max-penalty`) || DEFAULT_MAX_PENALTY_MS
  const mode = given[ACCRUAL]
  if (isAbsent(mode)) return null
  if (mode !== "consecutive") {
    reader.add(pathOf(ACCRUAL), `must be consecutive, not ${show(mode)}`)
    return null
  }
  if (maxPenaltyMs < minPenaltyMs) {
    reader.add(pathOf(`${ACCRUAL}-consecutive-max-penalty`), "is shorter than the shortest penalty")
  }
  return { maxFailures: max, minPenaltyMs, maxPenaltyMs: Math.max(minPenaltyMs, maxPenaltyMs) }
}
