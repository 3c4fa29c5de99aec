// Which match counts where several hold: the order that HTTPRoute and GRPCRoute of the Gateway API ask for.
import type { Route, RouteMatch, RouteRule } from "../../deploy/gateway/mod.ts"
import type { Binding } from "./binding.ts"

/** A match with where it comes from. */
export interface PlacedMatch {
  readonly route: Route
  readonly rule: RouteRule
  readonly match: RouteMatch
}

/** All matches of a binding, the one with the highest precedence first. */
export function orderedMatches(binding: Binding): PlacedMatch[] {
  const placed: PlacedMatch[] = []
  // Routes stand by age and name, rules and matches as written: the sort keeps that where nothing else decides.
  for (const route of binding.routes) {
    for (const rule of route.rules) for (const match of rule.matches) placed.push({ route, rule, match })
  }
  const compare = binding.kind === "GRPCRoute" ? compareGrpc : compareHttp
  return placed.sort((a, b) => compare(a.match, b.match))
}

/**
 * Exact paths, then regular expressions (where the specification leaves them to us: whoever writes one means something
 * narrower than a prefix), then prefixes; longer ones first; then method, header fields, query parameters.
 */
function compareHttp(a: RouteMatch, b: RouteMatch): number {
  return (
    PATH_ORDER[a.path.kind] - PATH_ORDER[b.path.kind] ||
    (a.path.kind === "exact" ? 0 : b.path.value.length - a.path.value.length) ||
    Number(a.method === "") - Number(b.method === "") ||
    b.headers.length - a.headers.length ||
    b.query.length - a.query.length
  )
}

const PATH_ORDER = { exact: 0, regex: 1, prefix: 2 } as const

/** Characters of the service, then of the method, then header fields. */
function compareGrpc(a: RouteMatch, b: RouteMatch): number {
  return (
    b.serviceChars - a.serviceChars || b.methodChars - a.methodChars || b.headers.length - a.headers.length
  )
}
