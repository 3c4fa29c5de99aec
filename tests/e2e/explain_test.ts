// What `conduit explain FROM TO` foretells is what a real request meets, in one small mesh.
import { afterAll, beforeAll, expect, test } from "bun:test"
import type { CallReport } from "../../cli/inspect/call.ts"
import { DevMesh } from "../lab/dev_mesh.ts"

const SERVER = `Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("ok") })`
const IDLE = "setInterval(() => {}, 1000)"
const GATEWAY = "gateway.networking.k8s.io/v1"

function deployment(name: string, script: string, annotations: Record<string, string> = {}): object {
  const ports = [{ name: "http", containerPort: 8080 }]
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: {
          serviceAccountName: name,
          containers: [{ name: "app", image: "app", command: [process.execPath, "-e", script], ports }],
        },
      },
    },
  }
}

function service(name: string, app = name): object {
  const ports = [{ name: "http", port: 80, targetPort: "http" }]
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop" },
    spec: { selector: { app }, ports },
  }
}

const under = (value: string) => [{ path: { type: "PathPrefix", value } }]

const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  deployment("web", IDLE),
  deployment("plain", IDLE, { "conduit.io/inject": "disabled" }),
  deployment("strict", IDLE, { "config.conduit.io/outbound-mtls": "required" }),
  deployment("bare", SERVER, { "conduit.io/inject": "disabled" }),
  deployment("cart", SERVER),
  deployment("aside", SERVER, { "config.conduit.io/skip-inbound-ports": "8080" }),
  service("cart"),
  service("aside"),
  service("routed", "cart"),
  service("bare"),
  service("nobody"),
  {
    apiVersion: GATEWAY,
    kind: "HTTPRoute",
    metadata: { name: "routed", namespace: "shop" },
    spec: {
      parentRefs: [{ group: "", kind: "Service", name: "routed", port: 80 }],
      rules: [
        { matches: under("/items"), backendRefs: [{ name: "cart", port: 80 }] },
        { matches: under("/gone"), backendRefs: [{ name: "gone", port: 80 }] },
        {
          matches: under("/old"),
          filters: [
            { type: "RequestRedirect", requestRedirect: { hostname: "example.com", statusCode: 301 } },
          ],
        },
      ],
    },
  },
  {
    apiVersion: "policy.conduit.io/v1alpha1",
    kind: "AuthorizationPolicy",
    metadata: { name: "cart", namespace: "shop" },
    spec: {
      target: { kind: "Deployment", name: "cart" },
      action: "Allow",
      rules: [{ from: [{ deployments: ["shop/web", "shop/cart"] }], to: [{ paths: ["/", "/items*"] }] }],
    },
  },
]

let mesh: DevMesh

beforeAll(async () => {
  mesh = await DevMesh.up({ name: "explain", objects: OBJECTS })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
}, 60_000)

/** What a real request meets: status and reason; status 0 where nothing answers. */
async function met(
  from: string,
  to: string,
  path: string,
): Promise<{ status: number; error: string | null }> {
  const { stdout } = await mesh.exec("shop", from, [
    "curl",
    "-sSi",
    "--max-time",
    "20",
    `http://${to}${path}`,
  ])
  const error = /conduit-proxy-error: ([^;\r\n]+)/i.exec(stdout)?.[1] ?? null
  return { status: Number(/^HTTP\/\S+ (\d+)/.exec(stdout)?.[1] ?? 0), error }
}

async function foretold(from: string, to: string, path: string) {
  const { status, stdout, stderr } = await mesh.cli(
    "explain",
    `deploy/${from}`,
    to,
    "-n",
    "shop",
    "--path",
    path,
    "-o",
    "json",
  )
  expect(stderr).toBe("")
  const report = JSON.parse(stdout) as CallReport
  return { report, code: status }
}

test.each([
  ["web", "cart", "/"],
  ["web", "cart.shop.svc.cluster.local", "/admin"],
  ["plain", "cart", "/"],
  ["web", "aside", "/"],
  ["plain", "aside", "/"],
  ["web", "routed", "/items/7"],
  ["web", "routed", "/nothing"],
  ["web", "routed", "/gone"],
  ["web", "routed", "/old"],
  ["web", "bare", "/"],
  ["strict", "bare", "/"],
  ["web", "nobody", "/"],
  ["web", "cart:9999", "/"],
  ["web", "carts", "/"],
  ["cart", "cart", "/"],
] as const)(
  "%s calls http://%s%s: what is foretold is met",
  async (from, to, path) => {
    const { report, code } = await foretold(from, to, path)
    const { answered, status, error } = report.verdict
    expect(code).toBe(answered === 1 ? 0 : 1)
    expect(answered === 1 ? { status: 200, error: null } : { status: status ?? 0, error }).toEqual(
      await met(from, to, path),
    )
  },
  60_000,
)
