// Routes: traffic per rule of Services, as callers saw it and as it was sent to endpoints. Counted by the callers' proxies,
// since they choose the rule and ask again.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type {
  ActualFiguresSchema,
  HttpFiguresSchema,
  RouteRowSchema,
  RoutesRequest,
  RoutesResponseSchema,
} from "../../protos/mod.ts"
import type { ClusterStore, ServiceRecord } from "../cluster/mod.ts"
import { bindingOf } from "../routing/mod.ts"
import { RouteSum, type TelemetryQueries } from "../telemetry/mod.ts"
import {
  compareResources,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  resourcesOfPod,
  type Selection,
  select,
} from "./resources.ts"
import { httpInit, windowOf } from "./stat.ts"

/** Name of the route of requests that met no rule, because the Service has none. */
const DEFAULT_ROUTE = "default"

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
  const windowMs = windowOf(request.windowMs)
  const services = servicesOf(store, select(store, request.target, "target"))
  const from = request.from === undefined ? null : select(store, request.from, "from")
  const answer = await queries.routes(windowMs)
  const sums = new Map<string, Map<string, RouteSum>>()
  for (const row of answer.routes) {
    const key = resourceKey({ namespace: row.dstNamespace, kind: "service", name: row.dstService })
    if (!services.has(key) || row.reporter === undefined) continue
    if (from !== null && !isOf(from, resourcesOfName(store, row.reporter, from.kind))) continue
    const ofService = sums.get(key) ?? new Map<string, RouteSum>()
    sums.set(key, ofService)
    const sum = ofService.get(row.route) ?? new RouteSum()
    ofService.set(row.route, sum)
    sum.add(row)
  }
  const rows: MessageInitShape<typeof RouteRowSchema>[] = []
  for (const [key, service] of [...services].sort((a, b) => compareResources(a[1], b[1]))) {
    const seen = sums.get(key) ?? new Map<string, RouteSum>()
    for (const route of namesOf(store, service, seen))
      rows.push({ route, service, ...figuresOf(seen.get(route)) })
  }
  return { rows }
}

/** The Services that are selected, or that the pods of what is selected stand behind. */
function servicesOf(store: ClusterStore, target: Selection): Map<string, ResourceName> {
  if (target.kind === "service") return new Map(target.resources)
  const services = new Map<string, ResourceName>()
  for (const pod of store.pods()) {
    if (!isOf(target, resourcesOfPod(store, pod, target.kind))) continue
    for (const { namespace, name } of store.servicesOf(pod)) {
      const service = { namespace, kind: "service", name }
      services.set(resourceKey(service), service)
    }
  }
  return services
}

function isOf(selection: Selection, resources: readonly ResourceName[]): boolean {
  return resources.some(resource => selection.resources.has(resourceKey(resource)))
}

/** Names of a Service's routes: its rules as they stand, then others that were seen, `default` last. */
function namesOf(
  store: ClusterStore,
  { namespace, name }: ResourceName,
  seen: ReadonlyMap<string, RouteSum>,
): Set<string> {
  const service = store.service(namespace, name)
  const names = new Set(service === undefined ? [] : rulesOf(store, service))
  for (const route of [...seen.keys()].sort()) if (route !== DEFAULT_ROUTE) names.add(route)
  if (names.size === 0 || seen.has(DEFAULT_ROUTE)) names.add(DEFAULT_ROUTE)
  return names
}

function* rulesOf(store: ClusterStore, service: ServiceRecord): Generator<string> {
  for (const port of service.ports) {
    const binding = bindingOf(store, service, port, "")
    if (binding === null || binding.kind === "TLSRoute" || binding.kind === "TCPRoute") continue
    for (const route of binding.routes) for (const rule of route.rules) yield rule.name
  }
}

function figuresOf(sum: RouteSum | undefined): {
  http?: MessageInitShape<typeof HttpFiguresSchema>
  actual?: MessageInitShape<typeof ActualFiguresSchema>
} {
  const http = sum?.http() ?? null
  const actual = sum?.actual() ?? null
  return {
    ...(http === null ? {} : { http: httpInit(http) }),
    ...(actual === null ? {} : { actual }),
  }
}
