// Routes: traffic per rule of Services, as callers saw it and as it was sent to endpoints. Counted by the callers' proxies,
// since they choose the rule and ask again.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type {
  ActualFiguresSchema,
  HttpFiguresSchema,
  RoutesRequest,
  RoutesResponseSchema,
} from "../../protos/mod.ts"
import type { ClusterStore, ServiceRecord } from "../cluster/mod.ts"
import {
  compareResources,
  isSelected,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  resourcesOfPod,
  type Selection,
  select,
} from "../resources/mod.ts"
import { bindingOf } from "../routing/mod.ts"
import { RouteSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { httpInit, windowOf } from "./figures.ts"

/** Name of the route of requests that met no rule, and of which no route was learnt. */
const DEFAULT_ROUTE = "default"
/** Name of the route of requests whose route was not learnt, because there are too many. */
const OTHER_ROUTE = "other"

/**
 * Answers a Routes request: rules that had no traffic too, so that people see what there is.
 *
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function routes(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: RoutesRequest,
): Promise<MessageInitShape<typeof RoutesResponseSchema>> {
  const services = servicesOf(store, select(store, request.target, "target"))
  const from = request.from === undefined ? null : select(store, request.from, "from")
  const found = await routesOf(store, queries, services, from, windowOf(request.windowMs))
  return {
    rows: found.map(({ route, service, sum }) => ({
      route,
      service,
      ...routeFigures(sum),
      ...actualOf(sum),
    })),
  }
}

/** A route of a Service. */
export interface ServiceRoute {
  readonly route: string
  readonly service: ResourceName
  /** Its traffic; undefined where there was none. */
  readonly sum: RouteSum | undefined
}

/**
 * Routes of Services, rules that had no traffic too.
 *
 * @param services  by resource key
 * @param from  only what these sent; null for all
 * @throws ConnectError when telemetry cannot be asked
 */
export async function routesOf(
  store: ClusterStore,
  queries: TelemetryQueries,
  services: ReadonlyMap<string, ResourceName>,
  from: Selection | null,
  windowMs: number,
): Promise<ServiceRoute[]> {
  const answer = await queries.routes(windowMs)
  const sums = new Map<string, Map<string, RouteSum>>()
  for (const row of answer.routes) {
    const key = resourceKey({ namespace: row.dstNamespace, kind: "service", name: row.dstService })
    if (!services.has(key) || row.reporter === undefined) continue
    if (from !== null && !isSelected(from, resourcesOfName(store, row.reporter, from.kind))) continue
    const ofService = sums.get(key) ?? new Map<string, RouteSum>()
    sums.set(key, ofService)
    const sum = ofService.get(row.route) ?? new RouteSum()
    ofService.set(row.route, sum)
    sum.add(row)
  }
  const rows: ServiceRoute[] = []
  for (const [key, service] of [...services].sort((a, b) => compareResources(a[1], b[1]))) {
    const seen = sums.get(key) ?? new Map<string, RouteSum>()
    for (const route of namesOf(store, service, seen)) rows.push({ route, service, sum: seen.get(route) })
  }
  return rows
}

/** The Services that are selected, or that the pods of what is selected stand behind. */
export function servicesOf(store: ClusterStore, target: Selection): Map<string, ResourceName> {
  if (target.kind === "service") return new Map(target.resources)
  const services = new Map<string, ResourceName>()
  for (const pod of store.pods()) {
    if (!isSelected(target, resourcesOfPod(store, pod, target.kind))) continue
    for (const { namespace, name } of store.servicesOf(pod)) {
      const service = { namespace, kind: "service", name }
      services.set(resourceKey(service), service)
    }
  }
  return services
}

/** Names of a Service's routes: its rules as they stand, then those that were learnt or seen, `other` and `default` last. */
function namesOf(
  store: ClusterStore,
  { namespace, name }: ResourceName,
  seen: ReadonlyMap<string, RouteSum>,
): Set<string> {
  const service = store.service(namespace, name)
  const names = new Set(service === undefined ? [] : rulesOf(store, service))
  const last = (route: string): boolean => route === DEFAULT_ROUTE || route === OTHER_ROUTE
  for (const route of [...seen.keys()].sort(byPath)) if (!last(route)) names.add(route)
  if (seen.has(OTHER_ROUTE)) names.add(OTHER_ROUTE)
  if (names.size === 0 || seen.has(DEFAULT_ROUTE)) names.add(DEFAULT_ROUTE)
  return names
}

/** Learned routes (`GET /users/{id}`) by path, then method; other names as text. */
function byPath(a: string, b: string): number {
  const key = (name: string): string => name.slice(name.indexOf(" ") + 1)
  const [left, right] = [key(a), key(b)]
  if (left !== right) return left < right ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

function* rulesOf(store: ClusterStore, service: ServiceRecord): Generator<string> {
  for (const port of service.ports) {
    const binding = bindingOf(store, service, port, "")
    if (binding === null || binding.kind === "TLSRoute" || binding.kind === "TCPRoute") continue
    for (const route of binding.routes) for (const rule of route.rules) yield rule.name
  }
}

/** What callers saw of a route. */
export function routeFigures(sum: RouteSum | undefined): {
  http?: MessageInitShape<typeof HttpFiguresSchema>
} {
  const http = sum?.http() ?? null
  return http === null ? {} : { http: httpInit(http) }
}

function actualOf(sum: RouteSum | undefined): { actual?: MessageInitShape<typeof ActualFiguresSchema> } {
  const actual = sum?.actual() ?? null
  return actual === null ? {} : { actual: { ...actual, retriesRps: sum?.retriesRps() ?? 0 } }
}
