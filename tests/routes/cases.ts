// One table of what routes do to requests: matching, precedence, filters, faults. tests/unit decides each case from the
// manifests to the proxy's table, without a socket; a run over the wire can take the same table.

/** A route as people write it, short: `metadata` and `parentRefs` are filled in by `manifestsOf`. */
export interface CaseRoute {
  readonly kind?: "HTTPRoute" | "GRPCRoute"
  readonly name?: string
  readonly namespace?: string
  /** ISO time. */
  readonly created?: string
  readonly port?: number
  readonly sectionName?: string
  readonly rules: readonly object[]
}

/** A request. */
export interface CaseRequest {
  /** Default GET; POST for gRPC. */
  readonly method?: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  /** Default `web.shop`. */
  readonly authority?: string
  readonly grpc?: boolean
  /** Namespace of the client; default `shop`. */
  readonly from?: string
  /** The session that it bears. */
  readonly session?: CaseSession
}

/** A session, as a proxy gave it to a client. */
export interface CaseSession {
  /** `namespace/service:port` whose endpoint it is for. */
  readonly of: string
  /** Name of the cookie, or of the header field. */
  readonly cookie?: string
  readonly header?: string
  /** Seconds since it was given, of a rule whose sessions end. */
  readonly ageS?: number
}

/** What becomes of it. */
export interface CaseAnswer {
  /** Name of the rule, or null: none matches (404). */
  readonly rule?: string | null
  /** `namespace/service:port` that it is sent to. */
  readonly backend?: string
  /** Status that the proxy answers. */
  readonly status?: number
  readonly location?: string
  /** Path and authority as sent on. */
  readonly path?: string
  readonly authority?: string
  /** Fields as sent on, and as passed back of `server: app`, `x-old: 1`. */
  readonly headers?: Readonly<Record<string, string>>
  readonly responseHeaders?: Readonly<Record<string, string>>
  /** Name of the cookie or header field by which the client is given a session; null for none. */
  readonly session?: string | null
  /** `namespace/service:port` that get a copy, in alphabetical order; only where all or none of the requests are copied. */
  readonly mirrors?: readonly string[]
}

/** Routes, and requests with what becomes of them. */
export interface RouteCase {
  readonly name: string
  readonly routes: readonly CaseRoute[]
  readonly requests: readonly (readonly [CaseRequest | string, CaseAnswer])[]
}

/** A backendRef to a Service of the case's cluster: `web`, `v1`, `v2` in shop, `far` in elsewhere, port 80. */
export function to(name: string, more: object = {}): object {
  return { name, port: 80, ...more }
}

/** A rule that one path selects. */
function path(
  value: string,
  backend: string,
  type = "PathPrefix",
  more: object = {},
  filters: readonly object[] = [],
): object {
  const matches = [{ path: { type, value }, ...more }]
  if (filters.length === 0) return { name: backend, matches, backendRefs: [to(backend)] }
  return { name: `${backend}${value.replace("/", "-")}`, matches, filters, backendRefs: [to(backend)] }
}

function header(value: string, more: object = {}): object {
  return { headers: [{ name: "X-Version", value, ...more }] }
}

/** A route whose only rule has sessions. */
function persistent(sessionPersistence: object, backendRefs: readonly object[]): readonly CaseRoute[] {
  return [{ rules: [{ sessionPersistence, backendRefs }] }]
}

function bearing(session: CaseSession): CaseRequest {
  return { path: "/", session }
}

const none = { rule: null, status: 404 }
const v1 = { backend: "shop/v1:80" }
const v2 = { backend: "shop/v2:80" }
const one = (rules: readonly object[]): readonly CaseRoute[] => [{ rules }]
const filter = (type: string, field: string, body: object) => ({ type, [field]: body })
const rewrite = (body: object) => filter("URLRewrite", "urlRewrite", body)
const redirect = (body: object) => filter("RequestRedirect", "requestRedirect", body)
const requestHeaders = (body: object) => filter("RequestHeaderModifier", "requestHeaderModifier", body)
const responseHeaders = (body: object) => filter("ResponseHeaderModifier", "responseHeaderModifier", body)
const filtered = (prefix: string, ...filters: object[]) =>
  one([{ matches: [{ path: { value: prefix } }], filters, backendRefs: [to("v1")] }])
const mirror = (name: string, more: object = {}) =>
  filter("RequestMirror", "requestMirror", { backendRef: to(name), ...more })
const redirected = (prefix: string, body: object) =>
  one([{ matches: [{ path: { value: prefix } }], filters: [redirect(body)] }])
const replacePrefix = (value: string) => ({ path: { type: "ReplacePrefixMatch", replacePrefixMatch: value } })
const replaceAll = (value: string) => ({ path: { type: "ReplaceFullPath", replaceFullPath: value } })
const grpc = (
  service: string | undefined,
  method: string | undefined,
  backend: string,
  more: object = {},
) => ({
  name: backend,
  matches: [{ method: { ...(service && { service }), ...(method && { method }), ...more } }],
  backendRefs: [to(backend)],
})
const call = (path: string, headers: Record<string, string> = {}) => ({ path, headers, grpc: true })

/** The examples of HTTPPathModifier: request path, prefix, replacement, path after it. */
const PREFIX_TABLE: readonly (readonly [string, string, string, string])[] = [
  ["/foo/bar", "/foo", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo", "/xyz/", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz", "/xyz/bar"],
  ["/foo/bar", "/foo/", "/xyz/", "/xyz/bar"],
  ["/foo", "/foo", "/xyz", "/xyz"],
  ["/foo/", "/foo", "/xyz", "/xyz/"],
  ["/foo/bar", "/foo", "", "/bar"],
  ["/foo/", "/foo", "", "/"],
  ["/foo", "/foo", "", "/"],
  ["/foo/", "/foo", "/", "/"],
  ["/foo", "/foo", "/", "/"],
  ["/foo?a=/foo", "/foo", "/xyz", "/xyz?a=/foo"],
  ["/a?b", "/", "/xyz", "/xyz/a?b"],
]

/** The table. */
export const ROUTE_CASES: readonly RouteCase[] = [
  {
    name: "without routes everything goes to the Service itself",
    routes: [],
    requests: [["/any", { backend: "shop/web:80" }]],
  },
  {
    name: "a rule without matches takes everything",
    routes: one([{ backendRefs: [to("v1")] }]),
    requests: [
      ["/", { ...v1, rule: "r/0" }],
      ["/a/b?c", v1],
      [{ path: "*", method: "OPTIONS" }, v1],
    ],
  },
  {
    name: "an exact path is that path alone",
    routes: one([path("/abc", "v1", "Exact")]),
    requests: [
      ["/abc", v1],
      ["/abc?x=1", v1],
      ["/abc/", none],
      ["/Abc", none],
      ["/abcd", none],
    ],
  },
  {
    name: "a prefix is compared by segments",
    routes: one([path("/v2", "v2"), path("/a/b/", "v1")]),
    requests: [
      ["/v2", v2],
      ["/v2/", v2],
      ["/v2/x", v2],
      ["/v2?x", v2],
      ["/v2example", none],
      ["/V2", none],
      ["/a/b", v1],
      ["/a/b/c", v1],
      ["/a/bc", none],
      ["//v2", none],
    ],
  },
  {
    name: "a regular expression takes the whole path",
    routes: one([path("/item/[0-9]+", "v1", "RegularExpression")]),
    requests: [
      ["/item/42", v1],
      ["/item/42?x", v1],
      ["/item/42/x", none],
      ["/my/item/42", none],
    ],
  },
  {
    name: "methods",
    routes: one([path("/", "v1", "PathPrefix", { method: "POST" })]),
    requests: [
      [{ path: "/", method: "POST" }, v1],
      ["/", none],
    ],
  },
  {
    name: "header fields: names in any case, values exact, repeated ones joined by commas",
    routes: one([path("/", "v1", "PathPrefix", header("one"))]),
    requests: [
      [{ path: "/", headers: { "x-version": "one" } }, v1],
      [{ path: "/", headers: { "x-version": "ONE" } }, none],
      [{ path: "/", headers: { "x-version": "one,two" } }, none],
      ["/", none],
    ],
  },
  {
    name: "header fields by expression, several at once, and the first of a name",
    routes: one([
      {
        matches: [
          {
            headers: [
              { name: "a", type: "RegularExpression", value: "v[12]" },
              { name: "b", value: "x" },
              { name: "B", value: "never" },
            ],
          },
        ],
        backendRefs: [to("v1")],
      },
    ]),
    requests: [
      [{ path: "/", headers: { a: "v2", b: "x" } }, v1],
      [{ path: "/", headers: { a: "v3", b: "x" } }, none],
      [{ path: "/", headers: { a: "v1" } }, none],
    ],
  },
  {
    name: "the Host field is matched as :authority is",
    routes: one([
      { matches: [{ headers: [{ name: "Host", value: "shop.example" }] }], backendRefs: [to("v1")] },
    ]),
    requests: [
      [{ path: "/", authority: "shop.example" }, v1],
      ["/", none],
    ],
  },
  {
    name: "query parameters",
    routes: one([
      {
        matches: [
          {
            queryParams: [
              { name: "animal", value: "whale" },
              { name: "n", type: "RegularExpression", value: "[0-9]+" },
            ],
          },
        ],
        backendRefs: [to("v1")],
      },
    ]),
    requests: [
      ["/?animal=whale&n=1", v1],
      ["/?n=12&x&animal=whale", v1],
      ["/?animal=whale&animal=cat&n=1", v1],
      ["/?animal=cat&animal=whale&n=1", none],
      ["/?animal=wh%61le&n=1", v1],
      ["/?animal=whales&n=1", none],
      ["/?Animal=whale&n=1", none],
      ["/?animal=whale", none],
      ["/?animal=whale&n=", none],
      ["/", none],
    ],
  },
  {
    name: "any match of a rule selects it, all conditions of a match must hold",
    routes: one([
      {
        matches: [{ path: { value: "/a" }, method: "PUT" }, { path: { value: "/b" } }],
        backendRefs: [to("v1")],
      },
    ]),
    requests: [
      ["/b", v1],
      [{ path: "/a", method: "PUT" }, v1],
      ["/a", none],
    ],
  },
  {
    name: "precedence: exact before expression before the longest prefix",
    routes: one([
      path("/", "web"),
      path("/a", "v1"),
      path("/a/b", "v2"),
      { ...path("/a/b/c", "v1", "Exact"), name: "exact" },
      { ...path("/a/b/[d-f]", "v1", "RegularExpression"), name: "regex" },
    ]),
    requests: [
      ["/a/b/c", { rule: "exact" }],
      ["/a/b/d", { rule: "regex" }],
      ["/a/b/x", { rule: "v2" }],
      ["/a/x", { rule: "v1" }],
      ["/x", { rule: "web" }],
    ],
  },
  {
    name: "precedence: then method, header fields, query parameters",
    routes: one([
      { ...path("/", "v1"), name: "plain" },
      { ...path("/", "v1", "PathPrefix", { queryParams: [{ name: "q", value: "1" }] }), name: "query" },
      { ...path("/", "v1", "PathPrefix", header("1")), name: "header" },
      { ...path("/", "v1", "PathPrefix", { method: "GET" }), name: "method" },
      {
        ...path("/", "v1", "PathPrefix", {
          headers: [
            { name: "x-version", value: "1" },
            { name: "y", value: "1" },
          ],
        }),
        name: "headers",
      },
    ]),
    requests: [
      ["/", { rule: "method" }],
      [{ path: "/?q=1", method: "PUT", headers: { "x-version": "1" } }, { rule: "header" }],
      [{ path: "/?q=1", method: "PUT", headers: { "x-version": "1", y: "1" } }, { rule: "headers" }],
      [{ path: "/?q=1", method: "PUT" }, { rule: "query" }],
      [{ path: "/", method: "PUT" }, { rule: "plain" }],
    ],
  },
  {
    name: "precedence: a longer prefix wins over conditions on a shorter one",
    routes: one([path("/a", "v1", "PathPrefix", header("1")), path("/a/b", "v2")]),
    requests: [[{ path: "/a/b", headers: { "x-version": "1" } }, v2]],
  },
  {
    name: "precedence: what a longer prefix refuses falls to a shorter one",
    routes: one([path("/a/b", "v1", "PathPrefix", header("1")), path("/a", "v2")]),
    requests: [["/a/b", v2]],
  },
  {
    name: "precedence: of equal matches the first rule of the older route, else of the first name",
    routes: [
      { name: "b", created: "2026-01-02T00:00:00Z", rules: [path("/x", "v2")] },
      { name: "a", created: "2026-01-03T00:00:00Z", rules: [path("/x", "v1"), path("/y", "v1")] },
      {
        name: "z",
        created: "2026-01-03T00:00:00Z",
        rules: [path("/y", "v2"), path("/z", "v1"), path("/z", "v2")],
      },
    ],
    requests: [
      ["/x", v2],
      ["/y", v1],
      ["/z", v1],
    ],
  },
  {
    name: "names of rules: their own, else the route's with the index",
    routes: [{ name: "routes", rules: [path("/a", "v1"), { matches: [{ path: { value: "/b" } }] }] }],
    requests: [
      ["/a", { rule: "v1" }],
      ["/b", { rule: "routes/1", status: 500 }],
    ],
  },
  {
    name: "a parent's port, by number or name",
    routes: [
      { name: "here", port: 80, rules: [path("/a", "v1")] },
      { name: "there", port: 8080, rules: [path("/b", "v1")] },
      { name: "named", sectionName: "http", rules: [path("/c", "v1")] },
      { name: "other", sectionName: "admin", rules: [path("/d", "v1")] },
    ],
    requests: [
      ["/a", v1],
      ["/b", none],
      ["/c", v1],
      ["/d", none],
    ],
  },
  {
    name: "a consumer's route takes the place of the producer's for clients of its namespace, and for no others",
    routes: [
      { name: "producer", rules: [path("/", "v1")] },
      {
        name: "consumer",
        namespace: "elsewhere",
        rules: [{ matches: [{ path: { value: "/x" } }], backendRefs: [to("v2", { namespace: "shop" })] }],
      },
    ],
    requests: [
      ["/x", v1],
      [{ path: "/x", from: "elsewhere" }, v2],
      [{ path: "/", from: "elsewhere" }, none],
      [{ path: "/x", from: "third" }, v1],
    ],
  },
  {
    name: "backends: the Service itself, other namespaces only as granted",
    routes: one([
      { name: "own", matches: [{ path: { value: "/own" } }], backendRefs: [to("web")] },
      {
        name: "far",
        matches: [{ path: { value: "/far" } }],
        backendRefs: [to("far", { namespace: "elsewhere" })],
      },
      {
        name: "kept",
        matches: [{ path: { value: "/kept" } }],
        backendRefs: [to("kept", { namespace: "elsewhere" })],
      },
    ]),
    requests: [
      ["/own", { backend: "shop/web:80" }],
      ["/far", { backend: "elsewhere/far:80" }],
      ["/kept", { status: 500 }],
    ],
  },
  {
    name: "backends that cannot be used answer 500, the rest of the route goes on",
    routes: one([
      { name: "gone", matches: [{ path: { value: "/gone" } }], backendRefs: [to("nobody")] },
      { name: "port", matches: [{ path: { value: "/port" } }], backendRefs: [{ name: "v1", port: 81 }] },
      {
        name: "kind",
        matches: [{ path: { value: "/kind" } }],
        backendRefs: [to("v1", { kind: "Bucket", group: "x.io" })],
      },
      { name: "zero", matches: [{ path: { value: "/zero" } }], backendRefs: [to("v1", { weight: 0 })] },
      { name: "none", matches: [{ path: { value: "/none" } }], backendRefs: [] },
      {
        name: "part",
        matches: [{ path: { value: "/part" } }],
        backendRefs: [to("nobody", { weight: 0 }), to("v1")],
      },
      path("/", "v2"),
    ]),
    requests: [
      ["/gone", { rule: "gone", status: 500 }],
      ["/port", { status: 500 }],
      ["/kind", { status: 500 }],
      ["/zero", { status: 500 }],
      ["/none", { status: 500 }],
      ["/part", v1],
      ["/", v2],
    ],
  },
  {
    name: "rules with something wrong: a match is left out, a filter answers 500, a timeout is none",
    routes: one([
      {
        name: "match",
        matches: [{ path: { type: "RegularExpression", value: "(a" } }, { path: { value: "/b" } }],
        backendRefs: [to("v1")],
      },
      {
        name: "filter",
        matches: [{ path: { value: "/f" } }],
        filters: [{ type: "Sparkle" }],
        backendRefs: [to("v1")],
      },
      {
        name: "timeout",
        matches: [{ path: { value: "/t" } }],
        timeouts: { request: "soon" },
        backendRefs: [to("v1")],
      },
      {
        name: "explodes",
        matches: [{ path: { type: "RegularExpression", value: "(.*x{900}){900}" } }],
        backendRefs: [to("v1")],
      },
      path("/", "v2"),
    ]),
    requests: [
      ["/b", v1],
      ["/a", v2],
      ["/f", { rule: "filter", status: 500 }],
      ["/t", v1],
      ["/x", v2],
    ],
  },
  ...PREFIX_TABLE.map(([path, prefix, value, after]) => ({
    name: `rewrite: ${path} below ${prefix} by "${value}" is ${after}`,
    routes: filtered(prefix, rewrite(replacePrefix(value))),
    requests: [[path, { ...v1, path: after }]] as const,
  })),
  {
    name: "rewrite of host and of the whole path",
    routes: filtered("/", rewrite({ hostname: "v1.example", ...replaceAll("/all") })),
    requests: [["/a/b?q=1", { ...v1, path: "/all?q=1", authority: "v1.example" }]],
  },
  {
    name: "redirect: 302 to the same place on another host by default",
    routes: redirected("/", { hostname: "example.org" }),
    requests: [["/a?b", { status: 302, location: "http://example.org/a?b" }]],
  },
  {
    name: "redirect: scheme, port, status, path",
    routes: one([
      { matches: [{ path: { value: "/s" } }], filters: [redirect({ scheme: "https", statusCode: 301 })] },
      { matches: [{ path: { value: "/p" } }], filters: [redirect({ port: 8080, statusCode: 307 })] },
      {
        matches: [{ path: { value: "/sp" } }],
        filters: [redirect({ scheme: "https", port: 8443, statusCode: 308 })],
      },
      {
        matches: [{ path: { value: "/s443" } }],
        filters: [redirect({ scheme: "https", port: 443, statusCode: 303 })],
      },
      { matches: [{ path: { value: "/s80" } }], filters: [redirect({ scheme: "http", port: 80 })] },
      { matches: [{ path: { value: "/old" } }], filters: [redirect(replacePrefix("/new"))] },
      { matches: [{ path: { value: "/full" } }], filters: [redirect(replaceAll("/one"))] },
    ]),
    requests: [
      [
        { path: "/s", authority: "web:80" },
        { status: 301, location: "https://web/s" },
      ],
      ["/p", { status: 307, location: "http://web.shop:8080/p" }],
      ["/sp", { status: 308, location: "https://web.shop:8443/sp" }],
      ["/s443", { status: 303, location: "https://web.shop/s443" }],
      ["/s80", { location: "http://web.shop/s80" }],
      ["/old/x?y", { location: "http://web.shop/new/x?y" }],
      ["/full/x", { location: "http://web.shop/one" }],
      [{ path: "/s", authority: "[fd00::1]:80" }, { location: "https://[fd00::1]/s" }],
    ],
  },
  {
    name: "request headers: set, add, remove, in any case",
    routes: filtered(
      "/",
      requestHeaders({
        set: [{ name: "X-Set", value: "new" }],
        add: [{ name: "x-add", value: "2" }],
        remove: ["X-Gone"],
      }),
    ),
    requests: [
      [
        { path: "/", headers: { "x-set": "old", "x-add": "1", "x-gone": "1", other: "1" } },
        { ...v1, headers: { "x-set": "new", "x-add": "1,2", other: "1" } },
      ],
      ["/", { headers: { "x-set": "new", "x-add": "2" } }],
    ],
  },
  {
    name: "request headers of a backend come after the rule's",
    routes: one([
      {
        filters: [
          requestHeaders({ set: [{ name: "who", value: "rule" }], add: [{ name: "n", value: "1" }] }),
        ],
        backendRefs: [
          to("v1", {
            filters: [
              requestHeaders({ set: [{ name: "Who", value: "backend" }], add: [{ name: "n", value: "2" }] }),
            ],
          }),
        ],
      },
    ]),
    requests: [["/", { ...v1, headers: { who: "backend", n: "1,2" } }]],
  },
  {
    name: "response headers",
    routes: filtered("/", responseHeaders({ remove: ["Server"], add: [{ name: "x-old", value: "2" }] })),
    requests: [["/", { ...v1, responseHeaders: { "x-old": "1,2" } }]],
  },
  {
    name: "gRPC: service and method, service alone, method alone",
    routes: [
      {
        kind: "GRPCRoute",
        rules: [
          grpc("shop.Cart", "Add", "v1"),
          grpc("shop.Cart", undefined, "v2"),
          grpc(undefined, "Ping", "web"),
        ],
      },
    ],
    requests: [
      [call("/shop.Cart/Add"), v1],
      [call("/shop.Cart/Remove"), v2],
      [call("/any.Thing/Ping"), { backend: "shop/web:80" }],
      [call("/shop.Cart/Ping"), v2],
      [call("/shop.CartV2/Add"), none],
      [{ path: "/shop.Cart/Add", method: "POST" }, none],
    ],
  },
  {
    name: "gRPC: expressions and metadata; a GRPCRoute counts before an HTTPRoute",
    routes: [
      { name: "http", rules: [path("/", "v2")] },
      {
        kind: "GRPCRoute",
        rules: [
          grpc("shop\\.v[0-9]+\\.Cart", "Add|Remove", "v1", { type: "RegularExpression" }),
          {
            name: "meta",
            matches: [{ headers: [{ name: "tenant", value: "a" }] }],
            backendRefs: [to("web")],
          },
        ],
      },
    ],
    requests: [
      [call("/shop.v2.Cart/Remove"), v1],
      [call("/shop.v2.Cart/List"), none],
      [call("/x.Y/Z", { tenant: "a" }), { rule: "meta" }],
      ["/", none],
    ],
  },
  {
    name: "gRPC: a rule without matches takes every call",
    routes: [{ kind: "GRPCRoute", rules: [{ backendRefs: [to("v1")] }] }],
    requests: [
      [call("/a.B/C"), v1],
      ["/a.B/C", none],
    ],
  },
  {
    name: "gRPC: a backend that is not there is UNAVAILABLE for its share",
    routes: [{ kind: "GRPCRoute", rules: [{ backendRefs: [to("nobody")] }] }],
    requests: [[call("/a.B/C"), { status: 500 }]],
  },
  {
    name: "mirror: copies go beside the request, those of the rule and of the backend, as far as their share says",
    routes: [
      {
        rules: [
          path("/all", "v1", "PathPrefix", {}, [mirror("v2"), mirror("web", { percent: 100 })]),
          path("/none", "v1", "PathPrefix", {}, [
            mirror("v2", { percent: 0 }),
            mirror("web", { fraction: { numerator: 0, denominator: 7 } }),
          ]),
          {
            matches: [{ path: { value: "/backend" } }],
            backendRefs: [
              to("v1", { filters: [mirror("v2", { fraction: { numerator: 3, denominator: 3 } })] }),
            ],
          },
          path("/own", "v1", "PathPrefix", {}, [mirror("v1")]),
          path("/nobody", "v1", "PathPrefix", {}, [mirror("nobody")]),
        ],
      },
    ],
    requests: [
      ["/all", { ...v1, mirrors: ["shop/v2:80", "shop/web:80"] }],
      [
        { path: "/all", headers: { a: "b" } },
        { ...v1, mirrors: ["shop/v2:80", "shop/web:80"] },
      ],
      ["/none", { ...v1, mirrors: [] }],
      ["/backend", { ...v1, mirrors: ["shop/v2:80"] }],
      ["/own", { ...v1, mirrors: ["shop/v1:80"] }],
      ["/nobody", { ...v1, mirrors: [] }],
    ],
  },
  {
    name: "mirror: copies bear what the route changes",
    routes: filtered(
      "/old",
      mirror("v2"),
      rewrite(replacePrefix("/new")),
      requestHeaders({ set: [{ name: "x", value: "y" }] }),
    ),
    requests: [["/old/a", { ...v1, path: "/new/a", headers: { x: "y" }, mirrors: ["shop/v2:80"] }]],
  },
  {
    name: "sessions: a cookie keeps a client with its endpoint, whatever the weights",
    routes: persistent({}, [to("v1", { weight: 999 }), to("v2", { weight: 1 })]),
    requests: [
      ["/", { session: "conduit-session" }],
      [bearing({ of: "shop/v2:80", cookie: "conduit-session" }), { ...v2, session: null }],
      [bearing({ of: "shop/v1:80", cookie: "conduit-session" }), { ...v1, session: null }],
      [bearing({ of: "shop/v2:80", cookie: "other" }), { session: "conduit-session" }],
      [bearing({ of: "nobody", cookie: "conduit-session" }), { session: "conduit-session" }],
    ],
  },
  {
    name: "sessions: a header field does, too, and a backend without a share keeps nobody",
    routes: persistent({ type: "Header", sessionName: "X-Session" }, [
      to("v1"),
      to("v2", { weight: 0 }),
      to("nowhere", { weight: 0 }),
    ]),
    requests: [
      ["/", { ...v1, session: "x-session" }],
      [bearing({ of: "shop/v1:80", header: "x-session" }), { ...v1, session: null }],
      [bearing({ of: "shop/v2:80", header: "x-session" }), { ...v1, session: "x-session" }],
      [bearing({ of: "shop/v1:80", cookie: "x-session" }), { ...v1, session: "x-session" }],
    ],
  },
  {
    name: "sessions: one that rested too long has ended, and one that goes on is told again",
    routes: persistent({ sessionName: "sid", idleTimeout: "1m" }, [to("v1"), to("v2", { weight: 0 })]),
    requests: [
      [bearing({ of: "shop/v1:80", cookie: "sid", ageS: 30 }), { ...v1, session: "sid" }],
      [bearing({ of: "shop/v1:80", cookie: "sid", ageS: 70 }), { ...v1, session: "sid" }],
    ],
  },
  {
    name: "sessions: one ends after its time, wherever it led",
    routes: persistent({ sessionName: "sid", absoluteTimeout: "1m" }, [
      to("v1", { weight: 1_000_000 }),
      to("v2", { weight: 1 }),
    ]),
    requests: [
      [bearing({ of: "shop/v2:80", cookie: "sid", ageS: 30 }), { ...v2, session: null }],
      [bearing({ of: "shop/v2:80", cookie: "sid", ageS: 70 }), { ...v1, session: "sid" }],
    ],
  },
  {
    name: "sessions: of gRPC calls",
    routes: [
      {
        kind: "GRPCRoute",
        rules: [
          {
            sessionPersistence: { type: "Header", sessionName: "X-Session" },
            backendRefs: [to("v1", { weight: 999 }), to("v2", { weight: 1 })],
          },
        ],
      },
    ],
    requests: [
      [call("/a.B/C"), { session: "x-session" }],
      [
        { ...call("/a.B/C"), session: { of: "shop/v2:80", header: "x-session" } },
        { ...v2, session: null },
      ],
    ],
  },
  {
    name: "mirror: gRPC calls are copied",
    routes: [{ kind: "GRPCRoute", rules: [{ filters: [mirror("v2")], backendRefs: [to("v1")] }] }],
    requests: [[call("/a.B/C"), { ...v1, mirrors: ["shop/v2:80"] }]],
  },
]

/** Objects of the cluster that all cases share, and the case's routes, in their standard shape. */
export function manifestsOf(routes: readonly CaseRoute[]): object[] {
  const service = (name: string, namespace: string, ip: string) => ({
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      clusterIP: ip,
      ports: [
        { name: "http", port: 80 },
        { name: "admin", port: 81 + Number(name !== "web") },
      ],
    },
  })
  return [
    { ...service("web", "shop", "10.96.0.1") },
    service("v1", "shop", "10.96.0.2"),
    service("v2", "shop", "10.96.0.3"),
    service("far", "elsewhere", "10.96.0.4"),
    service("kept", "elsewhere", "10.96.0.5"),
    {
      apiVersion: "gateway.networking.k8s.io/v1beta1",
      kind: "ReferenceGrant",
      metadata: { name: "far", namespace: "elsewhere" },
      spec: {
        from: [{ group: "gateway.networking.k8s.io", kind: "HTTPRoute", namespace: "shop" }],
        to: [{ group: "", kind: "Service", name: "far" }],
      },
    },
    ...routes.map(
      ({ kind = "HTTPRoute", name = "r", namespace = "shop", created, port, sectionName, rules }) => ({
        apiVersion: "gateway.networking.k8s.io/v1",
        kind,
        metadata: { name, namespace, ...(created === undefined ? {} : { creationTimestamp: created }) },
        spec: {
          parentRefs: [
            {
              group: "",
              kind: "Service",
              name: "web",
              namespace: "shop",
              ...(port === undefined ? {} : { port }),
              ...(sectionName === undefined ? {} : { sectionName }),
            },
          ],
          rules,
        },
      }),
    ),
  ]
}
