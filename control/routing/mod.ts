// What routes mean in a cluster: which of them bind a port, in which order their matches count, what their backends are,
// and the conditions that tell their authors. destination/ sends it to proxies.
export { type ResolvedBackend, resolveBackend } from "./backend.ts"
export { type Binding, bindingOf, hasConsumerRoutes } from "./binding.ts"
export { orderedMatches, type PlacedMatch } from "./precedence.ts"
export { type RouteCondition, type RouteParentStatus, routeStatus } from "./status.ts"
