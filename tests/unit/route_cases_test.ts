// The table of route cases, decided without a socket: what people write on one side, what a proxy does on the other.
import { describe, expect, test } from "bun:test"
import { resolveOutbound } from "../../control/destination/resolve.ts"
import { routesConfigOf } from "../../control/explain/routes_config.ts"
import { NO_ROUTES } from "../../protos/routes/mod.ts"
import { manifestsOf, ROUTE_CASES } from "../routes/cases.ts"
import { CASE_ADDRESS, decide, destinationOf, storeOf } from "../routes/decide.ts"

for (const { name, routes, requests } of ROUTE_CASES) {
  describe(name, () => {
    const store = storeOf(manifestsOf(routes))
    for (const [given, answer] of requests) {
      const request = typeof given === "string" ? { path: given } : given
      test(`${JSON.stringify(given)} -> ${JSON.stringify(answer)}`, () => {
        const got: Record<string, unknown> = {
          ...decide(destinationOf(store, request.from ?? "shop"), request),
        }
        const asked = Object.fromEntries(Object.keys(answer).map(key => [key, got[key]]))
        expect(asked).toEqual({ ...answer })
        if (answer.backend !== undefined) expect(got.status).toBeUndefined()
      })
    }
  })
}

test("the table is as large as it should be", () => {
  expect(ROUTE_CASES.reduce((sum, { requests }) => sum + requests.length, 0)).toBeGreaterThan(100)
})

test("who explains a call reads the very routes that proxies decode from bytes", () => {
  for (const { routes, requests } of ROUTE_CASES) {
    const store = storeOf(manifestsOf(routes))
    for (const namespace of new Set(
      requests.map(([given]) => (typeof given === "string" ? "shop" : (given.from ?? "shop"))),
    )) {
      const found = resolveOutbound(store, CASE_ADDRESS, 80, namespace)
      if (found.kind !== "service") throw new Error(`the case's Service is ${found.kind}`)
      const decoded = destinationOf(store, namespace).routes?.config ?? NO_ROUTES
      expect(routesConfigOf(found.service)).toEqual(decoded)
      expect(found.origins.map(({ route, index }) => route.rules[index]?.name)).toEqual(
        decoded.rules.map(rule => rule.name),
      )
    }
  }
})
