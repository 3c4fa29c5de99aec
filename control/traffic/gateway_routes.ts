// GatewayRoutes: routes with their rules, and where requests go beside where they are meant to go. Counted by callers'
// proxies, which name the Service that was called and the workload that got the request.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { FieldMatch, Route, RouteMatch } from "../../deploy/gateway/mod.ts"
import {
  type GatewayRoutesRequest,
  type GatewayRoutesResponseSchema,
  type GatewayRuleSchema,
  telemetryQueryV1,
} from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { compareResources, workloadOf } from "../resources/mod.ts"
import { routeStatus } from "../routing/mod.ts"
import { FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { httpInit, windowOf } from "./figures.ts"

/** Most routes of one answer: more are no page that anybody reads. */
export const MAX_GATEWAY_ROUTES = 1000

/** Rows by called Service, then by workload that was reached. */
type Reached = ReadonlyMap<string, ReadonlyMap<string, readonly telemetryQueryV1.Traffic[]>>

/**
 * Answers a GatewayRoutes request.
 *
 * @throws ConnectError for a window that is none, or when telemetry cannot be asked
 */
export async function gatewayRoutes(
  store: ClusterStore,
  queries: TelemetryQueries,
  { namespace, windowMs }: GatewayRoutesRequest,
): Promise<MessageInitShape<typeof GatewayRoutesResponseSchema>> {
  const { traffic } = await queries.traffic(windowOf(windowMs), telemetryQueryV1.Direction.OUTBOUND)
  const reached = new Map<string, Map<string, telemetryQueryV1.Traffic[]>>()
  for (const row of traffic) {
    const { dst, dstService } = row
    if (dst === undefined || dst.workload === "" || dstService === "") continue
    const service = `${dst.namespace}/${dstService}`
    const ofService = reached.get(service) ?? new Map<string, telemetryQueryV1.Traffic[]>()
    reached.set(service, ofService)
    const workload = `${dst.workloadKind}/${dst.workload}`
    const rows = ofService.get(workload) ?? []
    ofService.set(workload, rows)
    rows.push(row)
  }
  const behind = workloadsBehind(store)
  const all = [...store.routes()]
    .filter(one => one.route.parents.length > 0 && (namespace === "" || one.namespace === namespace))
    .sort(compareResources)
  return {
    routes: all.slice(0, MAX_GATEWAY_ROUTES).map(({ kind, namespace, name, route }) => ({
      resource: { kind, namespace, name },
      parents: route.parents.map(parent => ({
        ...{ kind: "service", namespace: parent.namespace, name: parent.name },
      })),
      conditions: routeStatus(store, route).flatMap(({ parentRef, conditions }) =>
        conditions.map(({ type, status, reason, message }) => ({
          ...{ parent: parentRef.name, type, reason, message },
          well: (status === "True") === (type !== "PartiallyInvalid"),
        })),
      ),
      rules: route.rules.map(rule => ruleOf(route, rule, reached, behind)),
    })),
    leftOut: Math.max(0, all.length - MAX_GATEWAY_ROUTES),
  }
}

/** Workloads behind each Service, `kind/name` by `namespace/name`. */
function workloadsBehind(store: ClusterStore): ReadonlyMap<string, ReadonlySet<string>> {
  const behind = new Map<string, Set<string>>()
  for (const pod of store.pods()) {
    const { kind, name } = workloadOf(store, pod)
    for (const service of store.servicesOf(pod)) {
      const key = `${service.namespace}/${service.name}`
      behind.set(key, (behind.get(key) ?? new Set<string>()).add(`${kind}/${name}`))
    }
  }
  return behind
}

function ruleOf(
  route: Route,
  { name, matches, backends }: Route["rules"][number],
  reached: Reached,
  behind: ReadonlyMap<string, ReadonlySet<string>>,
): MessageInitShape<typeof GatewayRuleSchema> {
  const taken = new Set<string>()
  const parts = backends.map(({ target, weight }) => {
    const sum = new FigureSum()
    // A workload behind several backends is counted once, for the first.
    for (const workload of behind.get(`${target.namespace}/${target.name}`) ?? []) {
      if (taken.has(workload)) continue
      taken.add(workload)
      const parents = new Set(route.parents.map(parent => `${parent.namespace}/${parent.name}`))
      for (const parent of parents) for (const row of reached.get(parent)?.get(workload) ?? []) sum.add(row)
    }
    return { target, weight, http: sum.http() }
  })
  const weights = parts.reduce((sum, { weight }) => sum + weight, 0)
  const responses = parts.reduce((sum, { http }) => sum + (http?.responses ?? 0), 0)
  return {
    name,
    matches: matches.map(matchText),
    backends: parts.map(({ target, weight, http }) => ({
      service: { kind: "service", namespace: target.namespace, name: target.name },
      ...{ port: target.port, weight, wanted: weights === 0 ? 0 : weight / weights },
      ...(responses === 0 ? {} : { actual: (http?.responses ?? 0) / responses }),
      ...(http === null ? {} : { http: httpInit(http) }),
    })),
  }
}

function matchText({ path, method, headers, query }: RouteMatch): string {
  const words = [
    ...(method === "" ? [] : [method]),
    path.kind === "prefix"
      ? path.value === ""
        ? "any path"
        : `below ${path.value}`
      : `${path.kind === "regex" ? "like " : ""}${path.value}`,
    ...headers.map(one => `header ${fieldText(one)}`),
    ...query.map(one => `query ${fieldText(one)}`),
  ]
  return words.join(", ")
}

function fieldText({ name, kind, value }: FieldMatch): string {
  return `${name} ${kind === "regex" ? "like" : "="} ${value}`
}
