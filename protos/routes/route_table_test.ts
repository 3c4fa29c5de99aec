// Finding a match by an index must give what looking at each in order gives.
import { expect, test } from "bun:test"
import {
  MATCH_EXACT,
  MATCH_PREFIX,
  NO_FILTERS,
  NO_ROUTES,
  NO_TIMEOUTS,
  ROUTE_KIND_HTTP,
  RouteTable,
} from "./mod.ts"

test("many matches of one path, looked up by a field, give what looking at each in order gives", () => {
  let state = 3
  const random = (below: number): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 8) % below
  }
  for (let run = 0; run < 50; run++) {
    const conditions = Array.from({ length: 5 + random(20) }, () => ({
      headers: [
        ...(random(4) > 0 ? [{ name: "x-version", kind: MATCH_EXACT, value: `v${random(4)}` }] : []),
        ...(random(3) === 0 ? [{ name: "x-user", kind: MATCH_EXACT, value: `u${random(2)}` }] : []),
      ],
      method: random(4) === 0 ? "POST" : "",
    }))
    const rules = conditions.map(({ headers, method }, index) => ({
      name: `r/${index}`,
      matches: [{ rank: index, pathKind: MATCH_PREFIX, path: "/api", method, headers, query: [] }],
      filters: NO_FILTERS,
      backends: [{ weight: 1, backend: 0, filters: NO_FILTERS, fault: "" }],
      timeouts: NO_TIMEOUTS,
      retry: null,
      session: null,
      fault: "",
    }))
    const table = new RouteTable({ ...NO_ROUTES, kind: ROUTE_KIND_HTTP, rules })
    for (let i = 0; i < 60; i++) {
      const fields: Record<string, string> = {}
      if (random(4) > 0) fields["x-version"] = `v${random(5)}`
      if (random(2) > 0) fields["x-user"] = `u${random(3)}`
      const method = random(2) === 0 ? "POST" : "GET"
      const asked = {
        method,
        path: "/api/a?b",
        isGrpc: false,
        authority: "",
        values: (name: string) => fields[name],
      }
      const naive = conditions.findIndex(
        one =>
          (one.method === "" || one.method === method) &&
          one.headers.every(({ name, value }) => fields[name] === value),
      )
      expect(table.match(asked)?.index ?? -1).toBe(naive)
    }
  }
})
