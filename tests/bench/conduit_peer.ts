// Conduit's proxy as a peer of the bench: the bundle that images carry, driven by the real control plane from a
// folder of manifests, with telemetry reporting on. The control plane runs on the load's core.
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type BenchProtocol, type Peer, pinned, portOf } from "./peers.ts"

const BENCH_PROTOCOLS: readonly BenchProtocol[] = ["http1", "http2", "tcp"]
const APP_PROTOCOL: Readonly<Record<BenchProtocol, string>> = {
  http1: "http",
  http2: "kubernetes.io/h2c",
  tcp: "tcp",
}

/**
 * The same backend behind Services that say nothing, have `BENCH_ROUTES` routes, ask for retries or a breaker, or wait
 * `BENCH_TIMEOUT_MS` at most.
 */
export const SERVICE_VARIANTS = ["plain", "routed", "retried", "breaking", "impatient"] as const

/** How long an impatient Service lets a request take. */
export const BENCH_TIMEOUT_MS = 100

/** One of SERVICE_VARIANTS; only `plain` is there for TCP. */
export type ServiceVariant = (typeof SERVICE_VARIANTS)[number]

const ANNOTATIONS: Readonly<Partial<Record<ServiceVariant, object>>> = {
  retried: { "retry.conduit.io/http": "5xx", "retry.conduit.io/limit": "3" },
  breaking: { "balancer.conduit.io/failure-accrual": "consecutive" },
  impatient: { "timeout.conduit.io/request": `${BENCH_TIMEOUT_MS}ms` },
}

/** Address of a Service that stands for the backend, by peer number and protocol; port 80 is redirected. */
export function serviceAddress(
  peer: number,
  protocol: BenchProtocol,
  variant: ServiceVariant = "plain",
): string {
  const number = 1 + BENCH_PROTOCOLS.indexOf(protocol) + 50 * SERVICE_VARIANTS.indexOf(variant)
  return `10.99.${peer}.${number}`
}

/** Rules of the routes of a routed Service: what requests meet is none of the first, which all have to be ruled out. */
export const BENCH_ROUTES = 200

/** Routes of a Service: prefixes that nobody asks for, header fields that nobody sends, then everything. */
function routesOf(name: string): object[] {
  const metadata = { namespace: "bench" }
  const backendRefs = [{ name, port: 80 }]
  const rules = Array.from({ length: BENCH_ROUTES - 1 }, (_, i) => ({
    matches: [
      i % 2 === 0
        ? { path: { value: `/api/v1/resource-${i}` } }
        : { path: { value: "/" }, headers: [{ name: "x-version", value: `v${i}` }] },
    ],
    backendRefs,
  }))
  const all = [...rules, { matches: [{ path: { value: "/" } }], backendRefs }]
  return Array.from({ length: Math.ceil(all.length / 16) }, (_, i) => ({
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { ...metadata, name: `${name}-${i}` },
    spec: { parentRefs: [{ group: "", kind: "Service", name }], rules: all.slice(i * 16, i * 16 + 16) },
  }))
}

/** Number of the peer in a range of ports that begins at 10,000 and gives each peer a hundred. */
export function peerNumber(basePort: number): number {
  return (basePort - 10_000) / 100
}

/** Conduit's outbound side. One listener serves all protocols. */
export const conduit: Peer = {
  name: "conduit",
  missing: () => null,
  async start(at) {
    const root = join(import.meta.dir, "../..")
    const manifests = join(at.folder, "manifests")
    mkdirSync(manifests, { recursive: true })
    const number = peerNumber(at.basePort)
    const services = BENCH_PROTOCOLS.flatMap(protocol =>
      SERVICE_VARIANTS.filter(variant => variant === "plain" || protocol !== "tcp").map(variant => ({
        protocol,
        variant,
      })),
    )
    for (const { protocol, variant } of services) {
      const name = `${variant}-${protocol}`
      const address = serviceAddress(number, protocol, variant)
      const routes = variant === "routed" ? routesOf(name) : []
      const metadata = { name, namespace: "bench", annotations: ANNOTATIONS[variant] ?? {} }
      const service = {
        apiVersion: "v1",
        kind: "Service",
        metadata,
        spec: {
          clusterIP: address,
          clusterIPs: [address],
          ports: [{ name: "main", port: 80, protocol: "TCP", appProtocol: APP_PROTOCOL[protocol] }],
        },
      }
      const slice = {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name, namespace: "bench", labels: { "kubernetes.io/service-name": name } },
        addressType: "IPv4",
        ports: [{ name: "main", port: at.backendPort, protocol: "TCP" }],
        endpoints: [{ addresses: [at.backendHost], conditions: { ready: true } }],
      }
      writeFileSync(join(manifests, `service-${name}.json`), JSON.stringify(service))
      writeFileSync(join(manifests, `slice-${name}.json`), JSON.stringify(slice))
      const list = { apiVersion: "v1", kind: "List", items: routes }
      if (routes.length > 0) writeFileSync(join(manifests, `routes-${name}.json`), JSON.stringify(list))
    }
    const built = await Bun.build({
      entrypoints: [join(root, "proxy/main.ts")],
      target: "bun",
      minify: true,
    })
    const bundle = join(at.folder, "proxy.js")
    const output = built.outputs[0]
    if (output === undefined) throw new Error(`the proxy does not build: ${built.logs.join("; ")}`)
    writeFileSync(bundle, await output.text())

    const control = pinned(
      at.loadCore,
      [process.execPath, join(root, "control/main.ts"), "all", "--manifests", manifests],
      join(at.folder, "control.log"),
    )
    const adminPort = at.basePort + 91
    const proxy = pinned(at.core, [process.execPath, bundle], join(at.folder, "conduit.log"), {
      PATH: process.env.PATH,
      CONDUIT_PROXY_NAMESPACE: "bench",
      CONDUIT_PROXY_POD: "client",
      CONDUIT_PROXY_POD_IPS: "10.99.0.1",
      CONDUIT_PROXY_WORKLOAD_KIND: "deployment",
      CONDUIT_PROXY_WORKLOAD: "client",
      CONDUIT_PROXY_DESTINATION_ADDR: "127.0.0.1:8086",
      CONDUIT_PROXY_TELEMETRY_ADDR: "127.0.0.1:8087",
      CONDUIT_PROXY_OUTBOUND_PORT: String(portOf(at, "http1")),
      CONDUIT_PROXY_INBOUND_PORT: String(at.basePort + 43),
      CONDUIT_PROXY_ADMIN_PORT: String(adminPort),
    })
    for (let tries = 0; ; tries++) {
      const ready = await fetch(`http://127.0.0.1:${adminPort}/ready`).then(
        response => response.ok,
        () => false,
      )
      if (ready) break
      if (tries === 100) throw new Error(`the proxy is not ready after 10 s: see ${at.folder}/conduit.log`)
      await Bun.sleep(100)
    }
    return {
      name: "conduit",
      pids: () => [proxy.pid],
      port: () => portOf(at, "http1"),
      async stop() {
        proxy.kill("SIGKILL")
        control.kill("SIGKILL")
        await Promise.all([proxy.exited, control.exited])
      },
    }
  },
}
