// The services of a control-plane process, put together from its settings. main.ts is the process around it.
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { KubeApi, kubeconfigCredentials, serviceAccountCredentials } from "../deploy/kubernetes/mod.ts"
import project from "../package.json" with { type: "json" }
import { type Relay, serveApi } from "./api/mod.ts"
import { type ClusterSource, ManifestsSource, type PodRecord, type Problem } from "./cluster/mod.ts"
import { type KeptConditions, keepConditions } from "./conditions/mod.ts"
import { serveDestination } from "./destination/mod.ts"
import { serveIdentity } from "./identity/mod.ts"
import { type InjectorProcess, startInjector } from "./injector/mod.ts"
import { KubernetesSource, type Resource, Reviews } from "./kubernetes/mod.ts"
import type { Log } from "./log.ts"
import { joinMesh, type MeshMember } from "./mesh_member.ts"
import { policyConditions, policyProblems, servePolicy } from "./policy/mod.ts"
import { routeConditions, routeProblems } from "./routing/mod.ts"
import { type Listening, type Metric, serveAdmin } from "./serve/mod.ts"
import { type ClusterSettings, NEED_CLUSTER, type ServiceName, type Settings } from "./settings.ts"
import { localRelay, remoteRelay, serveTap } from "./tap/mod.ts"
import {
  localQueries,
  remoteQueries,
  serveTelemetry,
  type TelemetryQueries,
  TelemetryStore,
} from "./telemetry/mod.ts"

/**
 * From the pod's end to the injector's: API servers call it for as long as its address is among the Service's, which
 * takes the cluster a second or two to change, and what they call in vain gets no proxy.
 */
export const DRAIN_MS = 5_000

/** Tap port of a proxy (the contract with the outside). */
export const PROXY_TAP_PORT = 4190

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
  const stop = (): void => {
    for (const { listening } of parts) listening.close()
    for (const { stop } of kept) stop()
    injector?.stop()
    source?.stop()
    member?.stop()
  }
  let source: ClusterSource | undefined
  const kept: KeptConditions[] = []
  let member: MeshMember | undefined
  let injector: InjectorProcess | undefined
  try {
    const { cluster } = settings
    const api = cluster?.from === "kubernetes" ? await openApi(cluster) : null
    // The injector needs no certificate of the mesh: API servers could not check it.
    if (mesh !== null && settings.injector === null) {
      const reviews = api === null ? null : new Reviews(api, () => performance.now())
      member = joinMesh(mesh, settings.identity, log, reviews)
      figures.push(member.metrics)
      if (member.identity !== null) {
        const options = { host, port: ports.identity, tls: member.tls("identity"), ...member.identity }
        parts.push({ name: "identity", listening: await serveIdentity(options) })
      }
    }
    const tls = (port: "proxies" | "api") => (member === undefined ? {} : { tls: member.tls(port) })
    if (settings.injector !== null && api !== null) {
      const options = { host, port: ports.injector, version: project.version, log }
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
      const server = await servePolicy(store, {
        host,
        port: ports.policy,
        policy: settings.policy,
        ...tls("proxies"),
      })
      parts.push({ name: "policy", listening: server })
      const conditions = keepConditions(store, {
        ...{ api, log, manager: "conduit-policy" },
        search: {
          find: () =>
            policyProblems(store, settings.policy).map(
              ({ namespace, name, field, message }) =>
                `AuthorizationPolicy "${namespace}/${name}": ${field}: ${message}`,
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
      const telemetry = new TelemetryStore(Date.now())
      queries = localQueries(telemetry, Date.now)
      const options = {
        host,
        port: ports.telemetry,
        nowMs: Date.now,
        ...(mesh === null ? {} : { names: mesh.names }),
        ...tls("proxies"),
      }
      parts.push({ name: "telemetry", listening: await serveTelemetry(telemetry, options) })
      figures.push(() => [
        { name: "telemetry_reporters", help: "Proxies kept.", type: "gauge", value: telemetry.reporterCount },
        {
          name: "telemetry_peers",
          help: "Peers of proxies kept.",
          type: "gauge",
          value: telemetry.peerCount,
        },
        {
          name: "telemetry_access_records",
          help: "Access records of proxies kept.",
          type: "gauge",
          value: telemetry.accessCount,
        },
        {
          name: "telemetry_folded_access_records_total",
          help: "Access records counted as other as too many.",
          type: "counter",
          value: telemetry.losses.foldedAccesses,
        },
        {
          name: "telemetry_refused_reporters_total",
          help: "Proxies refused as too many.",
          type: "counter",
          value: telemetry.losses.refusedReporters,
        },
        {
          name: "telemetry_left_out_peers_total",
          help: "Peers left out as too many.",
          type: "counter",
          value: telemetry.losses.leftOutPeers,
        },
      ])
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
      const options = {
        problems: () => known.problems(),
        certified: () => member?.certified() ?? null,
        host,
        port: ports.api,
        version: project.version,
        ...(mesh === null ? {} : { names: mesh.names }),
        policy: settings.policy,
        ...(taps === undefined ? {} : { relay: taps }),
        ...(api === null ? {} : { reviews: new Reviews(api, () => performance.now()) }),
        ...tls("api"),
      }
      parts.push({ name: "api", listening: await serveApi(known.store, queries, options) })
    }
    const admin = await serveAdmin({
      host,
      port: settings.adminPort,
      notReady: () =>
        source?.store.synced === false
          ? "the cluster is not read yet"
          : (injector?.notReady() ?? member?.notReady() ?? ""),
      metrics: () => [...processMetrics(), ...figures.flatMap(read => read())],
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

function processMetrics(): Metric[] {
  const { rss } = process.memoryUsage()
  const start = Date.now() / 1000 - process.uptime()
  return [
    { name: "process_resident_memory_bytes", help: "Resident memory.", type: "gauge", value: rss },
    { name: "process_start_time_seconds", help: "Start, seconds since 1970.", type: "gauge", value: start },
    { name: "process_cpu_seconds_total", help: "CPU time.", type: "counter", value: cpuSeconds() },
  ]
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}
