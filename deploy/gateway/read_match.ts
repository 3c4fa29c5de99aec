// Reads the matches of a rule: HTTPRouteMatch and GRPCRouteMatch of the Gateway API. A match with something wrong in it
// is left out, for nobody knows what it was to match; its rule goes on with the others.
import { type FieldReader, isAbsent, show } from "./field_reader.ts"
import {
  type FieldMatch,
  MAX_MATCHES_PER_RULE,
  MAX_ROUTE_LIST,
  MAX_ROUTE_PATH_CHARS,
  MAX_ROUTE_VALUE_CHARS,
  type PathMatch,
  type RouteFieldPath,
  type RouteMatch,
} from "./route.ts"

const METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"] as const
const PATH_CHARS = /^(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+$/
const GRPC_SERVICE = /^\.?[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$/
const GRPC_METHOD = /^[A-Za-z_]\w*$/
const EVERYTHING: PathMatch = { kind: "prefix", value: "" }
const LEFT_OUT = "the match is left out"

/** The match of everything: what a rule without matches has. */
export const MATCH_ALL: RouteMatch = {
  path: EVERYTHING,
  method: "",
  headers: [],
  query: [],
  serviceChars: 0,
  methodChars: 0,
}

/** Matches of a rule of an HTTPRoute (`grpc` false) or GRPCRoute. */
export function readMatches(
  reader: FieldReader,
  value: unknown,
  path: RouteFieldPath,
  grpc: boolean,
): RouteMatch[] {
  const entries = reader.within("the rule matches nothing", () =>
    reader.list(value, path, MAX_MATCHES_PER_RULE),
  )
  if (entries.length === 0 && (isAbsent(value) || Array.isArray(value))) return [MATCH_ALL]
  const matches: RouteMatch[] = []
  for (const [index, entry] of entries.entries()) {
    const before = reader.complaints.length
    const at = [...path, index]
    const match = reader.within(LEFT_OUT, () =>
      grpc ? readGrpcMatch(reader, entry, at) : readHttpMatch(reader, entry, at),
    )
    // A field that does not exist is no reason to leave the rest out: the API server would have dropped it.
    const wrong = reader.complaints.slice(before).some(complaint => complaint.effect === LEFT_OUT)
    if (match !== null && !wrong) matches.push(match)
  }
  return matches
}

function readHttpMatch(reader: FieldReader, value: unknown, path: RouteFieldPath): RouteMatch | null {
  const match = reader.mapping(value, path)
  if (match === null) return null
  reader.known(match, path, ["path", "headers", "queryParams", "method"])
  const method = isAbsent(match.method) ? "" : reader.choice(match.method, [...path, "method"], METHODS)
  return {
    ...MATCH_ALL,
    path: readPath(reader, match.path, [...path, "path"]) ?? EVERYTHING,
    method: method ?? "",
    headers: readFields(reader, match.headers, [...path, "headers"], true),
    query: readFields(reader, match.queryParams, [...path, "queryParams"], false),
  }
}

function readPath(reader: FieldReader, value: unknown, path: RouteFieldPath): PathMatch | null {
  if (isAbsent(value)) return EVERYTHING
  const match = reader.mapping(value, path)
  if (match === null) return null
  reader.known(match, path, ["type", "value"])
  const kinds = ["PathPrefix", "Exact", "RegularExpression"] as const
  const kind = reader.choice(match.type, [...path, "type"], kinds, "PathPrefix")
  const at = [...path, "value"]
  const text = reader.optionalText(match.value ?? "/", at, MAX_ROUTE_PATH_CHARS)
  if (kind === null || text === null) return null
  if (kind === "RegularExpression") {
    return reader.regex(text, at) === null ? null : { kind: "regex", value: text }
  }
  const fault = pathFault(text)
  if (fault !== "") return reader.add(at, `${fault}, unlike ${show(text)}`)
  if (kind === "Exact") return { kind: "exact", value: text }
  return { kind: "prefix", value: text.endsWith("/") ? text.slice(0, -1) : text }
}

/** What a path of a route must or must not; "" when it is one. The rules are those of the API server. */
export function pathFault(text: string): string {
  if (!text.startsWith("/")) return 'must begin with "/"'
  if (text.includes("//")) return 'must not have "//" in it'
  if (/\/\.\.?(\/|$)/.test(text)) return 'must not have "." or ".." as a segment'
  if (/%2f/i.test(text)) return "must not have an encoded slash in it"
  return PATH_CHARS.test(text) ? "" : "must have only characters of a path, others as %XX"
}

function readFields(
  reader: FieldReader,
  value: unknown,
  path: RouteFieldPath,
  headers: boolean,
): FieldMatch[] {
  const matches: FieldMatch[] = []
  for (const [index, entry] of reader.list(value, path, MAX_ROUTE_LIST).entries()) {
    const at = [...path, index]
    const match = reader.mapping(entry, at)
    if (match === null) continue
    reader.known(match, at, ["type", "name", "value"])
    const kind = reader.choice(match.type, [...at, "type"], ["Exact", "RegularExpression"] as const, "Exact")
    const written = headers
      ? reader.fieldName(match.name, [...at, "name"])
      : reader.text(match.name, [...at, "name"], 256)
    const name = headers && written !== null ? written.toLowerCase() : written
    const max = headers ? MAX_ROUTE_VALUE_CHARS : MAX_ROUTE_PATH_CHARS
    const text = reader.text(match.value, [...at, "value"], max)
    if (kind === null || name === null || text === null) continue
    if (kind === "RegularExpression" && reader.regex(text, [...at, "value"]) === null) continue
    // Of several with one name only the first counts (HTTPHeaderMatch).
    if (matches.some(one => one.name === name)) continue
    matches.push({ name, kind: kind === "Exact" ? "exact" : "regex", value: text })
  }
  return matches
}

/** A gRPC method is the path `/service/method` (gRPC over HTTP/2, Path). */
function readGrpcMatch(reader: FieldReader, value: unknown, path: RouteFieldPath): RouteMatch | null {
  const match = reader.mapping(value, path)
  if (match === null) return null
  reader.known(match, path, ["method", "headers"])
  const headers = readFields(reader, match.headers, [...path, "headers"], true)
  if (isAbsent(match.method)) return { ...MATCH_ALL, headers }
  const at = [...path, "method"]
  const method = reader.mapping(match.method, at)
  if (method === null) return null
  reader.known(method, at, ["type", "service", "method"])
  const kinds = ["Exact", "RegularExpression"] as const
  const kind = reader.choice(method.type, [...at, "type"], kinds, "Exact")
  const service = reader.optionalText(method.service, [...at, "service"], MAX_ROUTE_PATH_CHARS)
  const name = reader.optionalText(method.method, [...at, "method"], MAX_ROUTE_PATH_CHARS)
  if (kind === null || service === null || name === null) return null
  if (service === "" && name === "") return reader.add(at, "needs a service, a method, or both")
  const counted = { ...MATCH_ALL, headers, serviceChars: service.length, methodChars: name.length }
  if (kind === "RegularExpression") {
    if (service !== "" && reader.regex(service, [...at, "service"]) === null) return null
    if (name !== "" && reader.regex(name, [...at, "method"]) === null) return null
    const whole = `/(?:${service || "[^/]+"})/(?:${name || "[^/]+"})`
    if (reader.regex(whole, at) === null) return null
    return { ...counted, path: { kind: "regex", value: whole } }
  }
  if (service !== "" && !GRPC_SERVICE.test(service))
    return reader.add([...at, "service"], `must be a service such as shop.v1.Cart, not ${show(service)}`)
  if (name !== "" && !GRPC_METHOD.test(name))
    return reader.add([...at, "method"], `must be a method such as Add, not ${show(name)}`)
  if (service === "") return { ...counted, path: { kind: "regex", value: `/[^/]+/${name}` } }
  return {
    ...counted,
    path:
      name === ""
        ? { kind: "prefix", value: `/${service}` }
        : { kind: "exact", value: `/${service}/${name}` },
  }
}
