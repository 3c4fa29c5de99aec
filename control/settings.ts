// Settings of a control-plane process: what it runs, where it listens, and how it takes part in the mesh.
import { parseArgs } from "node:util"
import project from "../package.json" with { type: "json" }
import { DEFAULT_POLICY_NAMES, parseNetwork } from "../protos/authorization/mod.ts"
import type { IdentitySettings } from "./identity/mod.ts"
import { type InjectorSettings, injectorSettings } from "./injector/mod.ts"
import { identitySettings, type MeshSettings, meshSettings } from "./mesh_settings.ts"
import { POLICY_DEFAULTS, type PolicyOptions } from "./policy/mod.ts"
import { type WebSettings, webSettings } from "./web/mod.ts"

/** Services of the control plane with their ports (the contract with the outside). */
export const SERVICE_PORTS = {
  identity: 8080,
  destination: 8086,
  policy: 8090,
  telemetry: 8087,
  tap: 8088,
  api: 8085,
  injector: 8443,
  web: 8084,
} as const
/** Admin port of every process. */
export const ADMIN_PORT = 9990

/** A service of the control plane. */
export type ServiceName = keyof typeof SERVICE_PORTS

const SERVICE_NAMES = Object.keys(SERVICE_PORTS) as ServiceName[]
/** Services that answer from the cluster's objects. */
export const NEED_CLUSTER: readonly ServiceName[] = ["destination", "policy", "tap", "api"]
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
  /** Where the cluster's objects come from, and who is asked about tokens; null when no service needs it. */
  readonly cluster: ClusterSettings | null
  /** Address that every port listens on. */
  readonly host: string
  /** Ports by service. */
  readonly ports: Readonly<Record<ServiceName, number>>
  /** Admin port. */
  readonly adminPort: number
  /** `host:port` of the telemetry service; empty when it runs in this process. */
  readonly telemetryAddress: string
  /** Where telemetry keeps what is older than memory reaches. */
  readonly history: HistorySettings
  /** `host:port` of the tap service; empty when it runs in this process, or nowhere. */
  readonly tapAddress: string
  /** Certificates and TLS; null for a control plane without identity. */
  readonly mesh: MeshSettings | null
  /** The identity service; null where it does not run. */
  readonly identity: IdentitySettings | null
  /** The injector; null where it does not run. */
  readonly injector: InjectorSettings | null
  /** The dashboard; null where it does not run. */
  readonly web: WebSettings | null
  /** What the installation decides about policies. */
  readonly policy: PolicyOptions
}

/** Where telemetry keeps what is older than memory reaches; both empty: nowhere. */
export interface HistorySettings {
  /** Folder of the history's file. */
  readonly folder: string
  /** Address of a Prometheus that scrapes the proxies; it is asked instead of a file. */
  readonly prometheusUrl: string
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
  const mesh = meshSettings(env)
  if (typeof mesh === "string") return mesh
  const cluster = clusterSettings(parsed.values)
  if (typeof cluster === "string") return cluster
  const asksApi = cluster?.from === "kubernetes"
  const identity =
    service === "identity" || (all && mesh !== null) ? identitySettings(env, mesh, asksApi) : null
  if (typeof identity === "string") return identity
  // `all` is a mesh in one process, and those are without an API server that would call a webhook, and without a page.
  const every = SERVICE_NAMES.filter(
    name => name !== "injector" && name !== "web" && (name !== "identity" || identity !== null),
  )
  const services = new Set(all ? every : [service as ServiceName])
  if (cluster === null && NEED_CLUSTER.some(name => services.has(name))) {
    return (
      `${service} needs --kubernetes: the cluster that it runs in (or --kubeconfig FILE), ` +
      "or --manifests DIR: the folder of Kubernetes objects that describes the cluster"
    )
  }
  const injector = services.has("injector") ? injectorSettings(env, project.version) : null
  if (typeof injector === "string") return injector
  if (injector !== null && cluster?.from !== "kubernetes") {
    return "injector needs --kubernetes: the cluster whose API server calls it (or --kubeconfig FILE)"
  }
  const web = services.has("web") ? webSettings(env) : null
  if (typeof web === "string") return web
  const telemetryAddress = services.has("telemetry") ? "" : (env.CONDUIT_TELEMETRY_ADDR ?? "")
  if (services.has("api") && !services.has("telemetry") && telemetryAddress === "") {
    return "api needs CONDUIT_TELEMETRY_ADDR: host:port of the telemetry service"
  }
  const history = historySettings(env)
  if (typeof history === "string") return history
  const tapAddress = services.has("tap") ? "" : (env.CONDUIT_TAP_ADDR ?? "")
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
    history,
    tapAddress,
    mesh,
    identity,
    injector,
    web,
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

function historySettings(env: Readonly<Record<string, string | undefined>>): HistorySettings | string {
  const { CONDUIT_TELEMETRY_FOLDER: folder = "", CONDUIT_PROMETHEUS_URL: prometheusUrl = "" } = env
  if (prometheusUrl !== "" && !/^https?:\/\/[^/\s]+/.test(prometheusUrl)) {
    return `CONDUIT_PROMETHEUS_URL must be an address such as http://prometheus.monitoring:9090, not "${prometheusUrl}"`
  }
  return { folder, prometheusUrl: prometheusUrl.replace(/\/+$/, "") }
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
