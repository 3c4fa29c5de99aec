// Reads the filters of a rule or backend. A filter that cannot be applied must not be skipped (HTTPRouteFilter): what it
// stands in answers 500.
import { type FieldReader, isAbsent, show } from "./field_reader.ts"
import { readTarget } from "./read_backend.ts"
import { pathFault } from "./read_match.ts"
import {
  type HeaderField,
  type HeaderModifier,
  MAX_ROUTE_LIST,
  MAX_ROUTE_PATH_CHARS,
  MAX_ROUTE_VALUE_CHARS,
  type PathModifier,
  type RouteFieldPath,
  type RouteFilters,
} from "./route.ts"

/** Filters that do nothing. */
export const NO_FILTERS: RouteFilters = {
  requestHeaders: null,
  responseHeaders: null,
  redirect: null,
  rewrite: null,
  mirrors: [],
}

const FILTER_FIELDS: Readonly<Record<string, string>> = {
  RequestHeaderModifier: "requestHeaderModifier",
  ResponseHeaderModifier: "responseHeaderModifier",
  RequestMirror: "requestMirror",
  RequestRedirect: "requestRedirect",
  URLRewrite: "urlRewrite",
}
const GRPC_FILTERS = ["RequestHeaderModifier", "ResponseHeaderModifier", "RequestMirror"]
/** A value of a header field: visible characters, spaces and tabs within (RFC 9110 section 5.5). */
const FIELD_VALUE = /^[!-~]+([\t ]+[!-~]+)*$/

/** What filters are read for. */
export interface FilterPlace {
  readonly grpc: boolean
  /** Namespace of the route. */
  readonly namespace: string
  /** Whether the rule has exactly one match, by prefix: only then is there a prefix to replace. */
  readonly onePrefix: boolean
}

/** Reads filters; complaints carry the reader's effect. */
export function readFilters(
  reader: FieldReader,
  value: unknown,
  path: RouteFieldPath,
  place: FilterPlace,
): RouteFilters {
  const filters = { ...NO_FILTERS, mirrors: [] as RouteFilters["mirrors"][number][] }
  const seen = new Set<string>()
  for (const [index, entry] of reader.list(value, path, MAX_ROUTE_LIST).entries()) {
    const at = [...path, index]
    const filter = reader.mapping(entry, at)
    if (filter === null) continue
    const types = place.grpc ? GRPC_FILTERS : Object.keys(FILTER_FIELDS)
    const type = reader.choice(filter.type, [...at, "type"], types)
    if (type === null) continue
    const field = FILTER_FIELDS[type] ?? ""
    reader.known(filter, at, ["type", field])
    if (type !== "RequestMirror" && seen.has(type)) {
      reader.add(at, `is a second ${type}, which a list of filters must not have`, "IncompatibleFilters")
      continue
    }
    seen.add(type)
    const inner = [...at, field]
    const body = reader.mapping(filter[field], inner)
    if (body === null) continue
    if (type === "RequestHeaderModifier") filters.requestHeaders = readModifier(reader, body, inner)
    else if (type === "ResponseHeaderModifier") filters.responseHeaders = readModifier(reader, body, inner)
    else if (type === "RequestRedirect") filters.redirect = readRedirect(reader, body, inner, place)
    else if (type === "URLRewrite") {
      reader.known(body, inner, ["hostname", "path"])
      filters.rewrite = {
        hostname: reader.hostname(body.hostname, [...inner, "hostname"]) ?? "",
        path: readPathModifier(reader, body.path, [...inner, "path"], place),
      }
    } else readMirror(reader, body, inner, place, filters.mirrors)
  }
  if (seen.has("RequestRedirect") && seen.has("URLRewrite")) {
    reader.add(
      path,
      "has both RequestRedirect and URLRewrite, which exclude each other",
      "IncompatibleFilters",
    )
  }
  return filters
}

function readModifier(
  reader: FieldReader,
  body: Readonly<Record<string, unknown>>,
  path: RouteFieldPath,
): HeaderModifier {
  reader.known(body, path, ["set", "add", "remove"])
  const seen = new Set<string>()
  const once = (name: string, at: RouteFieldPath): boolean => {
    const lower = name.toLowerCase()
    // Changing what frames a message or leads a connection would break it (RFC 9112 section 6).
    if (FRAMING.includes(lower))
      reader.add(at, `is ${name}, which belongs to the connection, not to the route`)
    else if (seen.has(lower)) reader.add(at, `names ${name} a second time; each name takes one change`)
    else {
      seen.add(lower)
      return true
    }
    return false
  }
  const fields = (part: "set" | "add"): HeaderField[] => {
    const read: HeaderField[] = []
    for (const [index, entry] of reader.list(body[part], [...path, part], MAX_ROUTE_LIST).entries()) {
      const at = [...path, part, index]
      const field = reader.mapping(entry, at)
      if (field === null) continue
      reader.known(field, at, ["name", "value"])
      const name = reader.fieldName(field.name, [...at, "name"])
      const value = reader.text(field.value, [...at, "value"], MAX_ROUTE_VALUE_CHARS)
      if (name === null || value === null || !once(name, [...at, "name"])) continue
      if (FIELD_VALUE.test(value)) read.push({ name, value })
      else reader.add([...at, "value"], `must be visible ASCII characters, not ${show(value)}`)
    }
    return read
  }
  const remove: string[] = []
  const set = fields("set")
  const add = fields("add")
  for (const [index, entry] of reader.list(body.remove, [...path, "remove"], MAX_ROUTE_LIST).entries()) {
    const at = [...path, "remove", index]
    const name = reader.fieldName(entry, at)
    if (name !== null && once(name, at)) remove.push(name.toLowerCase())
  }
  return { set, add, remove }
}

const FRAMING = [
  "connection",
  "content-length",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]

function readRedirect(
  reader: FieldReader,
  body: Readonly<Record<string, unknown>>,
  path: RouteFieldPath,
  place: FilterPlace,
): RouteFilters["redirect"] {
  reader.known(body, path, ["scheme", "hostname", "path", "port", "statusCode"])
  const scheme = isAbsent(body.scheme)
    ? ""
    : reader.choice(body.scheme, [...path, "scheme"], ["http", "https"])
  const status = isAbsent(body.statusCode) ? 302 : body.statusCode
  if (![301, 302, 303, 307, 308].includes(status as number)) {
    reader.add([...path, "statusCode"], `must be 301, 302, 303, 307 or 308, not ${show(status)}`)
  }
  return {
    scheme: scheme ?? "",
    hostname: reader.hostname(body.hostname, [...path, "hostname"]) ?? "",
    path: readPathModifier(reader, body.path, [...path, "path"], place),
    port: reader.number(body.port, [...path, "port"], 1, 65535, 0) ?? 0,
    status: typeof status === "number" ? status : 302,
  }
}

function readPathModifier(
  reader: FieldReader,
  value: unknown,
  path: RouteFieldPath,
  place: FilterPlace,
): PathModifier | null {
  if (isAbsent(value)) return null
  const modifier = reader.mapping(value, path)
  if (modifier === null) return null
  const type = reader.choice(modifier.type, [...path, "type"], [
    "ReplaceFullPath",
    "ReplacePrefixMatch",
  ] as const)
  if (type === null) return null
  const field = type === "ReplaceFullPath" ? "replaceFullPath" : "replacePrefixMatch"
  reader.known(modifier, path, ["type", field])
  const at = [...path, field]
  if (isAbsent(modifier[field])) return reader.add(at, "is missing")
  const text = reader.optionalText(modifier[field], at, MAX_ROUTE_PATH_CHARS)
  if (text === null) return null
  if (type === "ReplacePrefixMatch" && !place.onePrefix) {
    return reader.add(at, "needs a rule with exactly one match, of type PathPrefix")
  }
  // A path without slash before it, and the empty one, are taken as the table of HTTPPathModifier has them.
  const whole = text.startsWith("/") ? text : `/${text}`
  const fault = pathFault(whole)
  if (fault !== "") return reader.add(at, `${fault}, unlike ${show(text)}`)
  return type === "ReplaceFullPath"
    ? { kind: "full", value: whole }
    : { kind: "prefix", value: whole.endsWith("/") ? whole.slice(0, -1) : whole }
}

function readMirror(
  reader: FieldReader,
  body: Readonly<Record<string, unknown>>,
  path: RouteFieldPath,
  place: FilterPlace,
  mirrors: RouteFilters["mirrors"][number][],
): void {
  reader.known(body, path, ["backendRef", "percent", "fraction"])
  // A mirror is nobody's answer: what is wrong with its backend drops the mirror, and the rule goes on.
  const target = reader.within("nothing is mirrored", () =>
    readTarget(reader, body.backendRef, [...path, "backendRef"], place.namespace),
  )
  let numerator = 100
  let denominator = 100
  if (!isAbsent(body.percent) && !isAbsent(body.fraction)) {
    reader.add(path, "has both percent and fraction, which exclude each other")
  }
  if (!isAbsent(body.fraction)) {
    const at = [...path, "fraction"]
    const fraction = reader.mapping(body.fraction, at)
    if (fraction === null) return
    reader.known(fraction, at, ["numerator", "denominator"])
    const max = 0x7fffffff
    denominator = reader.number(fraction.denominator, [...at, "denominator"], 1, max, 100) ?? 100
    if (isAbsent(fraction.numerator)) reader.add([...at, "numerator"], "is missing")
    else numerator = reader.number(fraction.numerator, [...at, "numerator"], 0, denominator, 0) ?? 0
  } else numerator = reader.number(body.percent, [...path, "percent"], 0, 100, 100) ?? 100
  if (target !== null && target.fault === "") mirrors.push({ target, numerator, denominator })
}
