// For tests of the engines: what the control plane says of a Service that has settings of its own.
import { type Endpoint, EndpointSet } from "../balance/mod.ts"
import {
  MATCH_PREFIX,
  NO_FILTERS,
  NO_ROUTES,
  NO_TIMEOUTS,
  type RetryConfig,
  type RoutesConfig,
  type RuleConfig,
  ServiceRoutes,
} from "../route/mod.ts"

/** Retries of 503 and (gRPC) UNAVAILABLE, twice at most, 100 ms apart at first. */
export const RETRY: RetryConfig = {
  codes: [503],
  grpcCodes: [14],
  attempts: 2,
  backoffMs: 100,
  anyMethod: false,
}

/** Settings with some of them set. */
export function settings(more: Partial<Omit<RoutesConfig, "timeouts">>, timeouts: object = {}): RoutesConfig {
  return { ...NO_ROUTES, ...more, timeouts: { ...NO_TIMEOUTS, ...timeouts } }
}

/** Routes of a Service whose endpoints on 127.0.0.1 stand in `set`. */
export function routesOf(config: RoutesConfig, set: EndpointSet = new EndpointSet(() => 0)): ServiceRoutes {
  return ServiceRoutes.replace(null, config, [], set, 0)
}

/** A rule that takes every request and sends it to the service itself. */
export function ruleForAll(more: Partial<RuleConfig> = {}): RuleConfig {
  return {
    name: "all",
    matches: [{ rank: 0, pathKind: MATCH_PREFIX, path: "", method: "", headers: [], query: [] }],
    filters: NO_FILTERS,
    backends: [{ weight: 1, backend: 0, filters: NO_FILTERS, fault: "" }],
    timeouts: NO_TIMEOUTS,
    retry: null,
    session: null,
    fault: "",
    ...more,
  }
}

/** A set of endpoints on 127.0.0.1. */
export function setOf(info: Endpoint["info"], ports: readonly number[], random: () => number): EndpointSet {
  const set = new EndpointSet(random)
  set.replace(
    ports.map(port => ({ address: "127.0.0.1", port, info })),
    0,
  )
  return set
}
