// Conditions of a route for each parent, as the Gateway API wants them written back (RouteParentStatus). Plain data:
// conditions.ts puts it into the route's status, problems.ts tells people of it.
import { type BackendTarget, dottedRouteField, type Route } from "../../deploy/gateway/mod.ts"
import type { ClusterStore, ServicePort } from "../cluster/mod.ts"
import { resolveBackend } from "./backend.ts"
import { type BoundKinds, bindsPort, boundKinds, canBeParent } from "./binding.ts"

/** Name by which a route's status tells who wrote it. */
export const ROUTE_CONTROLLER = "conduit.io/mesh"

/** A condition. */
export interface RouteCondition {
  readonly type: "Accepted" | "ResolvedRefs" | "PartiallyInvalid"
  readonly status: "True" | "False"
  readonly reason: string
  /** Sentences for a person; empty when all is well. */
  readonly message: string
  readonly observedGeneration: number
}

/** Status of a route towards one parent. */
export interface RouteParentStatus {
  readonly parentRef: {
    readonly group: ""
    readonly kind: "Service"
    readonly namespace: string
    readonly name: string
    readonly port?: number
    readonly sectionName?: string
  }
  readonly controllerName: typeof ROUTE_CONTROLLER
  readonly conditions: readonly RouteCondition[]
}

/**
 * Status of a route towards each Service that it names as parent.
 *
 * @param kinds  `boundKinds` of the store, shared by who asks about many routes
 */
export function routeStatus(
  store: ClusterStore,
  route: Route,
  kinds: BoundKinds = boundKinds(store),
): RouteParentStatus[] {
  return route.parents.map(parent => {
    const { namespace, name, port, sectionName } = parent
    const condition = (
      type: RouteCondition["type"],
      good: boolean,
      reason: string,
      message = "",
    ): RouteCondition => ({
      type,
      status: good ? "True" : "False",
      reason,
      message,
      observedGeneration: route.generation,
    })
    const conditions = [
      condition("Accepted", ...acceptance(store, { ...route, parents: [parent] }, kinds)),
      condition("ResolvedRefs", ...references(store, route, namespace)),
    ]
    const partial = [
      ...route.complaints.map(
        ({ path, message, effect }) => `${dottedRouteField(path)} ${message}; ${effect}.`,
      ),
      ...rulesWithoutShare(route),
    ]
    if (partial.length > 0 && conditions[0]?.status === "True") {
      conditions.push(condition("PartiallyInvalid", true, "UnsupportedValue", partial.join(" ")))
    }
    return {
      parentRef: {
        group: "",
        kind: "Service",
        namespace,
        name,
        ...(port === 0 ? {} : { port }),
        ...(sectionName === "" ? {} : { sectionName }),
      },
      controllerName: ROUTE_CONTROLLER,
      conditions,
    }
  })
}

/** A sentence on each rule whose backends all have weight 0. */
export function rulesWithoutShare(route: Route): string[] {
  return route.rules.flatMap(({ backends, filters, fault }, index) => {
    const sends = fault === "" && filters.redirect === null && backends.length > 0
    if (!sends || backends.some(({ weight }) => weight > 0)) return []
    return [`spec.rules[${index}].backendRefs: every weight is 0, so the rule answers 500.`]
  })
}

/** @param route  with the one parent that is asked about */
function acceptance(store: ClusterStore, route: Route, kinds: BoundKinds): [boolean, string, string?] {
  const [parent] = route.parents
  if (parent === undefined) return [false, "NoMatchingParent", "The route names no Service as parent."]
  const service = store.service(parent.namespace, parent.name)
  const what = `Service "${parent.name}" in namespace "${parent.namespace}"`
  if (service === undefined) return [false, "NoMatchingParent", `There is no ${what}.`]
  if (!canBeParent(service)) {
    return [
      false,
      "NoMatchingParent",
      `${what} is headless or an ExternalName: no address leads to it alone.`,
    ]
  }
  const ports = service.ports.filter(port => port.protocol === "TCP" && bindsPort(route, service, port))
  if (ports.length === 0) return [false, "NoMatchingParent", `${what} has no such TCP port.`]
  if (route.rules.length > 0 && route.rules.every(rule => rule.fault !== "" || hasNoMatch(route, rule))) {
    const [complaint] = route.complaints
    const why = complaint === undefined ? "" : `: ${dottedRouteField(complaint.path)} ${complaint.message}`
    return [false, complaint?.reason ?? "UnsupportedValue", `No rule of the route can be used${why}.`]
  }
  const conflict = (port: ServicePort): boolean => {
    const client = route.namespace === service.namespace ? "" : route.namespace
    return kinds(service, port, client) !== route.kind
  }
  if (ports.every(conflict)) {
    return [false, "Conflicted", `${what} is bound by routes of a more specific kind, which count instead.`]
  }
  return [true, "Accepted"]
}

function hasNoMatch(route: Route, rule: Route["rules"][number]): boolean {
  return (route.kind === "HTTPRoute" || route.kind === "GRPCRoute") && rule.matches.length === 0
}

function references(store: ClusterStore, route: Route, parentNamespace: string): [boolean, string, string?] {
  const targets: BackendTarget[] = []
  for (const rule of route.rules) {
    for (const { target, filters } of rule.backends) {
      targets.push(target, ...filters.mirrors.map(mirror => mirror.target))
    }
    targets.push(...rule.filters.mirrors.map(mirror => mirror.target))
  }
  const faults = targets
    .map(target => resolveBackend(store, route, target, parentNamespace).fault)
    .filter(fault => fault !== null)
  const [first] = faults
  if (first === undefined) return [true, "ResolvedRefs"]
  return [false, first.reason, faults.map(fault => `${fault.message}.`).join(" ")]
}
