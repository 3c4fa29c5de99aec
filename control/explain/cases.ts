// Situations that people meet, each as manifests, a call, and what explaining it must name: the step that decides, the object,
// and what the caller sees. One table; explain_call_test.ts asks each.
import type { CertificateState } from "../../protos/mod.ts"
import type { Question, StepName } from "./mod.ts"

/** A situation. */
export interface ExplainCase {
  readonly name: string
  /** Objects beside SHOP, or in the place of those of the same kind, namespace and name; null-valued keys remove one. */
  readonly objects?: readonly object[]
  /** `Kind/namespace/name` of objects of SHOP that are not there. */
  readonly without?: readonly string[]
  readonly from?: Partial<Question["from"]>
  readonly to?: Partial<Question["to"]>
  readonly ask?: Partial<Pick<Question, "protocol" | "method" | "path">> & {
    readonly headers?: Readonly<Record<string, string>>
  }
  /** Certificates that do not hold, by `namespace/pod`. */
  readonly certificates?: Readonly<Record<string, CertificateState>>
  /** The step that decides, how, and what it names. */
  readonly step: StepName
  readonly outcome: "ok" | "warn" | "fail" | "none"
  /** `Kind namespace/name field`, or "" for none. */
  readonly object: string
  /** Words of what it says. */
  readonly says?: RegExp
  /** Words of what would change it. */
  readonly change?: RegExp
  /** Words of its details. */
  readonly details?: RegExp
  /** Words of its notes, each a line: its text, ` at `, and its object. */
  readonly notes?: RegExp
  /** Share that an application answers. Default 1. */
  readonly answered?: number
  readonly status?: number
  readonly error?: string
}

/** A pod of a Deployment (or what `owner` says), meshed and ready unless told otherwise. */
export interface PodOptions {
  readonly namespace?: string
  readonly meshed?: boolean
  readonly ready?: boolean
  readonly annotations?: Readonly<Record<string, string>>
  readonly labels?: Readonly<Record<string, string>>
  readonly hostNetwork?: boolean
  readonly owner?: "Deployment" | "StatefulSet"
  readonly account?: string
}

/** A workload with one pod. */
export function workload(name: string, pod: string, ip: string, options: PodOptions = {}): object[] {
  const { namespace = "shop", meshed = true, ready = true, owner = "Deployment", account = name } = options
  const { annotations = {}, labels = {}, hostNetwork = false } = options
  return [
    { apiVersion: "apps/v1", kind: owner, metadata: { name, namespace }, spec: { template: {} } },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: {
        name: pod,
        namespace,
        annotations,
        labels: { app: name, ...labels, ...(meshed ? { "conduit.io/control-plane-ns": "conduit" } : {}) },
        ownerReferences: [{ apiVersion: "apps/v1", kind: owner, name, controller: true }],
      },
      spec: {
        serviceAccountName: account,
        hostNetwork,
        containers: [
          { name: "app", ports: [{ name: "http", containerPort: 8080 }] },
          ...(meshed ? [{ name: "conduit-proxy" }] : []),
        ],
      },
      status: {
        podIP: ip,
        phase: "Running",
        conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
      },
    },
  ]
}

/** A Service. */
export function service(name: string, ip: string, spec: object = {}, annotations: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop", annotations },
    spec: {
      clusterIP: ip,
      selector: { app: name },
      ports: [{ name: "http", port: 80, targetPort: "http" }],
      ...spec,
    },
  }
}

/** An HTTPRoute of Service cart, or another kind. */
export function route(
  name: string,
  rules: readonly object[],
  namespace = "shop",
  kind = "HTTPRoute",
): object {
  const parent = { group: "", kind: "Service", name: "cart", namespace: "shop", port: 80 }
  return {
    apiVersion: "gateway.networking.k8s.io/v1",
    kind,
    metadata: { name, namespace },
    spec: { parentRefs: [parent], rules },
  }
}

/** A policy on Deployment cart. */
export function policy(name: string, action: string, rules: readonly object[]): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name, namespace: "shop" },
    spec: { target: { kind: "Deployment", name: "cart" }, action, rules },
  }
}

/** Rate limits on a Deployment. */
export function limited(
  name: string,
  limits: readonly object[],
  deployment = "cart",
  ports?: readonly string[],
): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "RateLimitPolicy",
    metadata: { name, namespace: "shop" },
    spec: {
      target: { kind: "Deployment", name: deployment, ...(ports === undefined ? {} : { ports }) },
      limits,
    },
  }
}

/** What Deployment web may call outside. */
export function egress(name: string, action: string, rules: readonly object[]): object {
  return {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "EgressPolicy",
    metadata: { name, namespace: "shop" },
    spec: { target: { kind: "Deployment", name: "web" }, action, rules },
  }
}

const CONFIG = "config.conduit.io/"
const prefix = (value: string) => ({ path: { type: "PathPrefix", value } })
const namespace = (name: string, annotations: object = {}) => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, annotations },
})

/** What stands where a case says nothing else: web calls cart, and other is beside them. */
export const SHOP: readonly object[] = [
  namespace("shop"),
  namespace("desk"),
  ...workload("web", "web-1", "10.0.0.1"),
  ...workload("cart", "cart-1", "10.0.0.2"),
  ...workload("other", "other-1", "10.0.0.3"),
  ...workload("clerk", "clerk-1", "10.0.0.9", { namespace: "desk" }),
  service("cart", "10.96.0.1"),
  service("other", "10.96.0.2"),
]

/** The situations. */
export const CASES: readonly ExplainCase[] = [
  {
    name: "all is well",
    step: "policy",
    outcome: "ok",
    object: "",
    says: /default policy "all-unauthenticated"/,
    change: /AuthorizationPolicy with action Allow that targets Deployment shop\/cart/,
  },
  {
    name: "all is well: both sides prove who they are",
    step: "identity",
    outcome: "ok",
    object: "Deployment shop/web",
    says: /web\.shop\.serviceaccount.*cart\.shop\.serviceaccount/s,
  },
  // ---- name and Service ----
  {
    name: "an unknown Service, nearly that of another name",
    to: { host: "carts" },
    step: "name",
    outcome: "fail",
    object: "Service shop/carts",
    says: /no Service "carts" in namespace "shop"/,
    change: /did you mean cart\?/,
    answered: 0,
  },
  {
    name: "a Service of another namespace, called by its short name",
    from: { namespace: "desk", name: "clerk" },
    to: { host: "cart" },
    step: "name",
    outcome: "fail",
    object: "Service desk/cart",
    change: /namespace shop: call cart\.shop/,
    answered: 0,
  },
  {
    name: "a port that the Service lacks, which its pods have",
    to: { host: "cart.shop.svc.cluster.local", port: "8081" },
    objects: [service("cart", "10.96.0.1", { ports: [{ name: "http", port: 80, targetPort: 8081 }] })],
    step: "service",
    outcome: "fail",
    object: "Service shop/cart spec.ports",
    says: /no TCP port 8081.*80 \(http\)/s,
    change: /clients call 80/,
    answered: 0,
    status: 502,
    error: "connect-failed",
  },
  {
    name: "no port named where there are several",
    objects: [
      service("cart", "10.96.0.1", {
        ports: [
          { name: "http", port: 80, targetPort: "http" },
          { name: "admin", port: 90 },
        ],
      }),
    ],
    step: "service",
    outcome: "warn",
    object: "Service shop/cart spec.ports[0]",
    says: /no port was named/,
  },
  {
    name: "a headless Service",
    objects: [service("cart", "None", { ports: [{ name: "http", port: 8080 }] })],
    step: "service",
    outcome: "ok",
    object: "Service shop/cart spec.clusterIP",
    says: /headless.*routes and retries do not apply/s,
  },
  {
    name: "a headless Service whose targetPort is another: clients connect to the port they typed",
    objects: [service("cart", "None")],
    step: "service",
    outcome: "warn",
    object: "Service shop/cart spec.clusterIP",
    says: /targetPort http does not count/,
  },
  {
    name: "a pod of a StatefulSet by its own name",
    objects: [
      ...workload("db", "db-0", "10.0.0.4", { owner: "StatefulSet" }),
      ...workload("db", "db-1", "10.0.0.5", { owner: "StatefulSet" }),
      service("db", "None", { ports: [{ name: "http", port: 8080 }] }),
    ],
    to: { host: "db-1.db.shop.svc.cluster.local" },
    step: "name",
    outcome: "ok",
    object: "Pod shop/db-1",
  },
  {
    name: "a pod of a StatefulSet that is not there",
    objects: [
      ...workload("db", "db-0", "10.0.0.4", { owner: "StatefulSet" }),
      service("db", "None", { ports: [{ name: "http", port: 8080 }] }),
    ],
    to: { host: "db-7.db" },
    step: "name",
    outcome: "fail",
    object: "Pod shop/db-7",
    answered: 0,
  },
  {
    name: "an ExternalName Service",
    objects: [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "cart", namespace: "shop" },
        spec: { type: "ExternalName", externalName: "cart.example.com" },
      },
    ],
    step: "service",
    outcome: "ok",
    object: "Service shop/cart spec.externalName",
    says: /cart\.example\.com/,
  },
  {
    name: "a host outside of the cluster",
    to: { host: "api.example.com", port: "443" },
    step: "identity",
    outcome: "none",
    object: "",
    says: /outside of the mesh/,
  },
  {
    name: "a Deployment that no Service selects",
    without: ["Service/shop/other"],
    to: { host: "", kind: "deployment", name: "other" },
    step: "name",
    outcome: "warn",
    object: "Deployment shop/other",
    says: /no Service selects/,
  },
  {
    name: "a cluster IP instead of a name",
    to: { host: "10.96.0.2" },
    step: "name",
    outcome: "ok",
    object: "Service shop/other spec.clusterIP",
  },
  {
    name: "the caller's own loopback address",
    to: { host: "localhost", port: "8080" },
    step: "endpoints",
    outcome: "ok",
    object: "Deployment shop/web",
    says: /own containers/,
  },
  {
    name: "an ExternalName Service that stands for a Service of the cluster",
    objects: [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: "basket", namespace: "shop" },
        spec: { type: "ExternalName", externalName: "cart.shop.svc.cluster.local" },
      },
    ],
    to: { host: "basket" },
    step: "service",
    outcome: "ok",
    object: "Service shop/cart spec.ports[0]",
    details: /Service shop\/basket is another name of cart\.shop\.svc\.cluster\.local/,
  },
  {
    name: "a port of a Service that is UDP",
    objects: [
      service("cart", "10.96.0.1", {
        ports: [
          { name: "http", port: 80, targetPort: "http" },
          { name: "dns", port: 53, protocol: "UDP" },
        ],
      }),
    ],
    to: { host: "cart", port: "dns" },
    step: "service",
    outcome: "fail",
    object: "Service shop/cart spec.ports",
    says: /is UDP, which the mesh does not carry/,
    answered: 0,
    status: 502,
    error: "connect-failed",
  },
  {
    name: "a port that the Service lacks, called past the mesh",
    objects: workload("web", "web-1", "10.0.0.1", { meshed: false }),
    to: { host: "cart", port: "8081" },
    step: "service",
    outcome: "fail",
    object: "Service shop/cart spec.ports",
    answered: 0,
  },
  // ---- protocol ----
  {
    name: "an opaque port of the Service",
    objects: [service("cart", "10.96.0.1", {}, { [`${CONFIG}opaque-ports`]: "80" })],
    ask: { path: "/items" },
    step: "protocol",
    outcome: "warn",
    object: 'Service shop/cart metadata.annotations["config.conduit.io/opaque-ports"]',
    says: /bytes are relayed/,
    change: /opaque-ports/,
  },
  {
    name: "an opaque port of the namespace",
    objects: [namespace("shop", { [`${CONFIG}opaque-ports`]: "80" })],
    step: "protocol",
    outcome: "ok",
    object: 'Namespace shop metadata.annotations["config.conduit.io/opaque-ports"]',
  },
  {
    name: "appProtocol says HTTP/2, and the call is HTTP/1",
    objects: [
      service("cart", "10.96.0.1", {
        ports: [{ port: 80, targetPort: 8080, appProtocol: "kubernetes.io/h2c" }],
      }),
    ],
    ask: { protocol: "http1" },
    step: "protocol",
    outcome: "warn",
    object: "Service shop/cart spec.ports[0].appProtocol",
    says: /the call is HTTP\/1, and the port says HTTP\/2/,
  },
  // ---- routes ----
  {
    name: "a route matches another rule than the one meant",
    objects: [
      route("cart", [
        { matches: [prefix("/")], backendRefs: [{ name: "cart", port: 80 }] },
        { matches: [prefix("/items")], backendRefs: [{ name: "other", port: 80 }] },
      ]),
    ],
    ask: { path: "/items/7" },
    step: "route",
    outcome: "ok",
    object: "HTTPRoute shop/cart spec.rules[1]",
    says: /path below \/items takes GET \/items\/7/,
    change: /without this rule HTTPRoute shop\/cart spec\.rules\[0\] would take it/,
  },
  {
    name: "no rule matches",
    objects: [
      route("cart", [
        { matches: [{ ...prefix("/items"), method: "POST" }], backendRefs: [{ name: "cart", port: 80 }] },
      ]),
    ],
    ask: { path: "/items/7" },
    step: "route",
    outcome: "fail",
    object: "HTTPRoute shop/cart spec.rules[0].matches",
    change: /wants method POST/,
    answered: 0,
    status: 404,
    error: "no-route",
  },
  {
    name: "no rule matches: the one that lacks least is named",
    objects: [
      route("cart", [
        { matches: [{ ...prefix("/items"), method: "POST" }], backendRefs: [{ name: "cart", port: 80 }] },
        {
          matches: [{ ...prefix("/"), headers: [{ name: "x-canary", value: "yes" }] }],
          backendRefs: [{ name: "cart", port: 80 }],
        },
        { matches: [{ ...prefix("/none"), method: "PUT" }], backendRefs: [{ name: "cart", port: 80 }] },
      ]),
    ],
    step: "route",
    outcome: "fail",
    object: "HTTPRoute shop/cart spec.rules[1].matches",
    change: /wants header x-canary: yes/,
    answered: 0,
    status: 404,
    error: "no-route",
  },
  {
    name: "a header decides between rules",
    objects: [
      route("cart", [
        { matches: [prefix("/")], backendRefs: [{ name: "cart", port: 80 }] },
        {
          matches: [{ ...prefix("/"), headers: [{ name: "x-canary", value: "yes" }] }],
          backendRefs: [{ name: "other", port: 80 }],
        },
      ]),
    ],
    ask: { headers: { "x-canary": "yes" } },
    step: "route",
    outcome: "ok",
    object: "HTTPRoute shop/cart spec.rules[1]",
    says: /header x-canary: yes/,
  },
  {
    name: "a redirect is answered by the proxy",
    objects: [
      route("cart", [
        {
          matches: [prefix("/")],
          filters: [
            {
              type: "RequestRedirect",
              requestRedirect: { scheme: "https", hostname: "example.com", statusCode: 301 },
            },
          ],
        },
      ]),
    ],
    ask: { path: "/a" },
    step: "route",
    outcome: "ok",
    object: "HTTPRoute shop/cart spec.rules[0]",
    says: /301 to https:\/\/example\.com\/a/,
    answered: 0,
    status: 301,
  },
  {
    name: "a rewrite changes the path that policy sees",
    objects: [
      route("cart", [
        {
          matches: [prefix("/v2")],
          filters: [
            {
              type: "URLRewrite",
              urlRewrite: { path: { type: "ReplacePrefixMatch", replacePrefixMatch: "/" } },
            },
          ],
          backendRefs: [{ name: "cart", port: 80 }],
        },
      ]),
      policy("v2", "Deny", [{ to: [{ paths: ["/items"] }] }]),
    ],
    ask: { path: "/v2/items" },
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/v2 spec.rules[0]",
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "timeouts and retries of a rule",
    objects: [
      route("cart", [
        {
          matches: [prefix("/")],
          backendRefs: [{ name: "cart", port: 80 }],
          timeouts: { request: "2s", backendRequest: "500ms" },
          retry: { codes: [503], attempts: 2 },
        },
      ]),
    ],
    step: "route",
    outcome: "ok",
    object: "HTTPRoute shop/cart spec.rules[0]",
    details: /request 2000 ms, attempt 500 ms.*up to 2 on 503/s,
  },
  {
    name: "timeouts and retries of the Service's annotations",
    objects: [
      service(
        "cart",
        "10.96.0.1",
        {},
        { "retry.conduit.io/http": "5xx", "timeout.conduit.io/request": "3s" },
      ),
    ],
    step: "route",
    outcome: "ok",
    object: "Service shop/cart metadata.annotations",
    details: /request 3000 ms.*retries: up to 1 on 500/s,
  },
  {
    name: "the producer's route is put aside by one of the caller's namespace",
    objects: [
      route("cart", [{ matches: [prefix("/")], backendRefs: [{ name: "cart", port: 80 }] }]),
      route(
        "cart",
        [{ matches: [prefix("/")], backendRefs: [{ name: "other", namespace: "shop", port: 80 }] }],
        "desk",
      ),
    ],
    from: { namespace: "desk", name: "clerk" },
    to: { host: "cart.shop" },
    step: "route",
    outcome: "ok",
    object: "HTTPRoute desk/cart spec.rules[0]",
    details: /HTTPRoute shop\/cart is not asked: a route of the caller's own namespace counts instead/,
  },
  {
    name: "a route of another namespace is none of this caller's",
    objects: [
      route(
        "cart",
        [{ matches: [prefix("/")], backendRefs: [{ name: "other", namespace: "shop", port: 80 }] }],
        "desk",
      ),
    ],
    step: "route",
    outcome: "ok",
    object: "Service shop/cart",
    details: /HTTPRoute desk\/cart is not asked: it is for callers of its own namespace only/,
  },
  {
    name: "a GRPCRoute takes gRPC",
    objects: [
      route(
        "cart",
        [
          {
            matches: [{ method: { service: "shop.Cart", method: "Add" } }],
            backendRefs: [{ name: "cart", port: 80 }],
          },
        ],
        "shop",
        "GRPCRoute",
      ),
    ],
    ask: { protocol: "grpc", path: "/shop.Cart/Add" },
    step: "route",
    outcome: "ok",
    object: "GRPCRoute shop/cart spec.rules[0]",
  },
  {
    name: "a GRPCRoute takes nothing else",
    objects: [route("cart", [{ backendRefs: [{ name: "cart", port: 80 }] }], "shop", "GRPCRoute")],
    step: "route",
    outcome: "fail",
    object: "GRPCRoute shop/cart spec.rules[0].matches",
    says: /GRPCRoutes, which take gRPC requests only/,
    answered: 0,
    status: 404,
    error: "no-route",
  },
  // ---- backends ----
  {
    name: "a backend that does not exist takes its share",
    objects: [
      route("cart", [
        {
          matches: [prefix("/")],
          backendRefs: [
            { name: "cart", port: 80, weight: 3 },
            { name: "gone", port: 80, weight: 1 },
          ],
        },
      ]),
    ],
    step: "backends",
    outcome: "warn",
    object: "HTTPRoute shop/cart spec.rules[0].backendRefs[1]",
    says: /there is no Service "gone"/,
    answered: 0.75,
    status: 500,
    error: "no-backend",
  },
  {
    name: "every weight is zero",
    objects: [
      route("cart", [{ matches: [prefix("/")], backendRefs: [{ name: "cart", port: 80, weight: 0 }] }]),
    ],
    step: "backends",
    outcome: "fail",
    object: "HTTPRoute shop/cart spec.rules[0].backendRefs",
    says: /every weight is 0/,
    answered: 0,
    status: 500,
    error: "no-backend",
  },
  {
    name: "a backend in a third namespace without ReferenceGrant",
    objects: [
      { ...service("far", "10.96.0.8"), metadata: { name: "far", namespace: "desk" } },
      route("cart", [
        { matches: [prefix("/")], backendRefs: [{ name: "far", namespace: "desk", port: 80 }] },
      ]),
    ],
    step: "backends",
    outcome: "fail",
    object: "HTTPRoute shop/cart spec.rules[0].backendRefs[0]",
    change: /a ReferenceGrant in namespace "desk"/,
    answered: 0,
    status: 500,
    error: "no-backend",
  },
  {
    name: "traffic is split",
    objects: [
      route("cart", [
        {
          matches: [prefix("/")],
          backendRefs: [
            { name: "cart", port: 80, weight: 9 },
            { name: "other", port: 80, weight: 1 },
          ],
        },
      ]),
    ],
    step: "backends",
    outcome: "ok",
    object: "HTTPRoute shop/cart spec.rules[0].backendRefs",
    says: /90 % to Service shop\/cart:80, 10 % to Service shop\/other:80/,
  },
  // ---- endpoints ----
  {
    name: "the selector matches nothing",
    objects: [service("cart", "10.96.0.1", { selector: { app: "cart", tier: "back" } })],
    step: "endpoints",
    outcome: "fail",
    object: "Service shop/cart spec.selector",
    says: /has the labels app=cart,tier=back/,
    change: /pod shop\/cart-1 comes nearest: it has no label tier/,
    answered: 0,
    status: 503,
    error: "no-endpoint",
  },
  {
    name: "the selector matches nothing: the pod that lacks least is named",
    objects: [
      service("cart", "10.96.0.1", { selector: { app: "cart", tier: "back", zone: "a" } }),
      ...workload("other", "other-1", "10.0.0.3", { labels: { tier: "back", zone: "a" } }),
    ],
    step: "endpoints",
    outcome: "fail",
    object: "Service shop/cart spec.selector",
    change: /pod shop\/other-1 comes nearest: its label app is other, not cart/,
    answered: 0,
    status: 503,
    error: "no-endpoint",
  },
  {
    name: "no pod at all",
    objects: [service("empty", "10.96.0.7")],
    to: { host: "empty" },
    step: "endpoints",
    outcome: "fail",
    object: "Service shop/empty spec.selector",
    answered: 0,
    status: 503,
    error: "no-endpoint",
  },
  {
    name: "no pod is ready",
    objects: workload("cart", "cart-1", "10.0.0.2", { ready: false }),
    step: "endpoints",
    outcome: "fail",
    object: "Pod shop/cart-1 status.conditions",
    says: /none of its 1 pod is ready/,
    change: /kubectl describe pod cart-1 -n shop/,
    answered: 0,
    status: 503,
    error: "no-endpoint",
  },
  {
    name: "targetPort is the name of no port",
    objects: [service("cart", "10.96.0.1", { ports: [{ name: "http", port: 80, targetPort: "web" }] })],
    step: "endpoints",
    outcome: "fail",
    object: "Service shop/cart spec.ports[0].targetPort",
    change: /targetPort: http/,
    answered: 0,
    status: 503,
    error: "no-endpoint",
  },
  {
    name: "targetPort is a number that no container declares",
    objects: [service("cart", "10.96.0.1", { ports: [{ name: "http", port: 80, targetPort: 9999 }] })],
    step: "endpoints",
    outcome: "warn",
    object: "Service shop/cart spec.ports",
    says: /no container declares port 9999.*declares 8080/s,
  },
  {
    name: "a Service without selector, for which nobody wrote endpoints",
    objects: [{ ...service("cart", "10.96.0.1"), spec: { clusterIP: "10.96.0.1", ports: [{ port: 80 }] } }],
    step: "endpoints",
    outcome: "fail",
    object: "Service shop/cart spec.selector",
    says: /nobody wrote EndpointSlices/,
    answered: 0,
    status: 503,
    error: "no-endpoint",
  },
  {
    name: "circuit settings",
    objects: [service("cart", "10.96.0.1", {}, { "balancer.conduit.io/failure-accrual": "consecutive" })],
    step: "endpoints",
    outcome: "ok",
    object: "Service shop/cart spec.selector",
    details: /after 7 failures in a row an endpoint is left out for 1000 ms/,
  },
  // ---- identity ----
  {
    name: "the caller is not meshed",
    objects: workload("web", "web-1", "10.0.0.1", { meshed: false }),
    step: "identity",
    outcome: "warn",
    object: "Deployment shop/web",
    says: /plaintext.*pod shop\/web-1 has no proxy/s,
    change: /conduit\.io\/inject: enabled/,
  },
  {
    name: "routes are not asked for a caller that is not meshed",
    objects: [
      ...workload("web", "web-1", "10.0.0.1", { meshed: false }),
      route("cart", [{ matches: [prefix("/none")], backendRefs: [{ name: "cart", port: 80 }] }]),
    ],
    step: "route",
    outcome: "warn",
    object: "Deployment shop/web",
    says: /its 1 rule of routes are not asked/,
  },
  {
    name: "the called side is not meshed",
    objects: workload("cart", "cart-1", "10.0.0.2", { meshed: false }),
    step: "identity",
    outcome: "warn",
    object: "Deployment shop/cart",
    says: /plaintext to 1 of 1 endpoint/,
  },
  {
    name: "policies of a workload that is not meshed are not enforced",
    objects: [
      ...workload("cart", "cart-1", "10.0.0.2", { meshed: false }),
      policy("none", "Deny", [{ from: [{ namespaces: ["shop"] }] }]),
    ],
    step: "policy",
    outcome: "warn",
    object: "AuthorizationPolicy shop/none",
    says: /is not enforced/,
  },
  {
    name: "policies on a port that bypasses the proxy are not enforced",
    objects: [
      ...workload("cart", "cart-1", "10.0.0.2", { annotations: { [`${CONFIG}skip-inbound-ports`]: "8080" } }),
      policy("none", "Deny", [{ from: [{ networks: ["0.0.0.0/0"] }] }]),
    ],
    step: "policy",
    outcome: "warn",
    object: "AuthorizationPolicy shop/none",
    says: /port 8080 bypasses the proxy of pod shop\/cart-1/,
  },
  {
    name: "mutual TLS is required, and the called side is not meshed",
    objects: [
      ...workload("web", "web-1", "10.0.0.1", { annotations: { [`${CONFIG}outbound-mtls`]: "required" } }),
      ...workload("cart", "cart-1", "10.0.0.2", { meshed: false }),
    ],
    step: "identity",
    outcome: "fail",
    object: "Deployment shop/cart",
    details: /outbound-mtls: required/,
    answered: 0,
    status: 502,
    error: "mtls-required",
  },
  {
    name: "a port that bypasses the caller's proxy",
    objects: workload("web", "web-1", "10.0.0.1", {
      annotations: { [`${CONFIG}skip-outbound-ports`]: "80" },
    }),
    step: "identity",
    outcome: "warn",
    object: 'Deployment shop/web spec.template.metadata.annotations["config.conduit.io/skip-outbound-ports"]',
  },
  {
    name: "a port that bypasses the called side's proxy",
    objects: workload("cart", "cart-1", "10.0.0.2", {
      annotations: { [`${CONFIG}skip-inbound-ports`]: "8080" },
    }),
    step: "identity",
    outcome: "warn",
    object: 'Deployment shop/cart spec.template.metadata.annotations["config.conduit.io/skip-inbound-ports"]',
  },
  {
    name: "the called side is on its node's own network",
    objects: workload("cart", "cart-1", "10.0.0.2", { meshed: false, hostNetwork: true }),
    step: "identity",
    outcome: "warn",
    object: "Deployment shop/cart spec.template.spec.hostNetwork",
  },
  {
    name: "the called side's certificate has expired",
    certificates: { "shop/cart-1": 3 },
    step: "identity",
    outcome: "fail",
    object: "Deployment shop/cart",
    says: /its certificate has expired/,
    change: /conduit identity pod\/cart-1 -n shop/,
    answered: 0,
    status: 502,
    error: "connect-failed",
  },
  {
    name: "the caller has no certificate, and falls back to plaintext",
    certificates: { "shop/web-1": 5 },
    objects: [policy("web", "Allow", [{ from: [{ deployments: ["shop/web"] }] }])],
    step: "identity",
    outcome: "warn",
    object: "Deployment shop/web",
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "the caller has no certificate, and mutual TLS is required",
    certificates: { "shop/web-1": 5 },
    objects: workload("web", "web-1", "10.0.0.1", {
      annotations: { [`${CONFIG}outbound-mtls`]: "required" },
    }),
    step: "identity",
    outcome: "fail",
    object: "Deployment shop/web",
    answered: 0,
    status: 502,
    error: "mtls-required",
  },
  {
    name: "a pod calls itself",
    objects: [service("web", "10.96.0.9")],
    to: { host: "web" },
    step: "identity",
    outcome: "none",
    object: "Deployment shop/web",
    says: /calls itself/,
  },
  {
    name: "an address outside of the mesh calls",
    from: { kind: "", name: "", host: "192.0.2.7" },
    to: { host: "cart.shop" },
    step: "policy",
    outcome: "ok",
    object: "",
    details: /the address 192\.0\.2\.7, without identity/,
  },
  // ---- policy ----
  {
    name: "a policy allows others",
    objects: [policy("others", "Allow", [{ from: [{ deployments: ["shop/other"] }] }])],
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/others spec.rules[0]",
    says: /has no rule for this caller/,
    change: /from: deployments: \[shop\/web\]/,
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "a policy allows this caller, and not this method",
    objects: [
      policy("get", "Allow", [{ from: [{ deployments: ["shop/web"] }], to: [{ methods: ["GET"] }] }]),
    ],
    ask: { method: "POST" },
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/get spec.rules[0]",
    change: /add this method to spec\.rules\[0\]\.to/,
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "of the rules that do not allow it the nearest is named",
    objects: [
      policy("get", "Allow", [
        { from: [{ deployments: ["shop/other"] }] },
        { from: [{ deployments: ["shop/web"] }], to: [{ paths: ["/items/*"] }] },
        { from: [{ namespaces: ["desk"] }] },
      ]),
    ],
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/get spec.rules[1]",
    change: /add this path to spec\.rules\[1\]\.to/,
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "a policy denies a path",
    objects: [
      policy("admin", "Deny", [{ from: [{ namespaces: ["desk"] }] }, { to: [{ paths: ["/admin/*"] }] }]),
    ],
    ask: { path: "/admin/users" },
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/admin spec.rules[1]",
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "a policy allows a network, and the caller is outside of it",
    objects: [policy("lan", "Allow", [{ from: [{ networks: ["10.1.0.0/16"] }] }])],
    from: { kind: "", name: "", host: "192.0.2.7" },
    to: { host: "cart.shop" },
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/lan spec.rules[0]",
    change: /networks: \[192\.0\.2\.7\/32\]/,
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "a policy that allows by method allows nothing on an opaque port",
    objects: [
      service("cart", "10.96.0.1", {}, { [`${CONFIG}opaque-ports`]: "80" }),
      policy("get", "Allow", [{ to: [{ methods: ["GET"] }] }]),
    ],
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/get spec.rules[0]",
    says: /rules about requests only/,
    answered: 0,
    status: 0,
    error: "denied",
  },
  {
    name: "requests that a policy denies could hide in TLS of the application's own",
    objects: [policy("admin", "Deny", [{ to: [{ paths: ["/admin/*"] }] }])],
    ask: { protocol: "tls" },
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/admin spec.rules",
    answered: 0,
    error: "denied",
  },
  {
    name: "a path that can be read in two ways is refused where rules tell paths apart",
    objects: [policy("admin", "Deny", [{ to: [{ paths: ["/admin/*"] }] }])],
    ask: { path: "/a;b/x" },
    step: "policy",
    outcome: "fail",
    object: "Deployment shop/cart",
    says: /can be read in different ways/,
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "the default policy denies, said by the pod",
    objects: workload("cart", "cart-1", "10.0.0.2", {
      annotations: { [`${CONFIG}default-inbound-policy`]: "deny" },
    }),
    step: "policy",
    outcome: "fail",
    object:
      'Deployment shop/cart spec.template.metadata.annotations["config.conduit.io/default-inbound-policy"]',
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "the default policy asks for identity, said by the namespace",
    objects: [
      namespace("shop", { [`${CONFIG}default-inbound-policy`]: "all-authenticated" }),
      ...workload("web", "web-1", "10.0.0.1", { meshed: false }),
    ],
    step: "policy",
    outcome: "fail",
    object: 'Namespace shop metadata.annotations["config.conduit.io/default-inbound-policy"]',
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "an audit lets through",
    objects: [policy("watch", "Audit", [{ from: [{ deployments: ["shop/web"] }] }])],
    step: "policy",
    outcome: "warn",
    object: "AuthorizationPolicy shop/watch spec.rules[0]",
    says: /audited by AuthorizationPolicy shop\/watch/,
  },
  {
    name: "one of several endpoints denies",
    objects: [
      ...workload("cart", "cart-2", "10.0.0.6"),
      {
        apiVersion: "policy.conduit.io/v1alpha1",
        kind: "AuthorizationPolicy",
        metadata: { name: "one", namespace: "shop" },
        spec: {
          target: { kind: "Pod", name: "cart-2" },
          action: "Deny",
          rules: [{ from: [{ namespaces: ["shop"] }] }],
        },
      },
    ],
    step: "policy",
    outcome: "warn",
    object: "AuthorizationPolicy shop/one spec.rules[0]",
    answered: 0.5,
    status: 403,
    error: "denied",
  },
  // ---- limits, egress, faults, sessions ----
  {
    name: "a rate limit holds on what is let in, in all and for each caller",
    objects: [
      limited("calm", [
        { name: "all", requests: 100, per: "1s", burst: 200 },
        { requests: 10, per: "1m", by: "Identity" },
      ]),
    ],
    step: "policy",
    outcome: "ok",
    object: "",
    says: /allowed by/,
    notes:
      /at most 100 requests in 1 s \(200 at once\) from all callers together.*429 limited at RateLimitPolicy shop\/calm spec\.limits\[0\]\n.*10 requests in 60 s from spiffe:\/\/cluster\.local\/ns\/shop\/sa\/web .*spec\.limits\[1\]/,
  },
  {
    name: "a rate limit by a header field that the call has, and one that it lacks",
    objects: [
      limited("keys", [
        { requests: 5, per: "1s", by: "Header", header: "x-key" },
        { requests: 5, per: "1s", by: "Header", header: "x-other" },
      ]),
    ],
    ask: { headers: { "x-key": "gold" } },
    step: "policy",
    outcome: "ok",
    object: "",
    notes: /with header x-key: gold[\s\S]*without header x-other, which count together/,
  },
  {
    name: "a rate limit of another port, and one of a workload that is not called",
    objects: [
      limited("admin", [{ requests: 5, per: "1s" }], "cart", ["admin"]),
      limited("far", [{ requests: 5, per: "1s" }], "other"),
    ],
    step: "policy",
    outcome: "ok",
    object: "",
    notes: /^$/,
  },
  {
    name: "what policies deny counts towards no limit",
    objects: [
      policy("nobody", "Deny", [{ from: [{ identities: ["*"] }] }]),
      limited("calm", [{ requests: 5, per: "1s" }]),
    ],
    step: "policy",
    outcome: "fail",
    object: "AuthorizationPolicy shop/nobody spec.rules[0]",
    notes: /^$/,
    answered: 0,
    status: 403,
    error: "denied",
  },
  {
    name: "a rate limit on pods without a proxy is not enforced",
    objects: [
      ...workload("cart", "cart-1", "10.0.0.2", { meshed: false }),
      limited("calm", [{ requests: 5, per: "1s" }]),
    ],
    step: "policy",
    outcome: "warn",
    object: "RateLimitPolicy shop/calm",
    says: /RateLimitPolicy shop\/calm is not enforced/,
  },
  {
    name: "an egress policy allows another host: the call is refused by the caller's own proxy",
    objects: [egress("partners", "Allow", [{ hosts: ["*.partner.com"], ports: [443] }])],
    to: { host: "api.example.com", port: "8080" },
    step: "policy",
    outcome: "fail",
    object: "EgressPolicy shop/partners spec.rules",
    says: /none allows api\.example\.com:8080/,
    change: /hosts: \[api\.example\.com\] and ports: \[8080\]/,
    answered: 0,
    status: 403,
    error: "egress-denied",
  },
  {
    name: "an egress policy denies a host: a connection in TLS is closed",
    objects: [egress("none", "Deny", [{ hosts: ["*.example.com"] }])],
    to: { host: "api.example.com", port: "443" },
    step: "policy",
    outcome: "fail",
    object: "EgressPolicy shop/none spec.rules[0]",
    says: /denied by EgressPolicy shop\/none/,
    answered: 0,
    status: 0,
    error: "egress-denied",
  },
  {
    name: "an egress policy allows the host",
    objects: [egress("partners", "Allow", [{ ports: [25] }, { hosts: ["api.example.com"] }])],
    to: { host: "api.example.com", port: "443" },
    step: "policy",
    outcome: "ok",
    object: "EgressPolicy shop/partners spec.rules[1]",
    says: /allowed by EgressPolicy shop\/partners/,
  },
  {
    name: "an egress policy audits the host",
    objects: [egress("seen", "Audit", [{ hosts: ["*"] }])],
    to: { host: "api.example.com", port: "443" },
    step: "policy",
    outcome: "warn",
    object: "EgressPolicy shop/seen spec.rules[0]",
    says: /audited by EgressPolicy shop\/seen/,
  },
  {
    name: "an egress policy by network, and an address outside of it",
    objects: [egress("lan", "Allow", [{ networks: ["192.0.2.0/24"] }])],
    to: { host: "198.51.100.7", port: "80" },
    step: "policy",
    outcome: "fail",
    object: "EgressPolicy shop/lan spec.rules",
    change: /networks: \[198\.51\.100\.7\/32\]/,
    answered: 0,
    status: 403,
    error: "egress-denied",
  },
  {
    name: "an egress policy on a caller without a proxy is not enforced",
    objects: [
      ...workload("web", "web-1", "10.0.0.1", { meshed: false }),
      egress("none", "Deny", [{ hosts: ["*"] }]),
    ],
    to: { host: "api.example.com", port: "443" },
    step: "policy",
    outcome: "warn",
    object: "EgressPolicy shop/none",
    says: /is not enforced/,
  },
  {
    name: "a Service asks for faults: some requests are answered, some wait",
    objects: [
      service(
        "cart",
        "10.96.0.1",
        {},
        {
          "fault.conduit.io/abort": "503",
          "fault.conduit.io/abort-percent": "25",
          "fault.conduit.io/delay": "2s",
          "fault.conduit.io/delay-percent": "50",
        },
      ),
    ],
    step: "route",
    outcome: "warn",
    object: "Service shop/cart",
    notes:
      /50 % of the requests wait for 2000 ms.*at Service shop\/cart metadata\.annotations\["fault\.conduit\.io\/delay"\]\n25 % of the requests are answered 503/,
    answered: 0.75,
    status: 503,
    error: "fault-injected",
  },
  {
    name: "a Service asks for a fault of every request",
    objects: [
      service(
        "cart",
        "10.96.0.1",
        {},
        { "fault.conduit.io/abort": "500", "fault.conduit.io/abort-percent": "100" },
      ),
    ],
    step: "route",
    outcome: "fail",
    object: 'Service shop/cart metadata.annotations["fault.conduit.io/abort"]',
    change: /take fault\.conduit\.io\/abort off/,
    answered: 0,
    status: 500,
    error: "fault-injected",
  },
  {
    name: "a fault beside a backend that is not there: both take their share",
    objects: [
      service(
        "cart",
        "10.96.0.1",
        {},
        { "fault.conduit.io/abort": "500", "fault.conduit.io/abort-percent": "50" },
      ),
      route("split", [
        {
          backendRefs: [
            { name: "cart", port: 80 },
            { name: "gone", port: 80 },
          ],
        },
      ]),
    ],
    step: "backends",
    outcome: "warn",
    object: "HTTPRoute shop/split spec.rules[0].backendRefs[1]",
    answered: 0.25,
    status: 500,
    error: "fault-injected",
  },
  {
    name: "sessions by cookie: a first call gets one",
    objects: [
      route("sticky", [
        { backendRefs: [{ name: "cart", port: 80 }], sessionPersistence: { sessionName: "shop-cart" } },
      ]),
    ],
    step: "route",
    outcome: "ok",
    object: "HTTPRoute shop/sticky spec.rules[0]",
    notes:
      /the answer gives cookie shop-cart: .* at HTTPRoute shop\/sticky spec\.rules\[0\]\.sessionPersistence/,
  },
  {
    name: "sessions by cookie: a call that bears one goes where it went",
    objects: [
      route("sticky", [
        { backendRefs: [{ name: "cart", port: 80 }], sessionPersistence: { sessionName: "shop-cart" } },
      ]),
    ],
    ask: { headers: { cookie: "a=b; shop-cart=0a1b2c" } },
    step: "route",
    outcome: "ok",
    object: "HTTPRoute shop/sticky spec.rules[0]",
    notes: /the call bears cookie shop-cart: it goes to the endpoint of that session/,
  },
  {
    name: "a Service with sessionAffinity: a caller stays with one endpoint",
    objects: [service("cart", "10.96.0.1", { sessionAffinity: "ClientIP" })],
    step: "endpoints",
    outcome: "ok",
    object: "Service shop/cart spec.selector",
    notes: /stays with one endpoint.* at Service shop\/cart spec\.sessionAffinity/,
  },
]
