// Learned routes: what varies is left open, and what strangers invent takes no more room than there is.
import { expect, test } from "bun:test"
import { HttpMetrics, OUTBOUND } from "./http_series.ts"
import { LearnedBudget, LearnedRoutes, MAX_LEARNED_NODES, MAX_LEARNED_ROUTES } from "./learned_routes.ts"
import { IDLE_SERIES_MS, Registry } from "./registry.ts"

const LABELS = {
  direction: OUTBOUND,
  dstService: "web",
  dstNamespace: "shop",
  tls: null,
  clientId: "",
  route: "",
} as const

function routes(): LearnedRoutes {
  return new LearnedRoutes(LABELS, new LearnedBudget())
}

test("requests are told apart by method and template, whatever their ids and queries", () => {
  const learned = routes()
  const name = (method: string, path: string, grpc = false) => learned.of(method, path, grpc).labels.route
  expect(name("GET", "/users/41?full=1")).toBe("GET /users/{id}")
  expect(name("GET", "/users/42")).toBe("GET /users/{id}")
  expect(name("DELETE", "/users/42")).toBe("DELETE /users/{id}")
  expect(name("GET", "/users?page=2")).toBe("GET /users")
  expect(name("POST", "/shop.Cart/Add", true)).toBe("/shop.Cart/Add")
  expect(learned.of("GET", "/users/1", false)).toBe(learned.of("GET", "/users/2?x", false))
  expect(learned.count).toBe(4)
})

test("a million distinct paths, words and ids, keep to the bounds and are counted as other", () => {
  const learned = routes()
  const names = new Set<string>()
  for (let i = 0; i < 1_000_000; i++) {
    const word = i.toString(26).replace(/\d/g, digit => "qrstuvwxyz"[Number(digit)] ?? "")
    names.add(learned.of("GET", `/${word}/${i}/${word}`, false).labels.route)
  }
  for (let i = 0; i < 1000; i++) names.add(learned.of(`M${i}`, "/", false).labels.route)
  expect(names.has("other")).toBe(true)
  expect(names.size).toBeLessThanOrEqual(MAX_LEARNED_ROUTES + 1)
  expect(learned.nodes).toBeLessThanOrEqual(MAX_LEARNED_NODES)
})

test("the budget of a proxy holds over all its Services, and is given back", () => {
  const budget = new LearnedBudget()
  budget.left = 1
  const [one, two] = [new LearnedRoutes(LABELS, budget), new LearnedRoutes(LABELS, budget)]
  expect(one.of("GET", "/a", false).labels.route).toBe("GET /a")
  expect(two.of("GET", "/b", false).labels.route).toBe("other")
  one.sweep()
  expect(two.of("GET", "/b", false).labels.route).toBe("GET /b")
})

test("a route that nobody asks for any more makes room when its series go, one in use stays", () => {
  const registry = new Registry()
  const metrics = new HttpMetrics(registry)
  const { learned } = metrics.scope(LABELS)
  const ask = (path: string) => metrics.route(learned!.of("GET", path, false)).request()
  for (let i = 0; i < 5; i++) ask(`/word${i}`)
  for (let minute = 0; minute <= IDLE_SERIES_MS / 60_000 + 1; minute++) {
    ask("/word1")
    registry.sweep(minute * 60_000)
    metrics.sweep()
  }
  expect(learned?.count).toBe(1)
  const used = learned?.of("GET", "/word1", false)
  expect(used?.route?.dropped).toBe(false)
})

test("configured routes and traffic without a Service learn nothing", () => {
  const metrics = new HttpMetrics(new Registry())
  expect(metrics.scope({ ...LABELS, route: "checkout" }).learned).toBeNull()
  expect(metrics.scope({ ...LABELS, dstService: "" }).learned).toBeNull()
})
