// What is wrong with routes that are well-formed: they bind nothing, lose to others, or name what is not there. For people,
// in the log and in `conduit check`; nothing here changes a decision.
import type { RouteKind } from "../../deploy/gateway/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { boundKinds } from "./binding.ts"
import { routeStatus, rulesWithoutShare } from "./status.ts"

/** A problem of a route. */
export interface RouteProblem {
  readonly kind: RouteKind
  readonly namespace: string
  readonly name: string
  /** One word, as conditions name it. */
  readonly reason: string
  /** Sentences without the route's name. */
  readonly message: string
}

/**
 * Everything wrong with routes, each thing once, whatever number of parents it is said to. What could not be read of them
 * is not among it: who reads them complains of that.
 *
 * @param namespace  of the routes; empty for all
 */
export function routeProblems(store: ClusterStore, namespace = ""): RouteProblem[] {
  const kinds = boundKinds(store)
  return [...store.routes(namespace)].flatMap(({ route }) => {
    const told = new Map<string, string>()
    for (const { conditions } of routeStatus(store, route, kinds)) {
      for (const { status, reason, message } of conditions) if (status === "False") told.set(message, reason)
    }
    for (const message of rulesWithoutShare(route)) told.set(message, "UnsupportedValue")
    const { kind, namespace, name } = route
    return [...told].map(([message, reason]) => ({ kind, namespace, name, reason, message }))
  })
}
