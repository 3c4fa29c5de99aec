// What requests that meet a rule share, and what each has to itself.
import { expect, test } from "bun:test"
import { type EndpointSet, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import {
  NO_FILTERS,
  NO_ROUTES,
  NO_TIMEOUTS,
  ROUTE_KIND_HTTP,
  type RuleConfig,
  ServiceRoutes,
} from "../route/mod.ts"
import type { ScopeLabels } from "../telemetry/mod.ts"
import { Telemetry } from "../telemetry/mod.ts"
import { REFUSAL_NO_BACKEND, REFUSAL_NO_ROUTE } from "./refusal.ts"
import type { RequestView } from "./request_view.ts"
import { RETRY, routesOf, ruleForAll, settings, setOf } from "./route_fixture.ts"
import { RulePlan, RulePlans } from "./rule_plan.ts"

const GET: RequestView = {
  ...{ method: "GET", authority: "web.shop", path: "/", isGrpc: false, upgrade: "" },
  ...{ header: () => undefined, values: () => undefined },
}
const GRPC: RequestView = {
  ...GET,
  isGrpc: true,
  header: name => (name === "grpc-timeout" ? "2S" : undefined),
}
const random = () => 0.5
const backend = (weight: number) => ({ weight, backend: 0, filters: NO_FILTERS, fault: "" })

function planOf(more: Partial<RuleConfig>, service: object = {}): RulePlan {
  const routes = routesOf(settings({ kind: ROUTE_KIND_HTTP, rules: [ruleForAll(more)], ...service }))
  return new RulePlan(routes, routes.table.match(GET), null)
}

test("a rule that only names a backend leaves nothing to ask of its requests", () => {
  const plan = planOf({})
  const routing = plan.routing(GET, 80, random)
  expect([routing.isBare, routing.source, routing.refusal]).toEqual([true, null, null])
  expect([plan.times(GET, 0), plan.retry]).toEqual([null, null])
})

test("what a rule says of all its requests is found out once", () => {
  const headers = { set: [{ name: "x-a", value: "1" }], add: [], remove: [] }
  const filters = { ...NO_FILTERS, requestHeaders: headers }
  const said: readonly Partial<RuleConfig>[] = [
    { retry: RETRY },
    { filters },
    { filters: { ...NO_FILTERS, mirrors: [{ backend: 0, numerator: 1, denominator: 2 }] } },
    { backends: [{ ...backend(1), filters: { ...NO_FILTERS, responseHeaders: headers } }] },
  ]
  for (const more of said) {
    const plan = planOf(more)
    const routing = plan.routing(GET, 80, random)
    expect(routing.isBare).toBe(false)
    expect(plan.routing(GRPC, 80, random)).toBe(routing)
  }
})

test("sessions, redirects and injected faults are each request's own", () => {
  const redirect = { scheme: "", hostname: "", path: { kind: 0, value: "" }, port: 0, status: 302 } as const
  const session = { cookie: "s", header: "", maxAgeS: 0, absoluteS: 0, idleS: 0 }
  const injected = { delayMs: 7, delayPercent: 100, abortStatus: 0, abortPercent: 0 }
  const plans = [
    planOf({ session }),
    planOf({ filters: { ...NO_FILTERS, redirect } }),
    planOf({}, { injected }),
  ]
  for (const plan of plans) {
    const routing = plan.routing(GET, 80, random)
    expect(routing.isBare).toBe(false)
    expect(plan.routing(GET, 80, random)).not.toBe(routing)
  }
})

test("where nothing leads anywhere, the answer says why", () => {
  expect(planOf({ backends: [backend(0)] }).routing(GET, 80, random).refusal).toBe(REFUSAL_NO_BACKEND)
  expect(planOf({ fault: "broken" }).routing(GET, 80, random).refusal).toBe(REFUSAL_NO_BACKEND)
  const routes = routesOf(settings({ kind: ROUTE_KIND_HTTP }))
  expect(new RulePlan(routes, null, null).routing(GET, 80, random).refusal).toBe(REFUSAL_NO_ROUTE)
  const onlySettings = new RulePlan(routesOf(settings({ retry: RETRY })), null, null)
  expect(onlySettings.routing(GET, 80, random).refusal).toBeNull()
})

test("a backend of another Service is asked, and backends are drawn where there are several", () => {
  const { setOfOther, plan } = twoBackends([backend(0), { ...backend(1), backend: 1 }])
  expect(plan.routing(GET, 80, random).source).toBe(setOfOther)
  const { plan: drawn, setOfOther: other } = twoBackends([backend(1), { ...backend(1), backend: 1 }])
  const sources = Array.from({ length: 10 }, () => drawn.routing(GET, 80, random).source)
  expect(new Set(sources)).toEqual(new Set([null, other]))
})

test("a caller's own grpc-timeout holds, whatever the rule says", () => {
  expect(planOf({}).times(GRPC, 1000)?.requestDueMs).toBe(3000)
  const timeouts = { ...NO_TIMEOUTS, requestMs: 500 }
  expect(planOf({ timeouts }).times(GRPC, 1000)?.requestDueMs).toBe(1500)
  expect(planOf({ timeouts }).times(GET, 1000)?.requestDueMs).toBe(1500)
})

test("connections of one Service share plans, until its routes change", () => {
  const { http } = new Telemetry({ nowMs: 0 })
  const labels: ScopeLabels = {
    ...{ direction: 1, dstService: "web", dstNamespace: "shop", tls: null, clientId: "", route: "" },
  }
  const config = settings({ kind: ROUTE_KIND_HTTP, rules: [ruleForAll()] })
  const routes = routesOf(config)
  const plans = RulePlans.of(routes, labels, http)
  const [rule] = routes.table.rules
  expect(RulePlans.of(routes, labels, http)).toBe(plans)
  expect(plans.plan(rule!)).toBe(plans.plan(rule!))
  expect(plans.plan(rule!).scope?.labels.route).toBe("all")
  expect(RulePlans.of(routesOf(config), labels, http)).not.toBe(plans)
})

function twoBackends(backends: RuleConfig["backends"]) {
  const own = setOf(UNKNOWN_ENDPOINT, [1], random)
  const info = {
    ...{ namespace: "shop", name: "v2", port: 80, fqdn: "", protocol: 0 },
    ...{ accrual: null, balancing: null },
  }
  const routes = ServiceRoutes.replace(
    null,
    { ...NO_ROUTES, kind: ROUTE_KIND_HTTP, rules: [ruleForAll({ backends })] },
    [{ info, endpoints: [] }],
    own,
    0,
  )
  return {
    plan: new RulePlan(routes, routes.table.match(GET), null),
    setOfOther: routes.endpoints(1) as EndpointSet,
  }
}
