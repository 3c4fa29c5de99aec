// The table of route cases, decided without a socket: what people write on one side, what a proxy does on the other.
import { describe, expect, test } from "bun:test"
import { manifestsOf, ROUTE_CASES } from "../routes/cases.ts"
import { decide, destinationOf, storeOf } from "../routes/decide.ts"

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
