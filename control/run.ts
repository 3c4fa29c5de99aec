// Settings of a control-plane process, and the services that it runs. main.ts is the process around it.
import { parseArgs } from "node:util"
import { KubeApi, kubeconfigCredentials, serviceAccountCredentials } from "../deploy/kubernetes/mod.ts"
import project from "../package.json" with { type: "json" }
import { DEFAULT_POLICY_NAMES, parseNetwork } from "../protos/authorization/mod.ts"
import { serveApi } from "./api/mod.ts"
import { type ClusterSource, ManifestsSource, type Problem } from "./cluster/mod.ts"
import { serveDestination } from "./destination/mod.ts"
import { KubernetesSource } from "./kubernetes/mod.ts"
import type { Log } from "./log.ts"
import { POLICY_DEFAULTS, type PolicyOptions, servePolicy, watchProblems } from "./policy/mod.ts"
import { type Listening, type Metric, serveAdmin } from "./serve/mod.ts"
import {
  localQueries,
  remoteQueries,
  serveTelemetry,
  type TelemetryQueries,
  TelemetryStore,
} from "./telemetry/mod.ts"

/** Services of the control plane with their ports (the contract with the outside). */
export const SERVICE_PORTS = { destination: 8086, policy: 8090, telemetry: 8087, api: 8085 } as const
/** Admin port of every process. */
export const ADMIN_PORT = 9990

/** A service of the control plane. */
export type ServiceName = keyof typeof SERVICE_PORTS

const SERVICE_NAMES = Object.keys(SERVICE_PORTS) as ServiceName[]
/** Services that answer from the cluster's objects. */
const NEED_CLUSTER: readonly ServiceName[] = ["destination", "policy", "api"]
const USAGE = `usage: main.ts ${SERVICE_NAMES.join("|")}|all --kubernetes [--kubeconfig FILE] [--context NAME] | --manifests DIR [--listen-host ADDRESS]`

/** Where the cluster's objects come from: a folder of manifests, or a Kubernetes API server. */
export type ClusterSettings =
  | { readonly from: "manifests"; readonly folder: string }
  /** `kubeconfig` and `context` are empty for the pod's own service account. */
  | { readonly from: "kubernetes"; readonly kubeconfig: string; readonly context: string }

/** Settings of a process. */
export interface Settings {
  /** What it runs. */
  readonly services: ReadonlySet<ServiceName>
  /** Where the cluster's objects come from; null when no service needs them. */
  readonly cluster: ClusterSettings | null
  /** Address that every port listens on. */
  readonly host: string
  /** Ports by service. */
  readonly ports: Readonly<Record<ServiceName, number>>
  /** Admin port. */
  readonly adminPort: number
  /** `host:port` of the telemetry service; empty when it runs in this process. */
  readonly telemetryAddress: string
  /** What the installation decides about policies. */
  readonly policy: PolicyOptions
}

/** Reads settings, or says in a sentence what is wrong with them. */
export function parseSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings | string {
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}; ${USAGE}`
  }
  const [service, ...rest] = parsed.positionals
  if (service === undefined || rest.length > 0) return USAGE
  const all = service === "all"
  if (!all && !(service in SERVICE_PORTS)) return `unknown service "${service}"; ${USAGE}`
  const services = new Set(all ? SERVICE_NAMES : [service as ServiceName])
  const cluster = clusterSettings(parsed.values)
  if (typeof cluster === "string") return cluster
  if (cluster === null && NEED_CLUSTER.some(name => services.has(name))) {
    return (
      `${service} needs --kubernetes: the cluster that it runs in (or --kubeconfig FILE), ` +
      "or --manifests DIR: the folder of Kubernetes objects that describes the cluster"
    )
  }
  const telemetryAddress = services.has("telemetry") ? "" : (env.CONDUIT_TELEMETRY_ADDR ?? "")
  if (services.has("api") && !services.has("telemetry") && telemetryAddress === "") {
    return "api needs CONDUIT_TELEMETRY_ADDR: host:port of the telemetry service"
  }
  const policy = policyOptions(env)
  if (typeof policy === "string") return policy
  const ports: Record<ServiceName, number> = { ...SERVICE_PORTS }
  let adminPort: number = ADMIN_PORT
  const variables = [...SERVICE_NAMES, "admin" as const]
  for (const name of variables) {
    const variable = `CONDUIT_${name.toUpperCase()}_PORT`
    const text = env[variable]
    if (text === undefined) continue
    const port = Number(text)
    if (!/^\d+$/.test(text) || port > 65535)
      return `${variable} must be a port from 0 (any) to 65535, not "${text}"`
    if (name === "admin") adminPort = port
    else ports[name] = port
  }
  return {
    services,
    cluster,
    host: parsed.values["listen-host"] ?? "0.0.0.0",
    ports,
    adminPort,
    telemetryAddress,
    policy,
  }
}

function clusterSettings(values: ReturnType<typeof parse>["values"]): ClusterSettings | null | string {
  const { manifests, kubernetes = false, kubeconfig = "", context = "" } = values
  if (!kubernetes && (kubeconfig !== "" || context !== "")) {
    return "--kubeconfig and --context say which cluster --kubernetes means; add --kubernetes"
  }
  if (manifests !== undefined && kubernetes) {
    return "--manifests and --kubernetes exclude each other: the cluster's objects come from one place"
  }
  if (kubernetes) return { from: "kubernetes", kubeconfig, context }
  return manifests === undefined || manifests === "" ? null : { from: "manifests", folder: manifests }
}

function policyOptions(env: Readonly<Record<string, string | undefined>>): PolicyOptions | string {
  const { trustDomain, clusterNetworks, defaultPolicy } = POLICY_DEFAULTS
  const networks = env.CONDUIT_CLUSTER_NETWORKS?.split(",").map(one => one.trim()) ?? clusterNetworks
  for (const network of networks) {
    const parsed = parseNetwork(network)
    if (typeof parsed === "string")
      return `CONDUIT_CLUSTER_NETWORKS takes networks separated by commas: ${parsed}`
  }
  const name = env.CONDUIT_DEFAULT_INBOUND_POLICY ?? defaultPolicy
  if (!(DEFAULT_POLICY_NAMES as readonly string[]).includes(name)) {
    const names = [...new Set(DEFAULT_POLICY_NAMES)].join(", ")
    return `CONDUIT_DEFAULT_INBOUND_POLICY must be one of ${names}, not "${name}"`
  }
  return {
    trustDomain: env.CONDUIT_TRUST_DOMAIN ?? trustDomain,
    clusterNetworks: networks,
    defaultPolicy: name,
  }
}

function parse(args: readonly string[]) {
  return parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      manifests: { type: "string" },
      kubernetes: { type: "boolean" },
      kubeconfig: { type: "string" },
      context: { type: "string" },
      "listen-host": { type: "string" },
    },
  })
}

/** A control plane that runs. */
export interface RunningControlPlane {
  /** Ports that are served, by service and `admin`. */
  readonly ports: ReadonlyMap<ServiceName | "admin", number>
  /** Ends it at once. */
  stop(): void
}

/**
 * Runs the services.
 *
 * @throws Error with a sentence for a person when a port cannot be listened on
 */
export async function runControlPlane(settings: Settings, log: Log): Promise<RunningControlPlane> {
  const { services, host, ports } = settings
  const parts: { name: ServiceName | "admin"; listening: Listening }[] = []
  const figures: (() => readonly Metric[])[] = []
  const ends: (() => void)[] = []
  const stop = (): void => {
    for (const { listening } of parts) listening.close()
    for (const end of ends) end()
    source?.stop()
  }
  let source: ClusterSource | undefined
  try {
    source = settings.cluster === null ? undefined : await openCluster(settings.cluster, log, figures)
    if (services.has("destination") && source !== undefined) {
      const server = await serveDestination(source.store, { host, port: ports.destination })
      parts.push({ name: "destination", listening: server })
      figures.push(() => [
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
          name: "destination_dropped_total",
          help: "Streams cut as unread.",
          type: "counter",
          value: server.counts.dropped,
        },
      ])
    }
    if (services.has("policy") && source !== undefined) {
      const { store } = source
      const server = await servePolicy(store, { host, port: ports.policy, policy: settings.policy })
      parts.push({ name: "policy", listening: server })
      const watched = watchProblems(store, settings.policy, ({ namespace, name, field, message }) => {
        log.warn(`AuthorizationPolicy "${namespace}/${name}": ${field}: ${message}`)
      })
      ends.push(watched.stop)
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
        gauge("policy_problems", "Problems of well-formed policies now.", watched.problems().length),
        counter("policy_updates_total", "Messages sent.", server.counts.updates),
        counter("policy_dropped_total", "Streams cut as unread.", server.counts.dropped),
      ])
    }
    const address = settings.telemetryAddress
    let queries: TelemetryQueries | undefined = address === "" ? undefined : remoteQueries(address)
    if (services.has("telemetry")) {
      const telemetry = new TelemetryStore(Date.now())
      queries = localQueries(telemetry, Date.now)
      const options = { host, port: ports.telemetry, nowMs: Date.now }
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
    if (services.has("api") && source !== undefined && queries !== undefined) {
      const options = { host, port: ports.api, version: project.version }
      parts.push({ name: "api", listening: await serveApi(source.store, queries, options) })
    }
    const admin = await serveAdmin({
      host,
      port: settings.adminPort,
      notReady: () => (source?.store.synced === false ? "the cluster is not read yet" : ""),
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
  return { ports: new Map(parts.map(({ name, listening }) => [name, listening.port])), stop }
}

async function openCluster(
  settings: ClusterSettings,
  log: Log,
  figures: (() => readonly Metric[])[],
): Promise<ClusterSource> {
  let seen = 0
  const options = {
    onProblem: ({ where, message }: Problem) => {
      seen++
      log.warn(`${where}: ${message}`)
    },
    onResolved: () => log.info("the cluster's objects have no problems any more"),
  }
  let source: ClusterSource
  if (settings.from === "manifests") source = new ManifestsSource(settings.folder, options)
  else {
    const { kubeconfig, context } = settings
    const inPod = kubeconfig === "" && context === ""
    const credentials = inPod
      ? serviceAccountCredentials({ env: process.env, nowMs: () => performance.now() })
      : await kubeconfigCredentials(kubeconfig, context)
    source = new KubernetesSource(new KubeApi(credentials), options)
  }
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
