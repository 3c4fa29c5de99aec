// The services of a control-plane process, put together from its settings. main.ts is the process around it.
import { hostname } from "node:os"
import { toJsonString } from "@bufbuild/protobuf"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { KubeApi, kubeconfigCredentials, serviceAccountCredentials } from "../deploy/kubernetes/mod.ts"
import { PLUGIN_HOOKS, PLUGIN_KIND, type PluginHook } from "../deploy/plugin_object/mod.ts"
import { PluginsResponseSchema } from "../protos/mod.ts"
import project from "../package.json" with { type: "json" }
import { CallMetrics, PLUGINS_PATH, plugins as pluginsKnown, type Relay, serveApi } from "./api/mod.ts"
import {
  type ClusterSource,
  ClusterStore,
  ManifestsSource,
  type PodRecord,
  type Problem,
} from "./cluster/mod.ts"
import { type KeptConditions, keepConditions } from "./conditions/mod.ts"
import { serveDestination } from "./destination/mod.ts"
import { serveIdentity } from "./identity/mod.ts"
import { type InjectorProcess, startInjector } from "./injector/mod.ts"
import { KubernetesSource, RESOURCES, type Resource, Reviews } from "./kubernetes/mod.ts"
import type { Log } from "./log.ts"
import { joinMesh, type MeshMember, PEER_TIMEOUT_MS } from "./mesh_member.ts"
import {
  type AskedPod,
  askIdentity,
  askInjection,
  authorize,
  NOBODY_ASKED,
  namedWay,
  PluginSupervisor,
  pluginConditions,
  pluginWays,
  WindowFeed,
} from "./plugins/mod.ts"
import { allPolicyProblems, policyConditions, servePolicy } from "./policy/mod.ts"
import { routeConditions, routeProblems } from "./routing/mod.ts"
import { runTelemetry } from "./run_telemetry.ts"
import { type Listening, type Metric, ProcessMetrics, prometheusText, serveAdmin } from "./serve/mod.ts"
import {
  ADMIN_PORT,
  type ClusterSettings,
  NEED_CLUSTER,
  type ServiceName,
  type Settings,
} from "./settings.ts"
import { localRelay, remoteRelay, serveTap } from "./tap/mod.ts"
import { remoteQueries, type TelemetryQueries } from "./telemetry/mod.ts"
import { serveWeb } from "./web/mod.ts"

/**
 * From the pod's end to the injector's: API servers call it for as long as its address is among the Service's, which
 * takes the cluster a second or two to change, and what they call in vain gets no proxy.
 */
export const DRAIN_MS = 5_000

/** Tap port of a proxy (the contract with the outside). */
export const PROXY_TAP_PORT = 4190

/** Which service asks plugins for a hook; the API knows of all of them, and answers of the endpoints and policies they give. */
const ASKED_BY: Readonly<Record<PluginHook, ServiceName>> = {
  Destination: "destination",
  Policy: "policy",
  Authorize: "policy",
  Identity: "identity",
  Telemetry: "api",
  Injection: "injector",
  Check: "api",
  Api: "api",
}

/** A control plane that runs. */
export interface RunningControlPlane {
  /** Ports that are served, by service and `admin`. */
  readonly ports: ReadonlyMap<ServiceName | "admin", number>
  /** Asks callers to go elsewhere. @returns milliseconds that they need until `stop`, 0 where they find out themselves */
  drain(): number
  /** Ends it at once. */
  stop(): void
}

/**
 * Runs the services.
 *
 * @throws Error with a sentence for a person when a port cannot be listened on
 */
export async function runControlPlane(settings: Settings, log: Log): Promise<RunningControlPlane> {
  const { services, host, ports, mesh } = settings
  const parts: { name: ServiceName | "admin"; listening: Listening }[] = []
  const figures: (() => readonly Metric[])[] = []
  const ofProcess = new ProcessMetrics(project.version, [...services].sort())
  const allMetrics = () => [...ofProcess.metrics(), ...figures.flatMap(read => read())]
  const stop = (): void => {
    for (const { listening } of parts) listening.close()
    for (const { stop } of kept) stop()
    ofProcess.stop()
    injector?.stop()
    plugins?.stop()
    pluginSource?.stop()
    source?.stop()
    member?.stop()
  }
  let source: ClusterSource | undefined
  const kept: KeptConditions[] = []
  let member: MeshMember | undefined
  let injector: InjectorProcess | undefined
  let plugins: PluginSupervisor | undefined
  let pluginSource: ClusterSource | undefined
  const windows = new WindowFeed()
  try {
    const { cluster } = settings
    const api = cluster?.from === "kubernetes" ? await openApi(cluster) : null
    // The injector needs no certificate of the mesh: API servers could not check it.
    if (mesh !== null && settings.injector === null) {
      const reviews = api === null ? null : new Reviews(api, () => performance.now())
      member = joinMesh(
        mesh,
        settings.identity,
        log,
        reviews,
        async ({ spiffeId, namespace, serviceAccount }) => {
          if (plugins === undefined || settings.identity === null) return null
          const lifetimeSeconds = Math.round(settings.identity.lifetimeMs / 1000)
          const asked = { identity: spiffeId, namespace, serviceAccount, lifetimeSeconds }
          return await askIdentity(plugins, mesh.names.controlNamespace, asked)
        },
      )
      figures.push(member.metrics)
      if (member.identity !== null) {
        const options = { host, port: ports.identity, tls: member.tls("identity"), ...member.identity }
        parts.push({ name: "identity", listening: await serveIdentity(options) })
      }
    }
    const tls = (port: "proxies" | "api") => (member === undefined ? {} : { tls: member.tls(port) })
    if (settings.injector !== null && api !== null) {
      const options = {
        ...{ host, port: ports.injector, version: project.version, log },
        plugins: async (pod: AskedPod) =>
          plugins === undefined ? NOBODY_ASKED : await askInjection(plugins, pod),
      }
      injector = await startInjector(settings.injector, api, options)
      parts.push({ name: "injector", listening: injector.listening })
      figures.push(injector.metrics)
    }
    if (cluster !== null && NEED_CLUSTER.some(name => services.has(name))) {
      const from = cluster.from === "manifests" ? cluster.folder : api
      if (from !== null) {
        source = openCluster(from, log, figures, ({ kind }) => {
          for (const one of kept) one.read(kind)
        })
      }
    }
    const called = new Set(PLUGIN_HOOKS.filter(hook => services.has("api") || services.has(ASKED_BY[hook])))
    if (called.size > 0 && cluster !== null) {
      const known = member
      const folder = cluster.from === "manifests" ? cluster.folder : null
      if (source === undefined) {
        // Nothing else of the cluster is this process's to know.
        const resources = RESOURCES.filter(({ kind }) => kind === PLUGIN_KIND)
        if (folder !== null) pluginSource = new ManifestsSource(folder)
        else if (api !== null) pluginSource = new KubernetesSource(api, { resources })
        pluginSource?.start()
      }
      const { store } = source ?? pluginSource ?? { store: new ClusterStore() }
      plugins = new PluginSupervisor({
        ...{ store, hooks: called, log, version: project.version, nowMs: () => performance.now() },
        way:
          source === undefined && folder === null
            ? namedWay
            : pluginWays(store, known && ((pod, at) => known.pluginTo(pod, at)), Math.random),
        trustDomain: settings.policy.trustDomain,
        ...(services.has("api") ? { windows } : {}),
      })
      const { metrics } = plugins
      figures.push(metrics.bind(plugins))
    }
    if (services.has("destination") && source !== undefined) {
      const { store } = source
      const server = await serveDestination(store, {
        host,
        port: ports.destination,
        ...(mesh === null ? {} : { names: mesh.names }),
        ...tls("proxies"),
      })
      parts.push({ name: "destination", listening: server })
      const conditions = keepConditions(store, {
        ...{ api, log, manager: "conduit-destination" },
        search: {
          find: () =>
            [...routeProblems(store)].map(
              ({ kind, namespace, name, reason, message }) =>
                `${kind} "${namespace}/${name}": ${reason}: ${message}`,
            ),
          // A change of a route, of a grant on its backends or of a Service is one of Services.
          touchedBy: ({ services }) => services.size > 0,
        },
        kinds: routeConditions(store),
      })
      kept.push(conditions)
      figures.push(() => [
        {
          name: "destination_route_problems",
          help: "Problems of routes now.",
          type: "gauge",
          value: conditions.count(),
        },
        {
          name: "destination_route_statuses_total",
          help: "Statuses of routes written.",
          type: "counter",
          value: conditions.written(),
        },
        { name: "destination_streams", help: "Proxies connected.", type: "gauge", value: server.counts.open },
        { name: "destination_watches", help: "Watches open.", type: "gauge", value: server.counts.watches },
        { name: "destination_targets", help: "Targets watched.", type: "gauge", value: server.targets() },
        {
          name: "destination_updates_total",
          help: "Messages sent.",
          type: "counter",
          value: server.counts.updates,
        },
        {
          name: "destination_refused_total",
          help: "Streams refused: the caller has not the identity of the pod that it says it is.",
          type: "counter",
          value: server.counts.refused,
        },
        {
          name: "destination_dropped_total",
          help: "Streams cut as unread.",
          type: "counter",
          value: server.counts.dropped,
        },
      ])
    }
    if (services.has("policy") && source !== undefined) {
      const { store } = source
      const asked = plugins
      const server = await servePolicy(store, {
        host,
        port: ports.policy,
        policy: settings.policy,
        ...(asked === undefined ? {} : { ask: (plugin, facts) => authorize(asked, plugin, facts) }),
        ...tls("proxies"),
      })
      parts.push({ name: "policy", listening: server })
      const conditions = keepConditions(store, {
        ...{ api, log, manager: "conduit-policy" },
        search: {
          find: () =>
            allPolicyProblems(store, settings.policy).map(
              ({ kind, namespace, name, field, message }) =>
                `${kind} "${namespace}/${name}": ${field}: ${message}`,
            ),
          touchedBy: ({ policies, pods }) => policies.size + pods.size > 0,
        },
        kinds: policyConditions(store, settings.policy),
      })
      kept.push(conditions)
      const gauge = (name: string, help: string, value: number): Metric => ({
        name,
        help,
        type: "gauge",
        value,
      })
      const counter = (name: string, help: string, value: number): Metric => ({
        name,
        help,
        type: "counter",
        value,
      })
      figures.push(() => [
        gauge("policy_streams", "Proxies connected.", server.counts.open),
        gauge("policy_pods", "Pods watched.", server.pods()),
        gauge("policy_problems", "Problems of well-formed policies now.", conditions.count()),
        counter("policy_statuses_total", "Statuses of policies written.", conditions.written()),
        counter("policy_updates_total", "Messages sent.", server.counts.updates),
        counter("policy_dropped_total", "Streams cut as unread.", server.counts.dropped),
        counter("policy_refused_total", "Streams refused as another's.", server.counts.refused),
      ])
    }
    const address = settings.telemetryAddress
    let queries: TelemetryQueries | undefined =
      address === "" ? undefined : remoteQueries(address, member?.transportTo("telemetry"))
    if (services.has("telemetry")) {
      const options = {
        host,
        port: ports.telemetry,
        ...(mesh === null ? {} : { names: mesh.names }),
        ...tls("proxies"),
      }
      const telemetry = await runTelemetry(settings.history, options, log)
      queries = telemetry.queries
      parts.push({ name: "telemetry", listening: telemetry.listening })
      figures.push(telemetry.metrics)
    }
    let taps: Relay | undefined =
      settings.tapAddress === "" ? undefined : remoteRelay(settings.tapAddress, member?.streamTo("tap"))
    if (services.has("tap") && source !== undefined) {
      const options = {
        store: source.store,
        log,
        host,
        port: ports.tap,
        nowMs: () => performance.now(),
        transportTo: proxyTaps(member),
        ...(mesh === null ? {} : { names: mesh.names }),
        ...tls("proxies"),
      }
      const local = localRelay(options)
      taps = local.relay
      parts.push({ name: "tap", listening: await serveTap(local, options) })
      figures.push(local.metrics)
    }
    if (services.has("api") && source !== undefined && queries !== undefined) {
      const known = source
      // A local mesh has no injector: who makes its pods asks here.
      const isLocal = cluster?.from === "manifests"
      const calls = new CallMetrics()
      figures.push(() => calls.metrics())
      if (plugins !== undefined) {
        const asked = plugins
        const conditions = keepConditions(known.store, {
          ...{ api, log, manager: "conduit-api", kinds: pluginConditions(asked) },
          search: {
            // The supervisor says in the log what is wrong with a plugin.
            find: () => [],
            touchedBy: () => false,
          },
        })
        asked.subscribe(() => conditions.read(PLUGIN_KIND))
        kept.push(conditions)
      }
      const options = {
        calls,
        ...(plugins === undefined ? {} : { plugins, windows, reviewsPods: isLocal }),
        ...(mesh === null
          ? {}
          : {
              pluginProcesses: {
                namespace: mesh.names.controlNamespace,
                askedBy: { ...ASKED_BY, ...(isLocal ? { Injection: "api" as const } : {}) },
                own: services,
                ownPod: hostname(),
                adminPort: ADMIN_PORT,
              },
            }),
        problems: () => known.problems(),
        metricsText: () => prometheusText(allMetrics()),
        certified: () => member?.certified() ?? null,
        host,
        port: ports.api,
        version: project.version,
        ...(mesh === null ? {} : { names: mesh.names }),
        policy: settings.policy,
        ...(taps === undefined ? {} : { relay: taps }),
        ...(api === null ? {} : { reviews: new Reviews(api, () => performance.now()) }),
        ...tls("api"),
        onMistake: (call: string, error: unknown) =>
          log.warn(
            `${call} failed by mistake: ${(error instanceof Error ? (error.stack ?? error.message) : String(error)).replaceAll(/\s*\n\s*/g, " ")}`,
          ),
      }
      parts.push({ name: "api", listening: await serveApi(known.store, queries, options) })
    }
    if (settings.web !== null) {
      const { apiAddress } = settings.web
      const plain = { baseUrl: `http://${apiAddress}`, httpVersion: "2" } as const
      const transport =
        member?.transportTo("api")(apiAddress) ??
        constant(createGrpcTransport({ ...plain, defaultTimeoutMs: PEER_TIMEOUT_MS }))
      const web = await serveWeb({ ...settings.web, host, port: ports.web, transport })
      parts.push({ name: "web", listening: web })
      const counter = (name: string, help: string, value: number): Metric => ({
        ...{ name, help, value },
        type: "counter",
      })
      figures.push(() => [
        counter("web_requests_total", "Requests of pages.", web.counts.requests),
        counter("web_calls_total", "Calls passed on to the API.", web.counts.calls),
        counter(
          "web_refused_total",
          "Requests refused: another's host or origin, or not forwarded.",
          web.counts.refused,
        ),
      ])
    }
    const asked = plugins
    const admin = await serveAdmin({
      host,
      port: settings.adminPort,
      notReady: () =>
        source?.store.synced === false
          ? "the cluster is not read yet"
          : (injector?.notReady() ?? member?.notReady() ?? ""),
      metrics: allMetrics,
      ...(asked === undefined
        ? {}
        : {
            pages: {
              [PLUGINS_PATH]: () => toJsonString(PluginsResponseSchema, pluginsKnown(asked)),
            },
          }),
    })
    parts.push({ name: "admin", listening: admin })
  } catch (error) {
    stop()
    throw error
  }
  for (const { name, listening } of parts) {
    log.info(`listening ${name} ${host.includes(":") ? `[${host}]` : host}:${listening.port}`)
  }
  return {
    ports: new Map(parts.map(({ name, listening }) => [name, listening.port])),
    drain: () => {
      injector?.drain()
      return injector === undefined ? 0 : DRAIN_MS
    },
    stop,
  }
}

function constant<T>(value: T): () => T {
  return () => value
}

/** Ways to the tap ports of proxies, which speak TLS of the mesh only. */
function proxyTaps(member: MeshMember | undefined): (pod: PodRecord) => () => Transport {
  return pod => {
    const [ip = ""] = pod.ips
    if (member === undefined)
      return () => {
        throw new ConnectError("without identity proxies have no tap port", Code.FailedPrecondition)
      }
    return member.tapTo(pod, `${ip.includes(":") ? `[${ip}]` : ip}:${PROXY_TAP_PORT}`)
  }
}

async function openApi({
  kubeconfig,
  context,
}: Extract<ClusterSettings, { from: "kubernetes" }>): Promise<KubeApi> {
  const inPod = kubeconfig === "" && context === ""
  return new KubeApi(
    inPod
      ? serviceAccountCredentials({ env: process.env, nowMs: () => performance.now() })
      : await kubeconfigCredentials(kubeconfig, context),
  )
}

/**
 * @param from  an API server, or the folder of manifests that stands for one
 * @param onRead  told of objects that an API server told of
 */
function openCluster(
  from: KubeApi | string,
  log: Log,
  figures: (() => readonly Metric[])[],
  onRead: (resource: Resource) => void,
): ClusterSource {
  let seen = 0
  const options = {
    onProblem: ({ where, message }: Problem) => {
      seen++
      log.warn(`${where}: ${message}`)
    },
    onResolved: () => log.info("the cluster's objects have no problems any more"),
  }
  const source: ClusterSource =
    typeof from === "string"
      ? new ManifestsSource(from, options)
      : new KubernetesSource(from, { ...options, onRead })
  source.start()
  figures.push(() => [
    {
      name: "cluster_synced",
      help: "1 once the cluster is known.",
      type: "gauge",
      value: source.store.synced ? 1 : 0,
    },
    { name: "cluster_objects", help: "Objects kept.", type: "gauge", value: source.store.size },
    {
      name: "cluster_problems",
      help: "Problems with the input now.",
      type: "gauge",
      value: source.problems().length,
    },
    { name: "cluster_problems_total", help: "Problems seen.", type: "counter", value: seen },
  ])
  return source
}
