// What is written into the status of each route: our entries of its parents, a list that it shares with the controllers of
// Gateways and of other meshes.
import { isRoute, readRoute } from "../../deploy/gateway/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { type ConditionKind, type StatusObject, timed, type WantedCondition } from "../conditions/mod.ts"
import { RESOURCES } from "../kubernetes/mod.ts"
import { boundKinds } from "./binding.ts"
import { ROUTE_CONTROLLER, type RouteParentStatus, routeStatus } from "./status.ts"

/** Entries of a route's status, as the API server bounds them. */
export const MAX_PARENT_STATUSES = 32

/** The conditions of every kind of route. */
export function routeConditions(store: ClusterStore): ConditionKind[] {
  return RESOURCES.filter(({ kind, bases: [base = ""] }) =>
    isRoute({ apiVersion: base.replace("/apis/", ""), kind }),
  ).map(resource => ({
    resource,
    list: "parents",
    lists: (objects, now) => {
      const kind = resource.kind.toLowerCase()
      const kinds = boundKinds(store)
      const known = new Map(
        [...store.routes()].filter(one => one.kind === kind).map(one => [keyOf(one), one.route]),
      )
      return objects.map(object => {
        const bound = readRoute(object).route !== null
        const route = bound ? known.get(keyOf(object.metadata)) : undefined
        // What binds a port is found among routes that are known: this version is told of in a moment, and looked at then.
        if (bound && route?.generation !== (object.metadata.generation ?? 0)) return null
        return parentsOf(object, route === undefined ? [] : routeStatus(store, route, kinds), now)
      })
    },
  }))
}

/** An entry of a route's status, whoever wrote it. */
interface Entry {
  readonly controllerName?: string
  readonly parentRef?: Partial<RouteParentStatus["parentRef"]>
  readonly conditions?: readonly WantedCondition[]
}

/** The list with our entries as they should be, in the places that they have; those of others as they are. */
function parentsOf({ status }: StatusObject, wanted: readonly RouteParentStatus[], now: string): unknown[] {
  const before = (status?.parents ?? []) as readonly Entry[]
  const left = new Map(wanted.map(one => [refOf(one), one]))
  const written = (one: RouteParentStatus, was: Entry | undefined): RouteParentStatus => ({
    ...one,
    conditions: timed(one.conditions, was?.conditions, now) as RouteParentStatus["conditions"],
  })
  const kept = before.flatMap((entry): Entry[] => {
    if (entry.controllerName !== ROUTE_CONTROLLER) return [entry]
    const own = left.get(refOf(entry))
    left.delete(refOf(entry))
    return own === undefined ? [] : [written(own, entry)]
  })
  const room = Math.max(0, MAX_PARENT_STATUSES - kept.length)
  return [...kept, ...[...left.values()].slice(0, room).map(one => written(one, undefined))]
}

function refOf({ parentRef = {} }: Entry): string {
  const { group = "", kind = "", namespace = "", name = "", port = 0, sectionName = "" } = parentRef
  return [group, kind, namespace, name, port, sectionName].join("/")
}

function keyOf({ namespace = "", name }: { readonly namespace?: string; readonly name: string }): string {
  return `${namespace}/${name}`
}
