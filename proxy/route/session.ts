// Sessions that stay with one endpoint (sessionPersistence of a rule, GEP-1619): the client bears its endpoint's name in a
// cookie or header field, with the session's times where it is to end, and nobody keeps anything.
import type { SessionConfig } from "../../protos/routes/mod.ts"

/** Longest session that is looked up; ours are shorter, and others are none. */
export const MAX_SESSION_CHARS = 32

/** A session, as a client bears it. */
export interface Session {
  /** The endpoint's name to clients. */
  readonly endpoint: string
  /** When it began, and when a response last told of it, in seconds since 1970; 0 where sessions do not end. */
  readonly startedS: number
  readonly seenS: number
}

/** What is asked of a request's head. */
export interface SessionRequest {
  /** All values of a field, joined; undefined if it is absent. */
  values(lowerCaseName: string): string | undefined
}

/** The session that a request bears; null for none, and for one that has ended. */
export function sessionOfRequest(
  config: SessionConfig,
  request: SessionRequest,
  nowS: number,
): Session | null {
  const { cookie, header, absoluteS, idleS } = config
  const value = cookie === "" ? request.values(header) : cookieValue(request.values("cookie") ?? "", cookie)
  if (value === undefined || value === "" || value.length > MAX_SESSION_CHARS) return null
  const [endpoint = "", started = "", seen = ""] = value.split("-")
  if (absoluteS === 0 && idleS === 0) return { endpoint, startedS: 0, seenS: 0 }
  const startedS = secondsOf(started)
  const seenS = secondsOf(seen)
  // The sessions of a time when they did not end begin now.
  if (absoluteS > 0 && !(nowS - startedS < absoluteS)) return null
  if (idleS > 0 && !(nowS - seenS < idleS)) return null
  return { endpoint, startedS, seenS }
}

/**
 * The field of the response that gives a client its session: name in lower case, and value.
 *
 * @param startedS  when it began, seconds since 1970
 */
export function sessionField(
  { cookie, header, maxAgeS, absoluteS, idleS }: SessionConfig,
  endpoint: string,
  startedS: number,
  nowS: number,
): [string, string] {
  const times = absoluteS === 0 && idleS === 0 ? "" : `-${startedS.toString(36)}-${nowS.toString(36)}`
  const session = endpoint + times
  if (cookie === "") return [header, session]
  const life = maxAgeS > 0 ? `; Max-Age=${Math.max(1, maxAgeS - (nowS - startedS))}` : ""
  return ["set-cookie", `${cookie}=${session}; Path=/; HttpOnly${life}`]
}

/** Whether a client must be told again of a session that goes on, so that it is not taken for idle. */
export function isToRenew({ idleS }: SessionConfig, session: Session, nowS: number): boolean {
  return idleS > 0 && nowS > session.seenS
}

function secondsOf(text: string): number {
  return /^[0-9a-z]{1,8}$/.test(text) ? Number.parseInt(text, 36) : 0
}

/** Value of a cookie (RFC 6265 section 4.2.1); undefined if it is absent. */
function cookieValue(cookies: string, name: string): string | undefined {
  for (let at = 0; at < cookies.length; ) {
    const semicolon = cookies.indexOf(";", at)
    const end = semicolon < 0 ? cookies.length : semicolon
    while (cookies[at] === " ") at++
    if (cookies.startsWith(name, at) && cookies[at + name.length] === "=")
      return cookies.slice(at + name.length + 1, end)
    at = end + 1
  }
  return undefined
}
