// Finding a match by an index must give what looking at each in order gives.
import { expect, test } from "bun:test"
import {
  MATCH_EXACT,
  MATCH_PREFIX,
  MATCH_REGEX,
  NO_FILTERS,
  NO_ROUTES,
  NO_TIMEOUTS,
  ROUTE_KIND_HTTP,
  ROUTE_KIND_TLS,
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

test("any mixture of paths, prefixes and expressions gives what looking at each in order gives", () => {
  let state = 5
  const draw = (below: number): number => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 8) % below
  }
  const one = (from: readonly string[]): string => from[draw(from.length)] ?? ""
  const paths = ["", "/api", "/api/v1", "/api/v1/users", "/api/v10", "/apis", "/shop.v1.Cart/Add"]
  const expressions = [
    "/api/v[0-9]+/.*",
    ".*",
    "/(api|apis)/?.*",
    "/api/v1/[a-z]+",
    "/shop\\.v1\\..*",
    "/x?api.*",
    "/š/.*",
  ]
  const asked = [
    ...paths.slice(1),
    "/",
    "*",
    "/api/",
    "/api/v1/users/7",
    "/api/v1/",
    "/apix",
    "/š/a",
    "/other",
  ]
  const met = new Map<number, number>()
  for (let run = 0; run < 200; run++) {
    const matches = Array.from({ length: 1 + draw(30) }, (_, rank) => {
      const pathKind = [MATCH_EXACT, MATCH_PREFIX, MATCH_REGEX][draw(3)] ?? MATCH_EXACT
      return {
        ...{ rank, pathKind, path: one(pathKind === MATCH_REGEX ? expressions : paths) },
        method: draw(4) === 0 ? "POST" : "",
        headers: draw(3) === 0 ? [{ name: "x-version", kind: MATCH_EXACT, value: `v${draw(3)}` }] : [],
        query: draw(6) === 0 ? [{ name: "q", kind: MATCH_EXACT, value: "1" }] : [],
      }
    })
    const rules = matches.map(match => ({
      ...{ name: `r/${match.rank}`, matches: [match], filters: NO_FILTERS, timeouts: NO_TIMEOUTS },
      backends: [{ weight: 1, backend: 0, filters: NO_FILTERS, fault: "" }],
      ...{ retry: null, session: null, fault: "" },
    }))
    const table = new RouteTable({ ...NO_ROUTES, kind: ROUTE_KIND_HTTP, rules })
    for (let i = 0; i < 60; i++) {
      const path = one(asked)
      const query = one(["", "?", "?q=1", "?q=2&q=1", "?/api/v1/users"])
      const method = one(["GET", "POST"])
      const version = one(["", "v0", "v1"])
      const request = {
        ...{ method, path: `${path}${query}`, isGrpc: false, authority: "" },
        values: (name: string) => (name === "x-version" && version !== "" ? version : undefined),
      }
      const naive = matches.findIndex(
        match =>
          (match.pathKind === MATCH_EXACT
            ? match.path === path
            : match.pathKind === MATCH_PREFIX
              ? match.path === "" || path === match.path || path.startsWith(`${match.path}/`)
              : new RegExp(`^(?:${match.path})$`).test(path)) &&
          (match.method === "" || match.method === method) &&
          match.headers.every(({ value }) => value === version) &&
          (match.query.length === 0 || query === "?q=1"),
      )
      const found = table.match(request)?.index ?? -1
      expect(found).toBe(naive)
      const kind = matches[naive]?.pathKind ?? -1
      met.set(kind, (met.get(kind) ?? 0) + 1)
    }
  }
  for (const kind of [-1, MATCH_EXACT, MATCH_PREFIX, MATCH_REGEX]) expect(met.get(kind)).toBeGreaterThan(100)
})

test("of TLSRoutes the most specific name counts, and those without names take the rest", () => {
  const table = (...names: readonly (readonly string[] | null)[]) =>
    new RouteTable({
      ...{ ...NO_ROUTES, kind: ROUTE_KIND_TLS },
      rules: names.map((serverNames, i) => ({
        ...{ name: `r/${i}`, matches: [], filters: NO_FILTERS, timeouts: NO_TIMEOUTS, backends: [] },
        ...{ retry: null, session: null, fault: "" },
        ...(serverNames === null ? {} : { serverNames }),
      })),
    })
  const of = (one: RouteTable, name: string) => one.ofServerName(name)?.index ?? null
  const some = table(["*.example.com"], ["a.example.com", "b.example.com"], ["*.b.example.com"], null)
  expect(
    ["a.example.com", "A.Example.COM", "c.example.com", "x.b.example.com", "example.com", "other", ""].map(
      name => of(some, name),
    ),
  ).toEqual([1, 1, 0, 2, 3, 3, 3])
  const strict = table(["a.example.com"], ["*.example.com"], ["a.example.com"])
  expect(
    ["a.example.com", "d.c.example.com", ".example.com", "example.com", ""].map(name => of(strict, name)),
  ).toEqual([...[0, 1], ...[null, null, null]])
  expect(of(table(null, null), "a")).toBe(0)
  expect(of(table(), "a")).toBeNull()
})
