// Every way to get a route wrong: the field that is named, what is said, and what is left of the route.
import { expect, test } from "bun:test"
import fc from "fast-check"
import {
  dottedRouteField,
  parseGatewayDuration,
  readReferenceGrant,
  readRoute,
  readServiceTraffic,
} from "./mod.ts"

type Rule = Record<string, unknown>

function route(spec: Record<string, unknown>, kind = "HTTPRoute") {
  return readRoute({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind,
    metadata: { name: "r", namespace: "shop" },
    spec: { parentRefs: [{ kind: "Service", name: "web" }], ...spec },
  })
}

const rules = (...list: Rule[]) => route({ rules: list })
const match = (body: object) => rules({ matches: [body] })
const pathMatch = (value: unknown, type = "PathPrefix") => match({ path: { type, value } })
const ref = (body: object) => rules({ backendRefs: [{ name: "v1", port: 80, ...body }] })
const filterOf = (type: string, field: string, body: unknown) => rules({ filters: [{ type, [field]: body }] })
const headers = (body: object) => filterOf("RequestHeaderModifier", "requestHeaderModifier", body)
const said = ({ complaints }: ReturnType<typeof route>) =>
  complaints.map(({ path, message, effect }) => `${dottedRouteField(path)} ${message}; ${effect}`)

/** What was written, the field that must be named, words of the complaint, and what happens instead. */
const WRONG: readonly (readonly [string, ReturnType<typeof route>, string, string, string])[] = [
  [
    "a path without slash",
    pathMatch("a"),
    "spec.rules[0].matches[0].path.value",
    'begin with "/"',
    "match is left out",
  ],
  [
    "an empty segment",
    pathMatch("/a//b"),
    "spec.rules[0].matches[0].path.value",
    '"//"',
    "match is left out",
  ],
  [
    "a dot segment",
    pathMatch("/a/../b", "Exact"),
    "spec.rules[0].matches[0].path.value",
    '".."',
    "match is left out",
  ],
  [
    "an encoded slash",
    pathMatch("/a%2Fb"),
    "spec.rules[0].matches[0].path.value",
    "encoded slash",
    "match is left out",
  ],
  [
    "a query in a path",
    pathMatch("/a?b"),
    "spec.rules[0].matches[0].path.value",
    "characters of a path",
    "match is left out",
  ],
  [
    "a path that is a number",
    pathMatch(1),
    "spec.rules[0].matches[0].path.value",
    "must be text",
    "match is left out",
  ],
  [
    "a kind of match that is none",
    pathMatch("/", "Glob"),
    "spec.rules[0].matches[0].path.type",
    "one of PathPrefix",
    "match is left out",
  ],
  [
    "an expression that is none",
    pathMatch("(a", "RegularExpression"),
    "spec.rules[0].matches[0].path.value",
    "not closed",
    "match is left out",
  ],
  [
    "an expression that explodes",
    pathMatch("(a{900}){900}", "RegularExpression"),
    "spec.rules[0].matches[0].path.value",
    "too large",
    "match is left out",
  ],
  [
    "a method in lower case",
    match({ method: "get" }),
    "spec.rules[0].matches[0].method",
    "one of GET",
    "match is left out",
  ],
  [
    "a header without name",
    match({ headers: [{ value: "x" }] }),
    "spec.rules[0].matches[0].headers[0].name",
    "is missing",
    "match is left out",
  ],
  [
    "a header name that is none",
    match({ headers: [{ name: ":path", value: "x" }] }),
    "spec.rules[0].matches[0].headers[0].name",
    "header field",
    "match is left out",
  ],
  [
    "a query without value",
    match({ queryParams: [{ name: "x" }] }),
    "spec.rules[0].matches[0].queryParams[0].value",
    "is missing",
    "match is left out",
  ],
  [
    "a field that is none",
    match({ paths: [] }),
    "spec.rules[0].matches[0].paths",
    "is not a field",
    "field is ignored",
  ],
  [
    "a timeout that is no duration",
    rules({ timeouts: { request: "10" } }),
    "spec.rules[0].timeouts.request",
    "must be a duration",
    "field is ignored",
  ],
  [
    "a timeout below its part",
    rules({ timeouts: { request: "1s", backendRequest: "2s" } }),
    "spec.rules[0].timeouts.backendRequest",
    "longer than",
    "ends it first",
  ],
  [
    "a status that is no failure",
    rules({ retry: { codes: [200] } }),
    "spec.rules[0].retry.codes[0]",
    "from 400 to 599",
    "field is ignored",
  ],
  [
    "attempts below 0",
    rules({ retry: { attempts: -1 } }),
    "spec.rules[0].retry.attempts",
    "from 0 to",
    "counts as 0",
  ],
  [
    "a weight below 0",
    ref({ weight: -1 }),
    "spec.rules[0].backendRefs[0].weight",
    "from 0 to",
    "counts as 1",
  ],
  [
    "a backend without port",
    ref({ port: undefined }),
    "spec.rules[0].backendRefs[0].port",
    "is missing",
    "gets 500",
  ],
  [
    "a backend of another kind",
    ref({ kind: "Pod" }),
    "spec.rules[0].backendRefs[0].kind",
    "must be a Service",
    "gets 500",
  ],
  [
    "a filter of another mesh",
    rules({ filters: [{ type: "ExtensionRef" }] }),
    "spec.rules[0].filters[0].type",
    "one of",
    "rule answers 500",
  ],
  [
    "a filter without its part",
    rules({ filters: [{ type: "URLRewrite" }] }),
    "spec.rules[0].filters[0].urlRewrite",
    "is missing",
    "rule answers 500",
  ],
  [
    "a filter twice",
    rules({ filters: [1, 2].map(() => ({ type: "URLRewrite", urlRewrite: { hostname: "a" } })) }),
    "spec.rules[0].filters[1]",
    "second URLRewrite",
    "rule answers 500",
  ],
  [
    "a redirect with a rewrite",
    rules({
      filters: [
        { type: "URLRewrite", urlRewrite: {} },
        { type: "RequestRedirect", requestRedirect: {} },
      ],
    }),
    "spec.rules[0].filters",
    "exclude each other",
    "rule answers 500",
  ],
  [
    "a field set and removed",
    headers({ set: [{ name: "a", value: "1" }], remove: ["A"] }),
    "spec.rules[0].filters[0].requestHeaderModifier.remove[0]",
    "second time",
    "rule answers 500",
  ],
  [
    "a value with a line end",
    headers({ set: [{ name: "a", value: "1\r\nx: y" }] }),
    "spec.rules[0].filters[0].requestHeaderModifier.set[0].value",
    "visible ASCII",
    "rule answers 500",
  ],
  [
    "a field that frames",
    headers({ remove: ["Content-Length"] }),
    "spec.rules[0].filters[0].requestHeaderModifier.remove[0]",
    "belongs to the connection",
    "rule answers 500",
  ],
  [
    "a redirect with another status",
    filterOf("RequestRedirect", "requestRedirect", { statusCode: 200 }),
    "spec.rules[0].filters[0].requestRedirect.statusCode",
    "301",
    "rule answers 500",
  ],
  [
    "a prefix to replace where there is none",
    rules({
      matches: [{ path: { type: "Exact", value: "/a" } }],
      filters: [
        {
          type: "URLRewrite",
          urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/b" } },
        },
      ],
    }),
    "spec.rules[0].filters[0].urlRewrite.path.replacePrefixMatch",
    "exactly one match",
    "rule answers 500",
  ],
  [
    "a mirror above all",
    filterOf("RequestMirror", "requestMirror", { backendRef: { name: "v1", port: 80 }, percent: 101 }),
    "spec.rules[0].filters[0].requestMirror.percent",
    "from 0 to 100",
    "rule answers 500",
  ],
  [
    "a mirror without backend",
    filterOf("RequestMirror", "requestMirror", {}),
    "spec.rules[0].filters[0].requestMirror.backendRef",
    "is missing",
    "nothing is mirrored",
  ],
  [
    "too many rules",
    rules(...Array.from({ length: 17 }, () => ({}))),
    "spec.rules",
    "17 entries",
    "after the first 16 are left out",
  ],
  [
    "a parent's port that is none",
    route({ parentRefs: [{ kind: "Service", name: "web", port: 0 }] }),
    "spec.parentRefs[0].port",
    "from 1 to 65535",
    "parent is not bound",
  ],
  [
    "a gRPC method that is none",
    route({ rules: [{ matches: [{ method: { service: "a/b" } }] }] }, "GRPCRoute"),
    "spec.rules[0].matches[0].method.service",
    "such as shop.v1.Cart",
    "match is left out",
  ],
  [
    "a gRPC match of nothing",
    route({ rules: [{ matches: [{ method: {} }] }] }, "GRPCRoute"),
    "spec.rules[0].matches[0].method",
    "needs a service",
    "match is left out",
  ],
  [
    "a path in a GRPCRoute",
    route({ rules: [{ matches: [{ path: {} }] }] }, "GRPCRoute"),
    "spec.rules[0].matches[0].path",
    "is not a field",
    "field is ignored",
  ],
]

for (const [what, read, field, words, effect] of WRONG) {
  test(`${what}: ${field} ${words}; ${effect}`, () => {
    const texts = said(read)
    expect(
      texts.some(text => text.startsWith(`${field} `) && text.includes(words) && text.endsWith(effect)),
    ).toBe(true)
    expect(read.route).not.toBeNull()
  })
}

test("a route of a Gateway, or of another mesh's group, is others' business", () => {
  expect(route({ parentRefs: [{ name: "gateway" }], rules: 7 })).toEqual({ route: null, complaints: [] })
  expect(readRoute({ apiVersion: "policy.linkerd.io/v1beta3", kind: "HTTPRoute" }).route).toBeNull()
})

test("what is right has no complaint", () => {
  const read = rules({
    name: "all",
    matches: [{ path: { value: "/a" }, method: "GET", headers: [{ name: "A", value: "b" }] }],
    filters: [
      {
        type: "RequestMirror",
        requestMirror: { backendRef: { name: "v2", port: 80 }, fraction: { numerator: 1, denominator: 3 } },
      },
    ],
    backendRefs: [{ name: "v1", port: 80, weight: 0 }],
    timeouts: { request: "1m30s", backendRequest: "500ms" },
    retry: { codes: [500, 503], attempts: 3, backoff: "10ms" },
  })
  expect(said(read)).toEqual([])
  expect(read.route?.rules[0]).toMatchObject({
    name: "all",
    timeouts: { requestMs: 90_000, backendRequestMs: 500 },
    retry: { codes: [500, 503], attempts: 3, backoffMs: 10 },
    filters: { mirrors: [{ numerator: 1, denominator: 3 }] },
  })
})

test("no object makes the reader throw", () => {
  fc.assert(
    fc.property(
      fc.jsonValue(),
      fc.jsonValue(),
      fc.constantFrom("HTTPRoute", "GRPCRoute", "TCPRoute"),
      (a, b, kind) => {
        route({ rules: a }, kind)
        route({ rules: [{ matches: [a], filters: [b], backendRefs: [a], timeouts: b, retry: a }] }, kind)
        route({ rules: [{ matches: [{ path: a, headers: b, method: a }] }] }, kind)
        route({ parentRefs: [a] }, kind)
        readReferenceGrant({
          apiVersion: "gateway.networking.k8s.io/v1",
          kind: "ReferenceGrant",
          metadata: a,
          spec: b,
        })
        readServiceTraffic({ metadata: { annotations: { "retry.conduit.io/http": a } } })
      },
    ),
    { seed: 7, numRuns: 300 },
  )
})

test("durations are those of GEP-2257", () => {
  const read = (text: string) => parseGatewayDuration(text)
  expect(["0s", "1h", "90m", "1h30m", "5s500ms", "10ms"].map(read)).toEqual([
    0, 3.6e6, 5.4e6, 5.4e6, 5500, 10,
  ])
  expect(["", "1", "1.5s", "-1s", "1d", "1us", "100000s", "1h1h1h1h1h", "1 s"].map(read)).toEqual(
    Array(9).fill(null),
  )
})

test("a Service's annotations", () => {
  const annotations = {
    "retry.conduit.io/http": "5xx,429",
    "retry.conduit.io/grpc": "unavailable",
    "retry.conduit.io/limit": "2",
    "retry.conduit.io/timeout": "300ms",
    "timeout.conduit.io/request": "3s",
    "balancer.conduit.io/failure-accrual": "consecutive",
    "balancer.conduit.io/failure-accrual-consecutive-max-failures": "3",
  }
  const { traffic, complaints } = readServiceTraffic({ metadata: { annotations } })
  expect(complaints).toEqual([])
  expect(traffic.retry).toMatchObject({ grpcCodes: [14], attempts: 2, attemptTimeoutMs: 300 })
  expect(traffic.retry?.codes).toContain(429)
  expect(traffic.timeouts.requestMs).toBe(3000)
  expect(traffic.accrual).toEqual({ maxFailures: 3, minPenaltyMs: 1000, maxPenaltyMs: 60_000 })
  const wrong = readServiceTraffic({
    metadata: {
      annotations: {
        "retry.conduit.io/http": "2xx",
        "retry.conduit.io/limits": "1",
        "timeout.conduit.io/idle": "soon",
        "balancer.conduit.io/failure-accrual": "sometimes",
      },
    },
  })
  expect(wrong.complaints.map(({ path }) => path.at(-1)).sort()).toEqual([
    "balancer.conduit.io/failure-accrual",
    "retry.conduit.io/http",
    "retry.conduit.io/limits",
    "timeout.conduit.io/idle",
  ])
})

test("what a Service says of balancing and faults", () => {
  const read = (annotations: object, spec: object = {}) =>
    readServiceTraffic({ metadata: { annotations }, spec })
  expect(
    read({}, { sessionAffinity: "ClientIP", trafficDistribution: "PreferClose" }).traffic.balancing,
  ).toEqual({
    ...{ slowStartMs: 0, preferZone: true, byClient: true },
  })
  expect(read({ "service.kubernetes.io/topology-mode": "Auto" }).traffic.balancing?.preferZone).toBe(true)
  expect(read({ "service.kubernetes.io/topology-mode": "disabled" }).traffic.balancing).toBe(null)
  const ofNode = read({}, { trafficDistribution: "PreferSameNode" }).traffic
  expect([ofNode.sameNode, ofNode.balancing?.preferZone]).toEqual([true, true])
  expect(read({}, { trafficDistribution: "PreferClose" }).traffic.sameNode).toBe(false)
  expect(read({ "balancer.conduit.io/slow-start": "30s" }).traffic.balancing?.slowStartMs).toBe(30_000)
  expect(read({}, { sessionAffinity: "None" }).traffic).toMatchObject({ balancing: null, fault: null })
  const fault = {
    "fault.conduit.io/delay": "2s",
    "fault.conduit.io/delay-percent": "25",
    "fault.conduit.io/abort": "503",
  }
  expect(read(fault)).toMatchObject({
    traffic: { fault: { delayMs: 2000, delayPercent: 25, abortStatus: 503, abortPercent: 100 } },
    complaints: [],
  })
  const said = (annotations: object) =>
    read(annotations)
      .complaints.map(({ message }) => message)
      .join("\n")
  expect(said({ "fault.conduit.io/abort": "200" })).toContain("must be an HTTP status from 400 to 599")
  expect(said({ "fault.conduit.io/delay": "2s", "fault.conduit.io/delay-percent": "101" })).toContain(
    "from 0 to 100",
  )
  expect(said({ "fault.conduit.io/abort-percent": "5" })).toContain("counts for nothing without")
  expect(said({ "fault.conduit.io/latency": "5s" })).toContain("is not an annotation")
})

test("sessions of a rule", () => {
  const read = (sessionPersistence: object) => {
    const spec = {
      parentRefs: [{ group: "", kind: "Service", name: "web" }],
      rules: [{ sessionPersistence, backendRefs: [{ name: "web", port: 80 }] }],
    }
    const { route, complaints } = readRoute({
      ...{ apiVersion: "gateway.networking.k8s.io/v1", kind: "HTTPRoute", metadata: { name: "r" }, spec },
    })
    return { session: route?.rules[0]?.session, said: complaints.map(({ message }) => message).join("\n") }
  }
  const endless = { absoluteS: 0, idleS: 0 }
  const plain = { cookie: "conduit-session", header: "", maxAgeS: 0, ...endless }
  expect(read({})).toEqual({ session: plain, said: "" })
  expect(read({ type: "Header", sessionName: "X-Session" }).session).toEqual({
    ...{ cookie: "", header: "x-session", maxAgeS: 0, ...endless },
  })
  const life = { absoluteTimeout: "1h", cookieConfig: { lifetimeType: "Permanent" } }
  expect(read({ sessionName: "sid", ...life }).session).toEqual({
    ...{ cookie: "sid", header: "", maxAgeS: 3600, absoluteS: 3600, idleS: 0 },
  })
  expect(read({ cookieConfig: { lifetimeType: "Permanent" } })).toMatchObject({
    session: null,
    said: expect.stringContaining("is missing, which cookieConfig.lifetimeType Permanent needs"),
  })
  expect(read({ type: "IP" }).said).toContain("it must be one of Cookie, Header")
  expect(read({ idleTimeout: "1m", absoluteTimeout: "500ms" })).toEqual({
    session: { ...plain, absoluteS: 1, idleS: 60 },
    said: "",
  })
  expect(read({ idleTimeout: "soon" }).said).toContain("soon")
})

test("names of a TLSRoute", () => {
  const read = (hostnames: unknown, kind = "TLSRoute") => {
    const spec = {
      ...{ parentRefs: [{ group: "", kind: "Service", name: "web" }], hostnames },
      rules: [{ backendRefs: [{ name: "web", port: 443 }] }],
    }
    const { route, complaints } = readRoute({
      ...{ apiVersion: "gateway.networking.k8s.io/v1", kind, metadata: { name: "r" }, spec },
    })
    return {
      names: route?.hostnames,
      rules: route?.rules.length,
      said: complaints.map(one => one.message).join(),
    }
  }
  expect(read(["a.example", "*.b.example"])).toEqual({
    names: ["a.example", "*.b.example"],
    rules: 1,
    said: "",
  })
  expect(read(undefined)).toEqual({ names: [], rules: 1, said: "" })
  expect(read(["a.example", "b.example:443", "*"])).toMatchObject({
    ...{ names: ["a.example"], rules: 1, said: expect.stringContaining("must be a host name in lower case") },
  })
  // Names that cannot be used are not the same as none.
  expect(read(["b.example:443"])).toMatchObject({ names: [], rules: 0 })
  expect(read(["a.example"], "HTTPRoute")).toMatchObject({ names: [], rules: 1, said: "" })
})
