// Routes as the proxy compiles them, out of the messages that it is sent: so that both decide on the same data. The proxy
// reads the same from bytes (proxy/route/route_codec.ts); a test holds one to the other.
import { create } from "@bufbuild/protobuf"
import { destinationV1 } from "../../protos/mod.ts"
import {
  type FiltersConfig,
  type HeaderModifierConfig,
  NO_FILTERS,
  NO_TIMEOUTS,
  PATH_FULL,
  PATH_KEPT,
  PATH_PREFIX,
  type PathModifierConfig,
  type RetryConfig,
  type RoutesConfig,
  type RuleConfig,
  type TimeoutsConfig,
} from "../../protos/routes/mod.ts"
import type { Resolution } from "../destination/mod.ts"

/** The routes of a Service's port. */
export function routesConfigOf(service: Extract<Resolution, { kind: "service" }>["service"]): RoutesConfig {
  const { routeKind, routes, timeouts, retry, failureAccrual, balancing, fault } = create(
    destinationV1.ServiceSchema,
    service,
  )
  return {
    kind: routeKind,
    rules: routes.map(ruleOf),
    timeouts: timeoutsOf(timeouts),
    retry: retryOf(retry),
    accrual: failureAccrual ?? null,
    balancing: balancing ?? null,
    injected: fault ?? null,
  }
}

function ruleOf(rule: destinationV1.HttpRoute): RuleConfig {
  return {
    name: rule.name,
    matches: rule.matches.map(({ rank, path, method, headers, query }) => ({
      rank,
      pathKind: path?.kind ?? destinationV1.MatchKind.PREFIX,
      path: path?.value ?? "",
      method,
      headers: headers.map(({ name, kind, value }) => ({ name, kind, value })),
      query: query.map(({ name, kind, value }) => ({ name, kind, value })),
    })),
    filters: filtersOf(rule.filters),
    backends: rule.backends.map(({ weight, backend, filters, fault }) => ({
      weight,
      backend,
      filters: filtersOf(filters),
      fault,
    })),
    timeouts: timeoutsOf(rule.timeouts),
    retry: retryOf(rule.retry),
    session: sessionOf(rule.session),
    fault: rule.fault,
    ...(rule.serverNames.length === 0 ? {} : { serverNames: rule.serverNames }),
  }
}

function sessionOf(session: destinationV1.HttpRoute["session"]): RuleConfig["session"] {
  if (session === undefined) return null
  const { cookie, header, maxAgeS, absoluteS, idleS } = session
  return { cookie, header, maxAgeS, absoluteS, idleS }
}

function filtersOf(filters: destinationV1.RouteFilters | undefined): FiltersConfig {
  if (filters === undefined) return NO_FILTERS
  const { requestHeaders, responseHeaders, redirect, rewrite, mirrors } = filters
  return {
    requestHeaders: modifierOf(requestHeaders),
    responseHeaders: modifierOf(responseHeaders),
    redirect:
      redirect === undefined
        ? null
        : {
            scheme: redirect.scheme,
            hostname: redirect.hostname,
            path: pathOf(redirect.path),
            port: redirect.port,
            status: redirect.status,
          },
    rewrite: rewrite === undefined ? null : { hostname: rewrite.hostname, path: pathOf(rewrite.path) },
    mirrors: mirrors.map(({ backend, numerator, denominator }) => ({
      backend,
      numerator,
      denominator: Math.max(1, denominator),
    })),
  }
}

function modifierOf(modifier: destinationV1.HeaderModifier | undefined): HeaderModifierConfig | null {
  if (modifier === undefined) return null
  const fields = (list: destinationV1.HeaderField[]) => list.map(({ name, value }) => ({ name, value }))
  return { set: fields(modifier.set), add: fields(modifier.add), remove: modifier.remove }
}

function pathOf(modifier: destinationV1.PathModifier | undefined): PathModifierConfig {
  const change = modifier?.change
  if (change?.case === "full") return { kind: PATH_FULL, value: change.value }
  if (change?.case === "prefix") return { kind: PATH_PREFIX, value: change.value }
  return { kind: PATH_KEPT, value: "" }
}

function timeoutsOf(timeouts: destinationV1.Timeouts | undefined): TimeoutsConfig {
  if (timeouts === undefined) return NO_TIMEOUTS
  const { requestMs, backendRequestMs, responseMs, idleMs } = timeouts
  return { requestMs, backendRequestMs, responseMs, idleMs }
}

function retryOf(retry: destinationV1.RetryPolicy | undefined): RetryConfig | null {
  if (retry === undefined) return null
  const { codes, grpcCodes, attempts, backoffMs, anyMethod } = retry
  return { codes, grpcCodes, attempts, backoffMs, anyMethod }
}
