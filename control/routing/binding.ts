// Which routes bind a port of a Service for clients of a namespace (GEP-1294): consumer routes of the client's own
// namespace, else the producer's; and of those the most specific kind.
import { ROUTE_KINDS, type Route, type RouteKind } from "../../deploy/gateway/mod.ts"
import type { ClusterStore, ServicePort, ServiceRecord } from "../cluster/mod.ts"

/** Routes of one kind that bind a port, oldest first, then by `namespace/name`. */
export interface Binding {
  readonly kind: RouteKind
  readonly routes: readonly Route[]
}

/**
 * Routes that bind a port for clients of a namespace; null for none.
 *
 * @param clientNamespace  "" for clients of which no namespace has routes of its own
 */
export function bindingOf(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  clientNamespace: string,
): Binding | null {
  const producers: Route[] = []
  const consumers: Route[] = []
  if (!canBeParent(service)) return null
  for (const { route } of store.routesOf(service.namespace, service.name)) {
    if (!bindsPort(route, service, port)) continue
    if (route.namespace === service.namespace) producers.push(route)
    else if (route.namespace === clientNamespace) consumers.push(route)
  }
  const group = consumers.length > 0 ? consumers : producers
  const kind = ROUTE_KINDS.find(one => group.some(route => route.kind === one))
  if (kind === undefined) return null
  return { kind, routes: group.filter(route => route.kind === kind).sort(byAge) }
}

/** The kind of the routes that bind a port for clients of a namespace, as `bindingOf` finds it. */
export type BoundKinds = (
  service: ServiceRecord,
  port: ServicePort,
  clientNamespace: string,
) => RouteKind | undefined

/** Finds each binding once, for who asks about every route of a cluster that stays as it is meanwhile. */
export function boundKinds(store: ClusterStore): BoundKinds {
  const known = new Map<string, RouteKind | undefined>()
  return (service, port, clientNamespace) => {
    const key = `${service.namespace}/${service.name}/${port.port}/${port.name}/${clientNamespace}`
    if (!known.has(key)) known.set(key, bindingOf(store, service, port, clientNamespace)?.kind)
    return known.get(key)
  }
}

/** Whether clients of a namespace meet other routes than everybody. */
export function hasConsumerRoutes(
  store: ClusterStore,
  service: ServiceRecord,
  port: ServicePort,
  clientNamespace: string,
): boolean {
  if (clientNamespace === service.namespace || !canBeParent(service)) return false
  for (const { route } of store.routesOf(service.namespace, service.name)) {
    if (route.namespace === clientNamespace && bindsPort(route, service, port)) return true
  }
  return false
}

/** Whether a Service has an address that clients could mean: headless and ExternalName Services have none. */
export function canBeParent(service: ServiceRecord): boolean {
  return !service.headless && service.externalName === ""
}

/** Whether a parentRef of a route names a port. */
export function bindsPort(route: Route, service: ServiceRecord, port: ServicePort): boolean {
  return route.parents.some(
    parent =>
      parent.namespace === service.namespace &&
      parent.name === service.name &&
      (parent.port === 0 || parent.port === port.port) &&
      (parent.sectionName === "" || parent.sectionName === port.name),
  )
}

/** Order of routes where nothing about their matches decides: the older first, then by `namespace/name`. */
export function byAge(a: Route, b: Route): number {
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs
  const [first, second] = [`${a.namespace}/${a.name}`, `${b.namespace}/${b.name}`]
  return first < second ? -1 : first > second ? 1 : 0
}
