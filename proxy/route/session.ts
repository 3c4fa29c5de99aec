// Sessions that stay with one endpoint (sessionPersistence of a rule, GEP-1619): the client bears its endpoint's name in a
// cookie or header field, and nobody keeps anything.
import type { SessionConfig } from "../../protos/routes/mod.ts"

/** Longest session that is looked up; ours are shorter, and others are none. */
export const MAX_SESSION_CHARS = 32

/** What is asked of a request's head. */
export interface SessionRequest {
  /** All values of a field, joined; undefined if it is absent. */
  values(lowerCaseName: string): string | undefined
}

/** The session that a request bears; "" for none. */
export function sessionOfRequest({ cookie, header }: SessionConfig, request: SessionRequest): string {
  const value = cookie === "" ? request.values(header) : cookieValue(request.values("cookie") ?? "", cookie)
  return value === undefined || value.length > MAX_SESSION_CHARS ? "" : value
}

/** The field of the response that gives a client its session: name in lower case, and value. */
export function sessionField({ cookie, header, maxAgeS }: SessionConfig, session: string): [string, string] {
  if (cookie === "") return [header, session]
  const life = maxAgeS > 0 ? `; Max-Age=${maxAgeS}` : ""
  return ["set-cookie", `${cookie}=${session}; Path=/; HttpOnly${life}`]
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
