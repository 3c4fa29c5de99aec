// An API before a large mesh that is not there: figures differ in each answer, as those of a mesh under load do.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { listen } from "../../control/serve/mod.ts"
import {
  Access,
  ApiService,
  CallOutcome,
  CertificateState,
  type EdgeSchema,
  EventKind,
  FaultKind,
  type StatRowSchema,
  TapService,
  type TimePointSchema,
} from "../../protos/mod.ts"
import { PANELS } from "./simulated_panels.ts"
import { tapped } from "./simulated_tap.ts"

/** How large the mesh is; namespaces share its Deployments evenly. */
export interface MeshSize {
  readonly namespaces: number
  readonly deployments: number
  readonly edges: number
  readonly pods: number
}

/** The mesh that the dashboard's figures are promised for. */
export const PROMISED_SIZE: MeshSize = { namespaces: 10, deployments: 200, edges: 1000, pods: 5000 }

/** Requests a second that a tap tells of, as the page asks for. */
const TAP_RPS = 50
/** Most may call, some may not, few may ask for some things only. */
const ACCESS = [Access.ALLOWED, Access.DENIED, Access.ALLOWED, Access.SOME, Access.ALLOWED]
const DAY_MS = 86_400_000

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

/** A workload, or a pod. */
export type Resource = { readonly namespace: string; readonly kind: string; readonly name: string }

/** Those of whom not all is well, by their index: what stands beside what is well must be told from it. */
const ILL = { failing: 3, halfMeshed: 5, silent: 7, longName: 11 } as const

/**
 * Serves the API of such a mesh on a free port of loopback.
 *
 * @param tapRps  requests a second that taps tell of
 */
export async function simulateApi(size: MeshSize, tapRps = TAP_RPS): Promise<SimulatedApi> {
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
        router
          .service(ApiService, {
            version: () =>
              counted({ controlPlane: "0.0.0", proxies: [{ version: "0.0.0", pods: size.pods }] }),
            stat: ({ target }) =>
              counted({
                rows:
                  target?.kind === "deployment"
                    ? [
                        ...all.map((resource, index) => statRow(resource, perDeployment, index)),
                        ...plane(),
                      ].filter(({ resource }) => !target.name || resource?.name === target.name)
                    : target?.kind === "statefulset"
                      ? [{ ...statRow(DATABASE, 3), http: undefined }]
                      : target?.kind === "pod"
                        ? pods(all, perDeployment, target.namespace).map(resource => statRow(resource, 1))
                        : [],
              }),
            edges: () =>
              counted({
                edges: [
                  ...Array.from({ length: size.edges }, (_, index) => edge(all, index)),
                  toDatabase(all),
                ],
              }),
            routes: ({ target }) =>
              counted({
                rows: all
                  .filter(({ name }) => !target?.name || name === target.name)
                  .flatMap(({ namespace, name }, of) =>
                    Array.from({ length: target?.name ? 8 : 1 + (of % 3) }, (_, index) => {
                      const http = figures(of === ILL.failing ? 0.2 : 0)
                      return {
                        route: index === 0 ? "default" : `GET /items/${index}`,
                        service: { namespace, kind: "service", name },
                        http,
                        actual: { ...http, rps: http.rps * (index === 1 ? 1.1 : 1) },
                      }
                    }),
                  ),
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
            authorization: ({ target }) =>
              counted({
                rows: (target?.kind === "deployment" ? all : []).flatMap((to, called) =>
                  to.namespace !== (target?.namespace || to.namespace)
                    ? []
                    : all.map((from, caller) => ({
                        ...{ from, to, port: 8080, policy: `${to.namespace}/${to.name}-clients` },
                        access:
                          ACCESS[(called * 7 + caller + (caller >> 2)) % ACCESS.length] ?? Access.ALLOWED,
                        requests: ["GET /items/*: allowed"],
                      })),
                ),
              }),
            check: () =>
              counted({
                nowMs: Date.now(),
                trustAnchors: [authority("CN=root.conduit.cluster.local", 3650)],
                issuerChain: [authority("CN=identity.conduit.cluster.local", 40)],
                faults: [
                  {
                    ...{ kind: FaultKind.ROUTE, where: "HTTPRoute team-0/app-0-split" },
                    message: "its backend app-0-v2 is no Service",
                  },
                ],
              }),
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
                    hooks: [
                      { hook: "Policy", mode: "Audit", refused: 12n, failurePolicy: "Ignore", ...quiet },
                    ],
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
            timeSeries: ({ target, rangeMs, stepMs }) =>
              counted(timeSeries(seriesOf(all, target), rangeMs || 3_600_000, stepMs || POINT_MS)),
            async *identities({ target }) {
              counts.calls++
              for (const workload of all)
                if (
                  !target?.name ||
                  (workload.name === target.name && workload.namespace === target.namespace)
                )
                  for (const { name } of pods([workload], perDeployment, ""))
                    yield certificate(workload, name, all.indexOf(workload))
            },
          })
          .service(TapService, {
            tap: (_request, { signal }) => tapped(all, tapRps, signal),
          }),
    }),
  })
  return { address: `127.0.0.1:${server.port}`, counts, close: () => server.close() }
}

function deployment({ namespaces }: MeshSize, index: number): Resource {
  const name = index === ILL.longName ? "checkout-payment-gateway-adapter-canary" : `app-${index}`
  return { namespace: `team-${index % namespaces}`, kind: "deployment", name }
}

const DATABASE: Resource = { namespace: "team-0", kind: "statefulset", name: "orders-db" }

/** The control plane's own, which the page tells from applications. */
function plane(): MessageInitShape<typeof StatRowSchema>[] {
  return ["api", "destination", "identity", "injector", "policy", "tap", "telemetry", "web"].map(name => ({
    resource: { namespace: "conduit", kind: "deployment", name: `conduit-${name}` },
    meshedPods: 1,
    totalPods: 1,
  }))
}

function authority(subject: string, leftDays: number) {
  const nowMs = Date.now()
  return {
    ...{ subject, pem: subject, notBeforeMs: nowMs - 30 * DAY_MS },
    notAfterMs: nowMs + leftDays * DAY_MS,
  }
}

function certificate(workload: Resource, pod: string, index: number) {
  const nowMs = Date.now()
  const { namespace, name } = workload
  const ill = index === ILL.halfMeshed && pod.endsWith("-0")
  return {
    ...{ namespace, pod, workload, spiffeId: spiffe(namespace, name) },
    state: ill ? CertificateState.EXPIRING : CertificateState.VALID,
    notBeforeMs: nowMs - (ill ? 0.9 : 0.3) * DAY_MS,
    notAfterMs: nowMs + (ill ? 0.1 : 0.7) * DAY_MS,
  }
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

/** @param failing  share that fails; where none does, a request does now and then */
function figures(failing = 0) {
  const rps = 10 + Math.random() * 90
  const failures =
    failing > 0 ? Math.round(rps * 60 * failing) : Math.random() < 0.02 ? Math.ceil(rps / 10) : 0
  const p50 = 1 + Math.random() * 20
  return {
    ...{ rps, success: 1 - failures / (rps * 60), responses: BigInt(Math.round(rps * 60)) },
    ...{ failures: BigInt(failures), latencyMs: { p50, p95: p50 * 3, p99: p50 * 5 } },
  }
}

function statRow(resource: Resource, pods: number, index = -1): MessageInitShape<typeof StatRowSchema> {
  const tcp = { open: 20n, readBytesPerSec: Math.random() * 1e6, writeBytesPerSec: Math.random() * 1e6 }
  const meshedPods = index === ILL.halfMeshed ? pods - 1 : pods
  const row = { resource, meshedPods, totalPods: pods, tcp }
  if (index === ILL.silent) return row
  const besides = index === ILL.failing ? { retriesRps: 4.2, refusedRps: 0.5 } : {}
  return {
    ...row,
    ...besides,
    http: figures(index === ILL.failing ? 0.2 : index === ILL.failing - 1 ? 0.03 : 0),
  }
}

function toDatabase(all: readonly Resource[]): MessageInitShape<typeof EdgeSchema> {
  const tcp = { open: 12n, readBytesPerSec: Math.random() * 1e5, writeBytesPerSec: Math.random() * 1e6 }
  const reason = "the port is opaque to the caller, and its pod has no proxy"
  return { ...(all[0] === undefined ? {} : { from: all[0] }), to: DATABASE, secured: false, reason, tcp }
}

function edge(all: readonly Resource[], index: number): MessageInitShape<typeof EdgeSchema> {
  const from = all[index % all.length] as Resource
  // Neighbours near and far, each pair once.
  const step = 1 + Math.floor(index / all.length) ** 2 * 7
  const to = all[(index + step) % all.length] as Resource
  const ids = { clientId: spiffe(from.namespace, from.name), serverId: spiffe(to.namespace, to.name) }
  const http = figures(all.indexOf(to) === ILL.failing ? 0.2 : 0)
  return { from, to, secured: true, http, ...ids }
}

function spiffe(namespace: string, name: string): string {
  return `spiffe://cluster.local/ns/${namespace}/sa/${name}`
}

/** What is shown over time: the one that is named, or all of a kind. */
function seriesOf(
  all: readonly Resource[],
  target: { readonly kind: string; readonly namespace: string; readonly name: string } | undefined,
): Resource[] {
  const { kind = "", namespace = "", name = "" } = target ?? {}
  if (name !== "") return [{ kind, namespace, name }]
  if (kind !== "namespace") return [...all]
  return [...new Set(all.map(one => one.namespace))].map(one => ({ kind, namespace: "", name: one }))
}

function timeSeries(resources: readonly Resource[], rangeMs: number, stepMs: number) {
  const points = Math.round(rangeMs / stepMs)
  const series = resources.map(resource => ({
    resource,
    points: Array.from({ length: points }, (_, index) => point(index)),
  }))
  const startMs = Date.now() - points * stepMs
  return { startMs, stepMs, points, histogramEdgesMs: EDGES_MS, series }
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
    // Most answers take 10 ms, fewer more or less.
    latencyCounts: EDGES_MS.map((_, edge) =>
      BigInt(Math.round(Math.random() * 1000 * Math.exp(-((edge - 5) ** 2) / 8))),
    ),
  }
}
