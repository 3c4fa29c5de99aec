// What may be asked of a tap, checked once, and what each proxy is asked for it.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import type { TapRequest, tapV1 } from "../../protos/mod.ts"
import { Regex, RegexError } from "../../protos/regex/mod.ts"

/** Requests a second of one tap where nothing is said: what a person can read. */
export const DEFAULT_TAP_RPS = 100

/** Requests a second of one tap at most, over all proxies. */
export const MAX_TAP_RPS = 10_000

/**
 * Checks a request.
 *
 * @throws ConnectError InvalidArgument with a sentence that says what it takes
 */
export function checkTap(request: TapRequest): void {
  const wrong = (sentence: string): ConnectError => new ConnectError(sentence, Code.InvalidArgument)
  const { sample, maxRps, minLatencyMs, statusFrom, statusTo, pathPrefix, pathRegex } = request
  if (request.from !== undefined && request.to !== undefined)
    throw wrong("from and to exclude each other: a tap stands at one end of the requests")
  if (!(sample >= 0 && sample <= 1)) throw wrong(`sample is a share above 0 to 1, not ${sample}`)
  if (maxRps > MAX_TAP_RPS) throw wrong(`max_rps is at most ${MAX_TAP_RPS}, not ${maxRps}`)
  if (!(minLatencyMs >= 0 && Number.isFinite(minLatencyMs)))
    throw wrong(`min_latency_ms is a number of milliseconds, not ${minLatencyMs}`)
  for (const status of [statusFrom, statusTo])
    if (status !== 0 && (status < 100 || status > 599))
      throw wrong(`a status is from 100 to 599, not ${status}`)
  if (statusTo !== 0 && statusFrom > statusTo) throw wrong(`no status is from ${statusFrom} to ${statusTo}`)
  if (pathPrefix !== "" && pathRegex !== "") throw wrong("path_prefix and path_regex exclude each other")
  if (pathRegex === "") return
  try {
    new Regex(pathRegex)
  } catch (error) {
    if (!(error instanceof RegexError)) throw error
    throw wrong(`path_regex cannot be used: ${error.message}`)
  }
}

/** What a proxy is asked. @param peers  addresses of the other side; null for any */
export function watchRequest(
  request: TapRequest,
  peers: readonly string[] | null,
): MessageInitShape<typeof tapV1.WatchRequestSchema> {
  return {
    inbound: request.to === undefined,
    outbound: request.from === undefined,
    method: request.method,
    pathPrefix: request.pathPrefix,
    pathRegex: request.pathRegex,
    authority: request.authority,
    statusFrom: request.statusFrom,
    statusTo: request.statusTo,
    minLatencyMs: request.minLatencyMs,
    failuresOnly: request.failuresOnly,
    peers: [...(peers ?? [])],
    peersGiven: peers !== null,
    sample: request.sample,
    maxRps: request.maxRps === 0 ? DEFAULT_TAP_RPS : request.maxRps,
    headers: request.headers,
    connections: request.connections && !asksOfRequests(request),
  }
}

/** Whether something is asked for that raw connections do not have. */
function asksOfRequests(request: TapRequest): boolean {
  const { method, pathPrefix, pathRegex, authority, statusFrom, statusTo, minLatencyMs, failuresOnly } =
    request
  return (
    `${method}${pathPrefix}${pathRegex}${authority}` !== "" ||
    statusFrom + statusTo + minLatencyMs > 0 ||
    failuresOnly
  )
}
