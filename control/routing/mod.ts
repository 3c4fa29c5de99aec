// What routes mean in a cluster: which of them bind a port, in which order their matches count, what their backends are,
// and what is wrong with them, as their authors are told. destination/ sends it to proxies.
export { type ResolvedBackend, resolveBackend } from "./backend.ts"
export { type Binding, bindingOf, hasConsumerRoutes } from "./binding.ts"
export { routeConditions } from "./conditions.ts"
export { orderedMatches, type PlacedMatch } from "./precedence.ts"
export { type RouteProblem, routeProblems } from "./problems.ts"
export { type RouteCondition, type RouteParentStatus, routeStatus } from "./status.ts"
