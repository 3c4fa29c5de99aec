// Routes out of conduit.destination.v1. Field numbers are those of destination.proto; tests hold them to the generated code.
import {
  type FaultConfig,
  type FieldMatchConfig,
  type FiltersConfig,
  type HeaderFieldConfig,
  type HeaderModifierConfig,
  type MatchConfig,
  type MirrorConfig,
  NO_FILTERS,
  NO_TIMEOUTS,
  PATH_FULL,
  PATH_KEPT,
  PATH_PREFIX,
  type PathModifierConfig,
  type RedirectConfig,
  type RetryConfig,
  type RuleBackendConfig,
  type RuleConfig,
  type SessionConfig,
  type TimeoutsConfig,
} from "../../protos/routes/mod.ts"
import type { AccrualConfig, BalancingConfig } from "../balance/mod.ts"
import { ProtoError, type ProtoReader } from "../control_plane/mod.ts"

const KEPT: PathModifierConfig = { kind: PATH_KEPT, value: "" }

/** Reads an HttpRoute. All readers throw ProtoError when the bytes are no such message. */
export function readRule(reader: ProtoReader): RuleConfig {
  let name = ""
  let filters = NO_FILTERS
  let timeouts = NO_TIMEOUTS
  let retry: RetryConfig | null = null
  let session: SessionConfig | null = null
  let fault = ""
  const matches: MatchConfig[] = []
  const backends: RuleBackendConfig[] = []
  const serverNames: string[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.text()
    else if (field === 2) matches.push(readMatch(reader.message()))
    else if (field === 3) filters = readFilters(reader.message())
    else if (field === 4) backends.push(readBackend(reader.message()))
    else if (field === 5) timeouts = readTimeouts(reader.message())
    else if (field === 6) retry = readRetry(reader.message())
    else if (field === 7) fault = reader.text()
    else if (field === 8) session = readSession(reader.message())
    else if (field === 9) serverNames.push(reader.text())
    else reader.skip()
  }
  const rule = { name, matches, filters, backends, timeouts, retry, session, fault }
  return serverNames.length === 0 ? rule : { ...rule, serverNames }
}

function readSession(reader: ProtoReader): SessionConfig {
  let cookie = ""
  let header = ""
  let maxAgeS = 0
  let absoluteS = 0
  let idleS = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) cookie = reader.text()
    else if (field === 2) header = reader.text()
    else if (field === 3) maxAgeS = reader.varint()
    else if (field === 4) absoluteS = reader.varint()
    else if (field === 5) idleS = reader.varint()
    else reader.skip()
  }
  return { cookie, header, maxAgeS, absoluteS, idleS }
}

/** Reads a Balancing. */
export function readBalancing(reader: ProtoReader): BalancingConfig {
  let slowStartMs = 0
  let preferZone = false
  let byClient = false
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) slowStartMs = reader.varint()
    else if (field === 2) preferZone = reader.varint() !== 0
    else if (field === 3) byClient = reader.varint() !== 0
    else reader.skip()
  }
  return { slowStartMs, preferZone, byClient }
}

/** Reads a FaultInjection. */
export function readFault(reader: ProtoReader): FaultConfig {
  let delayMs = 0
  let delayPercent = 0
  let abortStatus = 0
  let abortPercent = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) delayMs = reader.varint()
    else if (field === 2) delayPercent = reader.varint()
    else if (field === 3) abortStatus = reader.varint()
    else if (field === 4) abortPercent = reader.varint()
    else reader.skip()
  }
  return { delayMs, delayPercent, abortStatus, abortPercent }
}

function readMatch(reader: ProtoReader): MatchConfig {
  let rank = 0
  let path: { kind: number; value: string } = { kind: 1, value: "" }
  let method = ""
  const headers: FieldMatchConfig[] = []
  const query: FieldMatchConfig[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) rank = reader.varint()
    else if (field === 2) path = readKindValue(reader.message(), 1)
    else if (field === 3) method = reader.text()
    else if (field === 4) headers.push(readKindValue(reader.message(), 2))
    else if (field === 5) query.push(readKindValue(reader.message(), 2))
    else reader.skip()
  }
  return { rank, pathKind: path.kind, path: path.value, method, headers, query }
}

/** PathMatch (kind at 1, value after it) or FieldMatch (name at 1, kind at 2, value after it). */
function readKindValue(reader: ProtoReader, kindField: number): FieldMatchConfig {
  let name = ""
  let kind = 0
  let value = ""
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === kindField) kind = reader.varint()
    else if (field === kindField + 1) value = reader.text()
    else if (field === 1) name = reader.text()
    else reader.skip()
  }
  if (kind > 2) throw new ProtoError(`a match has the kind ${kind}, which this proxy does not know`)
  return { name, kind, value }
}

function readBackend(reader: ProtoReader): RuleBackendConfig {
  let weight = 0
  let backend = 0
  let filters = NO_FILTERS
  let fault = ""
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) weight = reader.varint()
    else if (field === 2) backend = reader.varint()
    else if (field === 3) filters = readFilters(reader.message())
    else if (field === 4) fault = reader.text()
    else reader.skip()
  }
  return { weight, backend, filters, fault }
}

function readFilters(reader: ProtoReader): FiltersConfig {
  let { requestHeaders, responseHeaders, redirect, rewrite } = NO_FILTERS
  const mirrors: MirrorConfig[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) requestHeaders = readModifier(reader.message())
    else if (field === 2) responseHeaders = readModifier(reader.message())
    else if (field === 3) redirect = readRedirect(reader.message())
    else if (field === 4) rewrite = readRewrite(reader.message())
    else if (field === 5) mirrors.push(readMirror(reader.message()))
    else reader.skip()
  }
  return { requestHeaders, responseHeaders, redirect, rewrite, mirrors }
}

function readModifier(reader: ProtoReader): HeaderModifierConfig {
  const set: HeaderFieldConfig[] = []
  const add: HeaderFieldConfig[] = []
  const remove: string[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) set.push(readHeaderField(reader.message()))
    else if (field === 2) add.push(readHeaderField(reader.message()))
    else if (field === 3) remove.push(reader.text())
    else reader.skip()
  }
  return { set, add, remove }
}

function readHeaderField(reader: ProtoReader): HeaderFieldConfig {
  let name = ""
  let value = ""
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) name = reader.text()
    else if (field === 2) value = reader.text()
    else reader.skip()
  }
  return { name, value }
}

function readPath(reader: ProtoReader): PathModifierConfig {
  let path = KEPT
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) path = { kind: PATH_FULL, value: reader.text() }
    else if (field === 2) path = { kind: PATH_PREFIX, value: reader.text() }
    else reader.skip()
  }
  return path
}

function readRedirect(reader: ProtoReader): RedirectConfig {
  let scheme = ""
  let hostname = ""
  let path = KEPT
  let port = 0
  let status = 302
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) scheme = reader.text()
    else if (field === 2) hostname = reader.text()
    else if (field === 3) path = readPath(reader.message())
    else if (field === 4) port = reader.varint()
    else if (field === 5) status = reader.varint()
    else reader.skip()
  }
  return { scheme, hostname, path, port, status }
}

function readRewrite(reader: ProtoReader): NonNullable<FiltersConfig["rewrite"]> {
  let hostname = ""
  let path = KEPT
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) hostname = reader.text()
    else if (field === 2) path = readPath(reader.message())
    else reader.skip()
  }
  return { hostname, path }
}

function readMirror(reader: ProtoReader): MirrorConfig {
  let backend = 0
  let numerator = 0
  let denominator = 1
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) backend = reader.varint()
    else if (field === 2) numerator = reader.varint()
    else if (field === 3) denominator = Math.max(1, reader.varint())
    else reader.skip()
  }
  return { backend, numerator, denominator }
}

/** Reads Timeouts. */
export function readTimeouts(reader: ProtoReader): TimeoutsConfig {
  const ms = [0, 0, 0, 0]
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field <= 4) ms[field - 1] = reader.varint()
    else reader.skip()
  }
  const [requestMs = 0, backendRequestMs = 0, responseMs = 0, idleMs = 0] = ms
  return { requestMs, backendRequestMs, responseMs, idleMs }
}

/** Reads a RetryPolicy. */
export function readRetry(reader: ProtoReader): RetryConfig {
  const codes: number[] = []
  const grpcCodes: number[] = []
  let attempts = 0
  let backoffMs = 0
  let anyMethod = false
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) reader.varints(codes)
    else if (field === 2) reader.varints(grpcCodes)
    else if (field === 3) attempts = reader.varint()
    else if (field === 4) backoffMs = reader.varint()
    else if (field === 5) anyMethod = reader.varint() !== 0
    else reader.skip()
  }
  return { codes, grpcCodes, attempts, backoffMs, anyMethod }
}

/** Reads a FailureAccrual. */
export function readAccrual(reader: ProtoReader): AccrualConfig {
  let maxFailures = 0
  let minPenaltyMs = 0
  let maxPenaltyMs = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1) maxFailures = reader.varint()
    else if (field === 2) minPenaltyMs = reader.varint()
    else if (field === 3) maxPenaltyMs = reader.varint()
    else reader.skip()
  }
  return { maxFailures, minPenaltyMs, maxPenaltyMs }
}
