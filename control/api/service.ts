// The public API on its port: conduit.api.v1 as Connect, gRPC-web (HTTP/1.1) and gRPC (HTTP/2), all on one.
import type { DescService, MessageInitShape } from "@bufbuild/protobuf"
import { Code, type ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { grpcHealthV1, grpcReflectionV1, grpcReflectionV1alpha } from "../../protos/grpc/mod.ts"
import {
  ApiService,
  file_conduit_api_v1_error,
  injectionV1,
  TapService,
  type VersionResponseSchema,
} from "../../protos/mod.ts"
import { authorization, learn, policies, type TriedPlugins, whatIf } from "../authorization/mod.ts"
import type { ClusterStore, Problem } from "../cluster/mod.ts"
import type { Reviews } from "../kubernetes/mod.ts"
import { type PluginSupervisor, type WindowFeed, wouldAuthorize } from "../plugins/mod.ts"
import { POLICY_DEFAULTS, type PolicyOptions } from "../policy/mod.ts"
import {
  endpoints,
  explain,
  explainCallOf,
  identities,
  type ProxyOptions,
  proxyDiscovery,
  proxyMetrics,
  proxyPolicies,
  servedPolicies,
} from "../proxies/mod.ts"
import {
  apiError,
  cutsLists,
  detailedErrors,
  explainBadJson,
  health,
  keepsDeadlines,
  otherPaths,
  reflection,
  StandingStreams,
} from "../rpc/mod.ts"
import { type Listening, listen, type TlsOptions } from "../serve/mod.ts"
import type { TelemetryQueries } from "../telemetry/mod.ts"
import type { Certified, MeshNames } from "../tls/mod.ts"
import { edges, gate, gatewayRoutes, routes, stat, timeSeries, topology } from "../traffic/mod.ts"
import { accessGate, contextOf } from "./access.ts"
import type { CallMetrics } from "./call_metrics.ts"
import { check } from "./check.ts"
import { config } from "./config.ts"
import { EventRing } from "./events.ts"
import { PluginPanels } from "./plugin_panels.ts"
import { type PluginProcesses, pluginsOfMesh } from "./plugin_processes.ts"
import { PluginServices } from "./plugin_services.ts"
import { PluginWindows } from "./plugin_windows.ts"
import { pluginFaults, plugins } from "./plugins.ts"
import { podReview } from "./pod_review.ts"
import { type Relay, tap } from "./tap.ts"

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
  /** Counts the calls. Default: nobody does. */
  readonly calls?: CallMetrics
  /** Metrics of this process as Prometheus text. Default: none. */
  readonly metricsText?: () => string
  /** Those who ask plugins. Default: there are none. */
  readonly plugins?: PluginSupervisor
  /** Plugins are asked about pods here, too: in a local mesh, which has no injector. Default: they are not. */
  readonly reviewsPods?: boolean
  /** Who asks plugins besides this process. Default: nobody does. */
  readonly pluginProcesses?: PluginProcesses
  /** Takes windows of figures for plugins. Default: nobody does. */
  readonly windows?: WindowFeed
  /** Makes taps. Default: there are none. */
  readonly relay?: Relay
  /** Who may ask, see access.ts. Default: whoever reaches the port, as in a local mesh. */
  readonly reviews?: Pick<Reviews, "token" | "access">
  /** Told of what a call threw by mistake, which its caller does not see. Default: nobody is. */
  readonly onMistake?: (call: string, error: unknown) => void
}

/** Answers what nothing else does. */
type Fallback = NonNullable<Parameters<typeof connectNodeAdapter>[0]["fallback"]>

/** What is served. */
const SERVICES = [
  ApiService,
  TapService,
  grpcHealthV1.Health,
  grpcReflectionV1.ServerReflection,
  grpcReflectionV1alpha.ServerReflection,
] as const

/**
 * Serves the public API.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function serveApi(
  store: ClusterStore,
  queries: TelemetryQueries,
  options: ApiOptions,
): Promise<Listening> {
  const { host, port, policy = POLICY_DEFAULTS, nowMs = Date.now, proxies, tls } = options
  const supervisor = options.plugins ?? null
  const { certified = () => null, problems = () => [], reviews, onMistake = () => {} } = options
  const { metricsText = () => "" } = options
  const changes = new EventRing(store, nowMs, certified)
  const windows =
    options.windows === undefined
      ? null
      : new PluginWindows(options.windows, { store, queries, events: changes, nowMs })
  const ofMesh = (signal: AbortSignal) =>
    pluginsOfMesh(plugins(supervisor), store, options.pluginProcesses, signal)
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
      whatIf: request =>
        whatIf(known(store), queries, policy, request, supervisor === null ? undefined : triedBy(supervisor)),
      learn: request => learn(known(store), queries, request, nowMs()),
      explain: (request, { signal }) => explain(known(store), request, signal, proxies),
      explainCall: (request, { signal }) =>
        explainCallOf(known(store), request, signal, { policy, names: options.names, nowMs, proxies }),
      proxyDiscovery: (request, { signal }) => proxyDiscovery(known(store), request, signal, proxies),
      gate: request => gate(known(store), queries, request, nowMs()),
      authorization: request => authorization(known(store), policy, request, options.names?.controlNamespace),
      proxyPolicies: (request, { signal }) => proxyPolicies(known(store), request, signal, proxies),
      servedPolicies: request => servedPolicies(known(store), policy, request),
      controllerMetrics: () => ({ text: metricsText() }),
      gatewayRoutes: request => gatewayRoutes(known(store), queries, request),
      timeSeries: request => timeSeries(known(store), queries, request, nowMs()),
      check: async (request, { signal }) => {
        const faults = await pluginFaults(supervisor, await ofMesh(signal))
        const sources = { policy, nowMs, certified, problems, plugins: faults }
        return check(known(store), sources, request)
      },
      topology: request => topology(known(store), queries, request),
      plugins: (_request, { signal }) => ofMesh(signal),
      pluginPanels: () => panels?.panels() ?? {},
      events: async request => {
        known(store)
        // What the cluster tells is told without telemetry, too.
        const { reporters } = await queries.reporters().catch(() => ({ reporters: [] }))
        return changes.since(request, nowMs(), reporters)
      },
      config: () =>
        config({ version: options.version, policy, names: options.names, checked: reviews !== undefined }),
    })
    if (supervisor !== null && options.reviewsPods === true)
      router.service(injectionV1.InjectionService, { review: request => podReview(supervisor, request) })
    router.service(TapService, {
      tap: (request, context) => tap(request, context, options.relay, options.reviews),
    })
    const readiness = {
      get ready() {
        return store.synced
      },
      whenReady: (callback: () => void) => store.whenSynced(callback),
    }
    const streams = new StandingStreams()
    const all = (): readonly DescService[] => [
      ...SERVICES,
      ...(mounted?.mounted() ?? []).map(one => one.service),
    ]
    const reflect = reflection(all, [file_conduit_api_v1_error], streams)
    const names = SERVICES.map(({ typeName }) => typeName)
    router.service(grpcHealthV1.Health, health(names, readiness, streams))
    router.service(grpcReflectionV1.ServerReflection, { serverReflectionInfo: reflect })
    router.service(grpcReflectionV1alpha.ServerReflection, { serverReflectionInfo: reflect })
    explainBadJson(router)
  }
  const adapter = (routes: (router: ConnectRouter) => void, fallback: Fallback) =>
    connectNodeAdapter({
      ...{ routes, fallback },
      readMaxBytes: MAX_API_REQUEST_BYTES,
      contextValues: contextOf,
      // A field that is spelt wrong must not be one that was not asked for.
      jsonOptions: { ignoreUnknownFields: false },
      interceptors: [
        ...(options.calls === undefined ? [] : [options.calls.interceptor]),
        detailedErrors(onMistake),
        keepsDeadlines,
        cutsLists,
      ],
      ...(reviews === undefined ? {} : { requestGate: accessGate(reviews) }),
    })
  // Services of plugins come and go while the API is served.
  let ofPlugins: Fallback = otherPaths
  const mounted =
    supervisor === null
      ? null
      : new PluginServices(supervisor, () => {
          ofPlugins = adapter(router => mounted?.route(router), otherPaths)
        })
  const panels =
    mounted === null || supervisor === null
      ? null
      : new PluginPanels(mounted, supervisor, () => performance.now())
  const listening = await listen({
    host,
    port,
    onRequest: adapter(methods, (request, response) => ofPlugins(request, response)),
    tls,
  })
  return {
    port: listening.port,
    close: () => {
      mounted?.stop()
      windows?.stop()
      changes.stop()
      listening.close()
    },
  }
}

function triedBy(supervisor: PluginSupervisor): TriedPlugins {
  return {
    supplied: name => supervisor.supplied(name),
    ask: (plugin, facts) => wouldAuthorize(supervisor, plugin, facts),
  }
}

/** The store, once it is filled: an empty answer from an unread cluster would be a lie. */
function known(store: ClusterStore): ClusterStore {
  if (store.synced) return store
  const sentence = "the control plane has not read the cluster yet; try again in a moment"
  throw apiError(Code.Unavailable, sentence, { reason: "NOT_SYNCED" })
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
