// The table of policy cases: a target, policies as people write them, a call, and what must come of it. Run as pure
// decisions (decisions_test.ts) and through a real proxy with the real policy service (../e2e/policy_test.ts).

/** How a call is made; each has its port on the target. */
export type Via = "http1" | "http2" | "grpc" | "tcp"

/** Ports of the target by the way of a call: `http`, `grpc` (twice) and `raw`. */
export const PORT_OF: Readonly<Record<Via, number>> = { http1: 8081, http2: 8080, grpc: 8080, tcp: 7000 }

/** What comes of a call. `malformed`: refused before policy is asked. */
export type Expected = "allowed" | "denied" | "malformed"

/** One case. */
export interface PolicyCase {
  readonly name: string
  /** `spec` of each AuthorizationPolicy, named p0, p1, ... `$WEB4` and the like stand for addresses of clients. */
  readonly policies: readonly string[]
  /** Default policy by the annotation of the pod. */
  readonly byDefault?: string
  readonly via: Via
  /** Default: web. */
  readonly client?: "web" | "other"
  /** Default: 4. */
  readonly family?: 4 | 6
  /**
   * The client has proved the identity of its service account: `web` and `other` by their own, `foreign` by one of
   * another trust domain. End to end the own are proved by proxies of the mesh, and `foreign` gets no further than
   * its handshake.
   */
  readonly proven?: "own" | "foreign"
  readonly method?: string
  readonly path?: string
  /** `:authority` and `host` disagree. */
  readonly wrongHost?: boolean
  readonly expected: Expected
  /** What decided: a policy's name, or the cause. */
  readonly by?: string
  /** An audit matches too. */
  readonly audited?: boolean
}

const ANY = "from: [{ networks: [0.0.0.0/0, '::/0'] }]"
const WEB4 = "from: [{ networks: [$WEB4/32] }]"
const API = "kind: Deployment, name: api"

function spec(action: string, rule: string, target = API): string {
  return `{ target: { ${target} }, action: ${action}, rules: [{ ${rule} }] }`
}

const paths = (...list: string[]): string => `to: [{ paths: ['${list.join("', '")}'] }]`
const methods = (...list: string[]): string => `to: [{ methods: [${list.join(", ")}] }]`

const DENY_ADMIN = spec("Deny", paths("/admin", "/admin/*"))
const ALLOW_PUBLIC = spec("Allow", paths("/public/*"))

/** The same rules met in every way that a call is made. */
function everyWay(name: string, one: Omit<PolicyCase, "name" | "via">): PolicyCase[] {
  return (["http1", "http2", "grpc", "tcp"] as const).map(via => ({ ...one, name: `${name}, ${via}`, via }))
}

function path(sent: string, expected: Expected, policies = [DENY_ADMIN], by?: string): PolicyCase {
  const rule = policies[0] === DENY_ADMIN ? "where /admin is denied" : "where /public/* is allowed"
  const decides = by === undefined ? {} : { by }
  return { name: `${sent} ${rule}`, policies, via: "http1", path: sent, expected, ...decides }
}

/** All cases. */
export const POLICY_CASES: readonly PolicyCase[] = [
  // Defaults.
  ...everyWay("without policies everybody is let in", {
    policies: [],
    expected: "allowed",
    by: "all-unauthenticated",
  }),
  ...everyWay("the default deny lets nobody in", {
    policies: [],
    byDefault: "deny",
    expected: "denied",
    by: "deny",
  }),
  {
    name: "the default all-authenticated refuses who proves nothing",
    policies: [],
    byDefault: "all-authenticated",
    via: "http1",
    expected: "denied",
  },
  {
    name: "the default all-authenticated lets in who proves an identity",
    policies: [],
    byDefault: "all-authenticated",
    via: "http2",
    proven: "own",
    expected: "allowed",
  },
  {
    name: "an identity of another trust domain does not count as meshed",
    policies: [],
    byDefault: "all-authenticated",
    via: "http1",
    proven: "foreign",
    expected: "denied",
  },
  {
    name: "the default cluster-unauthenticated lets in the cluster's own addresses",
    policies: [],
    byDefault: "cluster-unauthenticated",
    via: "tcp",
    expected: "allowed",
  },
  {
    name: "the default cluster-authenticated wants an identity beside the address",
    policies: [],
    byDefault: "cluster-authenticated",
    via: "tcp",
    expected: "denied",
  },
  {
    name: "the default cluster-authenticated lets in who has both",
    policies: [],
    byDefault: "cluster-authenticated",
    via: "grpc",
    proven: "own",
    expected: "allowed",
  },
  {
    name: "the default audit lets in and counts who proves nothing",
    policies: [],
    byDefault: "audit",
    via: "http1",
    expected: "allowed",
    audited: true,
  },
  {
    name: "the default audit does not count who proves an identity",
    policies: [],
    byDefault: "audit",
    via: "http1",
    proven: "own",
    expected: "allowed",
  },

  // Precedence.
  ...everyWay("what an Allow names is let in", {
    policies: [spec("Allow", WEB4)],
    expected: "allowed",
    by: "p0",
  }),
  ...everyWay("once an Allow targets a port, what none allows is denied", {
    policies: [spec("Allow", WEB4)],
    client: "other",
    expected: "denied",
    by: "not-allowed",
  }),
  ...everyWay("a Deny beats an Allow", {
    policies: [spec("Allow", ANY), spec("Deny", WEB4)],
    expected: "denied",
    by: "p1",
  }),
  {
    name: "a Deny leaves alone whom it does not name",
    policies: [spec("Deny", WEB4)],
    client: "other",
    via: "http1",
    expected: "allowed",
  },
  {
    name: "any of several Allows is enough",
    policies: [spec("Allow", "from: [{ networks: [192.0.2.0/24] }]"), spec("Allow", WEB4)],
    via: "http2",
    expected: "allowed",
    by: "p1",
  },
  {
    name: "an Allow overrides the default deny",
    policies: [spec("Allow", WEB4)],
    byDefault: "deny",
    via: "http1",
    expected: "allowed",
  },
  ...everyWay("an Audit counts and lets through", {
    policies: [spec("Audit", WEB4)],
    expected: "allowed",
    audited: true,
  }),
  {
    name: "an Audit does not keep a Deny from refusing, and counts",
    policies: [spec("Audit", WEB4), spec("Deny", WEB4)],
    via: "http1",
    expected: "denied",
    audited: true,
  },
  {
    name: "an Audit alone makes no port a targeted one",
    policies: [spec("Audit", WEB4)],
    client: "other",
    via: "http1",
    expected: "allowed",
  },

  // Targets and ports.
  {
    name: "a policy for a port by its number leaves the others alone",
    policies: [spec("Deny", ANY, `${API}, ports: [8080]`)],
    via: "http1",
    expected: "allowed",
  },
  {
    name: "a policy for a port by its number holds there",
    policies: [spec("Deny", ANY, `${API}, ports: [8080]`)],
    via: "grpc",
    expected: "denied",
  },
  {
    name: "a policy for a port by its name holds there",
    policies: [spec("Deny", ANY, `${API}, ports: [raw]`)],
    via: "tcp",
    expected: "denied",
  },
  {
    name: "an Allow on one port leaves another to the default policy",
    policies: [spec("Allow", "from: [{ networks: [192.0.2.0/24] }]", `${API}, ports: [grpc]`)],
    via: "http1",
    expected: "allowed",
    by: "all-unauthenticated",
  },
  {
    name: "a policy on the namespace holds for its pods",
    policies: [spec("Deny", ANY, "kind: Namespace")],
    via: "http1",
    expected: "denied",
  },
  {
    name: "a policy on the pod holds",
    policies: [spec("Deny", ANY, "kind: Pod, name: api")],
    via: "http2",
    expected: "denied",
  },
  {
    name: "a policy on the ReplicaSet holds",
    policies: [spec("Deny", ANY, "kind: ReplicaSet, name: api-1")],
    via: "http2",
    expected: "denied",
  },
  {
    name: "a policy on another workload does not",
    policies: [spec("Deny", ANY, "kind: StatefulSet, name: api")],
    via: "http1",
    expected: "allowed",
  },

  // Clients.
  {
    name: "a network of IPv6 holds for IPv6",
    policies: [spec("Deny", "from: [{ networks: [$WEB6/128] }]")],
    family: 6,
    via: "http1",
    expected: "denied",
  },
  {
    name: "a network of IPv6 says nothing of IPv4",
    policies: [spec("Deny", "from: [{ networks: ['::/0'] }]")],
    via: "http1",
    expected: "allowed",
  },
  {
    name: "an IPv4-mapped network means IPv4",
    policies: [spec("Deny", "from: [{ networks: ['::ffff:$WEB4/128'] }]")],
    via: "tcp",
    expected: "denied",
  },
  {
    name: "any of several clients of a rule is enough",
    policies: [spec("Allow", "from: [{ namespaces: [elsewhere] }, { networks: [$WEB4/32] }]")],
    via: "http1",
    expected: "allowed",
  },
  {
    name: "* means whoever proves an identity, and nobody else",
    policies: [spec("Allow", "from: [{ identities: ['*'] }]")],
    via: "http1",
    expected: "denied",
  },
  {
    name: "* means whoever proves an identity of the trust domain",
    policies: [spec("Allow", "from: [{ identities: ['*'] }]")],
    via: "http1",
    proven: "own",
    expected: "allowed",
  },
  {
    name: "* does not mean an identity of another trust domain",
    policies: [spec("Allow", "from: [{ identities: ['*'] }]")],
    via: "http1",
    proven: "foreign",
    expected: "denied",
  },
  {
    name: "a service account is told by what it proves",
    policies: [spec("Allow", "from: [{ serviceAccounts: [lab/web] }]")],
    via: "grpc",
    proven: "own",
    expected: "allowed",
  },
  {
    name: "a service account is not told by an address",
    policies: [spec("Allow", "from: [{ serviceAccounts: [lab/web] }]")],
    via: "grpc",
    expected: "denied",
  },
  {
    name: "a namespace means its own identities, not those that begin alike",
    policies: [spec("Allow", "from: [{ namespaces: [la] }]")],
    via: "http1",
    proven: "own",
    expected: "denied",
  },
  {
    name: "a SPIFFE id with a star means all that begin so",
    policies: [spec("Allow", "from: [{ identities: ['spiffe://cluster.local/ns/lab/*'] }]")],
    via: "tcp",
    proven: "own",
    expected: "allowed",
  },
  {
    name: "a Deployment that shares its service account is let in from its own pods",
    policies: [spec("Allow", "from: [{ deployments: [lab/web] }]")],
    via: "http1",
    proven: "own",
    expected: "allowed",
  },
  {
    name: "a Deployment that shares its service account does not let in the other",
    policies: [spec("Allow", "from: [{ deployments: [lab/web] }]")],
    via: "http1",
    client: "other",
    proven: "own",
    expected: "denied",
  },
  {
    name: "a Deployment's address alone proves nothing",
    policies: [spec("Allow", "from: [{ deployments: [lab/web] }]")],
    via: "http1",
    expected: "denied",
  },

  // Requests.
  {
    name: "client and request must both match",
    policies: [spec("Allow", `${WEB4}, ${methods("GET")}`)],
    client: "other",
    via: "http1",
    expected: "denied",
  },
  {
    name: "a method that is allowed",
    policies: [spec("Allow", methods("GET"))],
    via: "http1",
    expected: "allowed",
  },
  {
    name: "a method that is not allowed",
    policies: [spec("Allow", methods("GET"))],
    via: "http1",
    method: "POST",
    expected: "denied",
  },
  {
    name: "a method in odd case is not the method that is allowed",
    policies: [spec("Allow", methods("GET"))],
    via: "http1",
    method: "Get",
    expected: "denied",
  },
  {
    name: "a method in odd case does not slip past a Deny",
    policies: [spec("Deny", methods("DELETE"))],
    via: "http1",
    method: "delete",
    expected: "denied",
  },
  {
    name: "a method in odd case does not slip past a Deny, http2",
    policies: [spec("Deny", methods("DELETE"))],
    via: "http2",
    method: "dELETE",
    expected: "denied",
  },
  {
    name: "method and path of one entry must both match",
    policies: [spec("Allow", "to: [{ methods: [POST], paths: [/a] }, { methods: [GET], paths: [/b] }]")],
    via: "http1",
    path: "/a",
    expected: "denied",
  },
  {
    name: "a gRPC method by its path",
    policies: [spec("Allow", paths("/shop.v1.Votes/*"))],
    via: "grpc",
    method: "POST",
    path: "/shop.v1.Votes/Vote",
    expected: "allowed",
  },
  {
    name: "another gRPC service is denied",
    policies: [spec("Allow", paths("/shop.v1.Votes/*"))],
    via: "grpc",
    method: "POST",
    path: "/shop.v1.Admin/Drop",
    expected: "denied",
  },
  {
    name: "the longest of several paths decides nothing by its length: the Deny wins",
    policies: [spec("Allow", paths("/a/b/*")), spec("Deny", paths("/a/*"))],
    via: "http1",
    path: "/a/b/c",
    expected: "denied",
  },

  // Connections that are not HTTP.
  {
    name: "an Allow of requests lets no connection in that is not HTTP",
    policies: [spec("Allow", paths("/public/*"))],
    via: "tcp",
    expected: "denied",
  },
  {
    name: "a Deny of requests refuses a connection in which they could be hidden",
    policies: [DENY_ADMIN],
    via: "tcp",
    expected: "denied",
    by: "p0",
  },
  {
    name: "a Deny of requests of others leaves the connection alone",
    policies: [spec("Deny", `${WEB4}, ${paths("/admin")}`)],
    client: "other",
    via: "tcp",
    expected: "allowed",
  },

  // The normal form of paths.
  path("/admin", "denied", [DENY_ADMIN], "p0"),
  path("/admin?x=/public", "denied"),
  path("/admin/", "denied"),
  path("/admin/users", "denied"),
  path("/administrator", "allowed"),
  path("/%61dmin", "denied", [DENY_ADMIN], "p0"),
  path("/public/../admin", "denied"),
  path("/public/%2e%2e/admin", "denied"),
  path("/./admin", "denied"),
  path("//admin", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/public//x", "allowed"),
  path("/x%2fadmin", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/x\\admin", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/x%5cadmin", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/admin;v=1", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/admin%00", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/admin.", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/%2561dmin", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/%zz", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/%c0%afadmin", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/admin/../public", "denied", [DENY_ADMIN], "ambiguous-path"),
  path("/a/../public", "allowed"),
  path("/public/x", "allowed", [ALLOW_PUBLIC], "p0"),
  path("/public/a/../x", "allowed", [ALLOW_PUBLIC]),
  path("/public", "denied", [ALLOW_PUBLIC]),
  path("/public/../secret", "denied", [ALLOW_PUBLIC]),
  path("/secret/../public/x", "denied", [ALLOW_PUBLIC], "ambiguous-path"),
  path("/secret", "denied", [ALLOW_PUBLIC], "not-allowed"),
  {
    name: "an absolute target is judged by its path",
    policies: [DENY_ADMIN],
    via: "http1",
    path: "http://api/admin/x",
    expected: "denied",
  },
  {
    name: "a path that can be read in two ways passes where no rule is about paths",
    policies: [spec("Allow", methods("GET"))],
    via: "http1",
    path: "/x%2fadmin",
    expected: "allowed",
  },
  { name: "a path of HTTP/2", policies: [DENY_ADMIN], via: "http2", path: "/%61dmin/x", expected: "denied" },
  {
    name: "a path of HTTP/2 that can be read in two ways",
    policies: [DENY_ADMIN],
    via: "http2",
    path: "/x;admin",
    expected: "denied",
  },
  {
    name: "a host beside another :authority is malformed",
    policies: [],
    via: "http2",
    wrongHost: true,
    expected: "malformed",
  },

  // Probes.
  {
    name: "the kubelet's probe is let in on the declared path",
    policies: [],
    byDefault: "deny",
    via: "http1",
    path: "/healthz",
    expected: "allowed",
    by: "probe",
  },
  {
    name: "a probe's path is let in before a Deny",
    policies: [spec("Deny", ANY)],
    via: "http1",
    path: "/healthz",
    expected: "allowed",
  },
  {
    name: "below a probe's path nothing is let in",
    policies: [],
    byDefault: "deny",
    via: "http1",
    path: "/healthz/x",
    expected: "denied",
  },
  {
    name: "a probe is a GET",
    policies: [],
    byDefault: "deny",
    via: "http1",
    method: "POST",
    path: "/healthz",
    expected: "denied",
  },
  {
    name: "a probe's path on another port is none",
    policies: [],
    byDefault: "deny",
    via: "http2",
    path: "/healthz",
    expected: "denied",
  },
  {
    name: "a gRPC probe asks the health service",
    policies: [],
    byDefault: "deny",
    via: "grpc",
    method: "POST",
    path: "/grpc.health.v1.Health/Check",
    expected: "allowed",
    by: "probe",
  },
  {
    name: "a gRPC probe does not watch",
    policies: [],
    byDefault: "deny",
    via: "grpc",
    method: "POST",
    path: "/grpc.health.v1.Health/Watch",
    expected: "denied",
  },
]
