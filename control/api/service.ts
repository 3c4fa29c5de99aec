// The public API on its port: conduit.api.v1 as Connect, gRPC-web (HTTP/1.1) and gRPC (HTTP/2), all on one.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { ApiService, TapService, type VersionResponseSchema } from "../../protos/mod.ts"
import type { ClusterStore, Problem } from "../cluster/mod.ts"
import type { Reviews } from "../kubernetes/mod.ts"
import { POLICY_DEFAULTS, type PolicyOptions } from "../policy/mod.ts"
import { type Listening, listen, type TlsOptions } from "../serve/mod.ts"
import type { TelemetryQueries } from "../telemetry/mod.ts"
import type { Certified, MeshNames } from "../tls/mod.ts"
import { accessInterceptor, contextOf } from "./access.ts"
import { check } from "./check.ts"
import { edges } from "./edges.ts"
import { endpoints } from "./endpoints.ts"
import { explain } from "./explain.ts"
import { identities } from "./identities.ts"
import { learn } from "./learn.ts"
import { policies } from "./policies.ts"
import type { ProxyOptions } from "./proxies.ts"
import { proxyMetrics } from "./proxy_metrics.ts"
import { routes } from "./routes.ts"
import { stat } from "./stat.ts"
import { type Relay, tap } from "./tap.ts"
import { whatIf } from "./what_if.ts"

/** Largest request that is taken: the policies of a large mesh, to be tried. */
export const MAX_API_REQUEST_BYTES = 4 * 1024 * 1024

/** How the API is served. */
export interface ApiOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Version of the control plane. */
  readonly version: string
  /** How proxies are reached. */
  readonly proxies?: ProxyOptions
  /** What the installation decides about policies. Default: POLICY_DEFAULTS. */
  readonly policy?: PolicyOptions
  /** Wall clock, milliseconds since 1970. Default: Date.now. */
  readonly nowMs?: () => number
  /** Names of the mesh, for a control plane with identity. Default: endpoints bear no identity. */
  readonly names?: MeshNames
  /** This process's own certificate; null without identity, and until there is one. Default: null. */
  readonly certified?: () => Certified | null
  /** What is wrong with the cluster's objects now. Default: nothing. */
  readonly problems?: () => readonly Problem[]
  /** TLS beside plaintext, which the CLI uses through a forward of loopback. */
  readonly tls?: TlsOptions
  /** Makes taps. Default: there are none. */
  readonly relay?: Relay
  /** Who may ask, see access.ts. Default: whoever reaches the port, as in a local mesh. */
  readonly reviews?: Pick<Reviews, "token" | "access">
}

/**
 * Serves the public API.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function serveApi(
  store: ClusterStore,
  queries: TelemetryQueries,
  options: ApiOptions,
): Promise<Listening> {
  const { host, port, policy = POLICY_DEFAULTS, nowMs = Date.now, proxies, tls } = options
  const { certified = () => null, problems = () => [] } = options
  const methods = (router: ConnectRouter): void => {
    router.service(ApiService, {
      version: () => version(queries, options.version),
      stat: request => stat(known(store), queries, request),
      routes: request => routes(known(store), queries, request),
      edges: request => edges(known(store), queries, request),
      endpoints: request => endpoints(known(store), request, options.names),
      proxyMetrics: (request, { signal }) => proxyMetrics(known(store), request, signal, proxies),
      identities: (request, { signal }) => identities(known(store), request, signal, nowMs, proxies),
      policies: request => policies(known(store), queries, policy, request),
      whatIf: request => whatIf(known(store), queries, policy, request),
      learn: request => learn(known(store), queries, request, nowMs()),
      explain: (request, { signal }) => explain(known(store), request, signal, proxies),
      check: request => check(known(store), { policy, nowMs, certified, problems }, request),
    })
    router.service(TapService, {
      tap: (request, context) => tap(request, context, options.relay, options.reviews),
    })
  }
  return listen({
    host,
    port,
    onRequest: connectNodeAdapter({
      routes: methods,
      readMaxBytes: MAX_API_REQUEST_BYTES,
      contextValues: contextOf,
      interceptors: options.reviews === undefined ? [] : [accessInterceptor(options.reviews)],
    }),
    tls,
  })
}

/** The store, once it is filled: an empty answer from an unread cluster would be a lie. */
function known(store: ClusterStore): ClusterStore {
  if (store.synced) return store
  throw new ConnectError(
    "the control plane has not read the cluster yet; try again in a moment",
    Code.Unavailable,
  )
}

async function version(
  queries: TelemetryQueries,
  controlPlane: string,
): Promise<MessageInitShape<typeof VersionResponseSchema>> {
  const { reporters } = await queries.reporters()
  const pods = new Map<string, number>()
  for (const { proxyVersion, live } of reporters)
    if (live) pods.set(proxyVersion, (pods.get(proxyVersion) ?? 0) + 1)
  const proxies = [...pods].map(([name, count]) => ({ version: name, pods: count }))
  return { controlPlane, proxies: proxies.sort((a, b) => (a.version < b.version ? -1 : 1)) }
}
