// An API before a large mesh that is not there: figures differ in each answer, as those of a mesh under load do.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { listen } from "../../control/serve/mod.ts"
import {
  ApiService,
  CallOutcome,
  CertificateState,
  type EdgeSchema,
  EventKind,
  type StatRowSchema,
  type TimePointSchema,
} from "../../protos/mod.ts"
import { PANELS } from "./simulated_panels.ts"

/** How large the mesh is; namespaces share its Deployments evenly. */
export interface MeshSize {
  readonly namespaces: number
  readonly deployments: number
  readonly edges: number
  readonly pods: number
}

/** The mesh that the dashboard's figures are promised for. */
export const PROMISED_SIZE: MeshSize = { namespaces: 10, deployments: 200, edges: 1000, pods: 5000 }

const EDGES_MS = [1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000]
const POINT_MS = 60_000

/** The API, served. */
export interface SimulatedApi {
  /** `host:port`. */
  readonly address: string
  /** Calls that were answered. */
  readonly counts: { calls: number }
  close(): void
}

type Resource = { readonly namespace: string; readonly kind: string; readonly name: string }

/** Serves the API of such a mesh on a free port of loopback. */
export async function simulateApi(size: MeshSize): Promise<SimulatedApi> {
  const counts = { calls: 0 }
  const counted = <T>(answer: T): T => {
    counts.calls++
    return answer
  }
  const all = Array.from({ length: size.deployments }, (_, index) => deployment(size, index))
  const perDeployment = size.pods / size.deployments
  const server = await listen({
    ...{ host: "127.0.0.1", port: 0 },
    onRequest: connectNodeAdapter({
      routes: router =>
        router.service(ApiService, {
          version: () => counted({ controlPlane: "0.0.0", proxies: [{ version: "0.0.0", pods: size.pods }] }),
          stat: ({ target }) =>
            counted({
              rows:
                target?.kind === "deployment"
                  ? all.map(resource => statRow(resource, perDeployment))
                  : target?.kind === "pod"
                    ? pods(all, perDeployment, target.namespace).map(resource => statRow(resource, 1))
                    : [],
            }),
          edges: () => counted({ edges: Array.from({ length: size.edges }, (_, index) => edge(all, index)) }),
          routes: ({ target }) =>
            counted({
              rows: Array.from({ length: 8 }, (_, index) => ({
                route: `GET /items/${index}`,
                service: { namespace: target?.namespace ?? "", kind: "service", name: target?.name ?? "" },
                http: figures(),
              })),
            }),
          events: () =>
            counted({
              sinceMs: Date.now() - 3_600_000,
              events: all.slice(0, 12).map((resource, index) => ({
                ...{ timeMs: Date.now() - index * 240_000, kind: EventKind.ROLLOUT, resource },
                what: `rollout of revision ${index}`,
              })),
            }),
          policies: () =>
            counted({
              workloads: all.map((resource, index) => ({
                ...{ resource, defaultPolicy: index % 3 === 0 ? "deny" : "all-unauthenticated" },
                ports: [{ port: 8080, name: "http", defaultInForce: index % 2 === 0 }],
                byDefault: { allowedRps: 12, deniedRps: 0, auditedRps: 0 },
                policies:
                  index % 2 === 0
                    ? []
                    : [
                        {
                          ...{
                            namespace: resource.namespace,
                            name: `${resource.name}-clients`,
                            action: "Allow",
                          },
                          ...{ kind: "AuthorizationPolicy", decided: { allowedRps: 42, deniedRps: 1.5 } },
                        },
                      ],
              })),
            }),
          check: () => counted({}),
          explainCall: ({ path }) =>
            counted({
              steps: [
                {
                  ...{ name: "name", outcome: CallOutcome.OK, decision: "app-1.team-1 is a Service" },
                  reason: "its cluster address is 10.96.0.1",
                },
                {
                  ...{ name: "policy", outcome: CallOutcome.FAIL, decision: `GET ${path} is denied` },
                  ...{
                    reason: "no rule of app-1-clients allows it",
                    change: "allow deployment team-0/app-0",
                  },
                },
              ],
            }),
          gatewayRoutes: () =>
            counted({
              routes: all.slice(0, 3).map(({ namespace, name }, index) => ({
                resource: { namespace, kind: "httproute", name: `${name}-split` },
                parents: [{ namespace, kind: "service", name }],
                conditions: [
                  { parent: name, type: "Accepted", well: index > 0, message: "its backend is missing" },
                ],
                rules: [
                  {
                    ...{ name: "canary", matches: ["path / (prefix)"] },
                    backends: ["v1", "v2"].map((version, of) => ({
                      service: { namespace, kind: "service", name: `${name}-${version}` },
                      ...{ port: 80, weight: of === 0 ? 9 : 1, wanted: of === 0 ? 0.9 : 0.1 },
                      ...{ actual: of === 0 ? 0.88 : 0.12, http: figures() },
                    })),
                  },
                ],
              })),
            }),
          plugins: () => {
            const quiet = { callsPerSecond: 0.2, p50Ms: 1.2, p99Ms: 4.1, calls: 1200n }
            const lastError = "it did not answer within 500 ms"
            return counted({
              plugins: [
                {
                  ...{ name: "business-hours", address: "business-hours.plugins:9090" },
                  ...{ state: "Ready", version: "1.2.0" },
                  hooks: [{ hook: "Policy", mode: "Audit", refused: 12n, failurePolicy: "Ignore", ...quiet }],
                },
                {
                  ...{ name: "registry", address: "registry.plugins:9090", version: "0.4.1", order: 5 },
                  ...{ state: "Degraded", reason: `Check is not called for a while: ${lastError}` },
                  hooks: [
                    { hook: "Destination", failurePolicy: "Ignore", ...quiet },
                    {
                      ...{
                        hook: "Check",
                        failurePolicy: "Ignore",
                        open: true,
                        errorsPerSecond: 0.1,
                        errors: 9n,
                      },
                      ...{ lastError, lastErrorMs: BigInt(Date.now() - 90_000) },
                    },
                  ],
                },
              ],
            })
          },
          pluginPanels: () => counted({ panels: PANELS }),
          timeSeries: ({ target, rangeMs }) => counted(timeSeries(target?.kind ?? "", all, rangeMs)),
          async *identities({ target }) {
            counts.calls++
            for (const { namespace, name } of pods(all, perDeployment, target?.namespace ?? ""))
              if (target?.name === undefined || name.startsWith(`${target.name}-`))
                yield {
                  namespace,
                  pod: name,
                  state: CertificateState.VALID,
                  spiffeId: spiffe(namespace, name),
                }
          },
        }),
    }),
  })
  return { address: `127.0.0.1:${server.port}`, counts, close: () => server.close() }
}

function deployment({ namespaces }: MeshSize, index: number): Resource {
  return { namespace: `team-${index % namespaces}`, kind: "deployment", name: `app-${index}` }
}

function pods(all: readonly Resource[], each: number, namespace: string): Resource[] {
  return all
    .filter(one => namespace === "" || one.namespace === namespace)
    .flatMap(one =>
      Array.from({ length: each }, (_, pod) => ({
        ...one,
        kind: "pod",
        name: `${one.name}-7f6d5c4b8-${pod}`,
      })),
    )
}

function figures() {
  const rps = 10 + Math.random() * 90
  const failures = Math.random() < 0.02 ? Math.round(rps) : 0
  const p50 = 1 + Math.random() * 20
  return {
    ...{ rps, success: 1 - failures / (rps * 60), responses: BigInt(Math.round(rps * 60)) },
    ...{ failures: BigInt(failures), latencyMs: { p50, p95: p50 * 3, p99: p50 * 5 } },
  }
}

function statRow(resource: Resource, pods: number): MessageInitShape<typeof StatRowSchema> {
  const tcp = { open: 20n, readBytesPerSec: Math.random() * 1e6, writeBytesPerSec: Math.random() * 1e6 }
  return { resource, meshedPods: pods, totalPods: pods, http: figures(), tcp }
}

function edge(all: readonly Resource[], index: number): MessageInitShape<typeof EdgeSchema> {
  const from = all[index % all.length] as Resource
  // Neighbours near and far, each pair once.
  const step = 1 + Math.floor(index / all.length) ** 2 * 7
  const to = all[(index + step) % all.length] as Resource
  const ids = { clientId: spiffe(from.namespace, from.name), serverId: spiffe(to.namespace, to.name) }
  return { from, to, secured: true, http: figures(), ...ids }
}

function spiffe(namespace: string, name: string): string {
  return `spiffe://cluster.local/ns/${namespace}/sa/${name}`
}

function timeSeries(kind: string, all: readonly Resource[], rangeMs: number) {
  const points = Math.round((rangeMs || 3_600_000) / POINT_MS)
  const names = kind === "namespace" ? [...new Set(all.map(({ namespace }) => namespace))] : ["app-0"]
  const series = names.map(name => ({
    resource: { namespace: "", kind, name },
    points: Array.from({ length: points }, (_, index) => point(index)),
  }))
  return {
    startMs: Date.now() - points * POINT_MS,
    stepMs: POINT_MS,
    points,
    histogramEdgesMs: EDGES_MS,
    series,
  }
}

function point(index: number): MessageInitShape<typeof TimePointSchema> {
  const { rps, success, latencyMs, responses, failures } = figures()
  return {
    ...{
      index,
      rps,
      success,
      responses,
      failures,
      p50Ms: latencyMs.p50,
      p95Ms: latencyMs.p95,
      p99Ms: latencyMs.p99,
    },
    latencyCounts: EDGES_MS.map(() => BigInt(Math.round(Math.random() * 1000))),
  }
}
