// Puts the proxy into a pod template: the one inject that the local cluster, the CLI and the webhook share.
import { redirectArgs } from "../redirect/mod.ts"
import { obstacle, warningsOf } from "./fitness.ts"
import {
  beforeAnnotation,
  CONTROL_PLANE_LABEL,
  CREATED_BY_ANNOTATION,
  DEFAULT_CONTAINER,
  INIT_CONTAINER,
  INJECT_ANNOTATION,
  MAX_LABEL_BYTES,
  NAMESPACE_LABEL,
  PROXY_CONTAINER,
  PROXY_VERSION_ANNOTATION,
  TOKEN_VOLUME,
} from "./marks.ts"
import type { Container, EnvVar, PodTemplate, Volume } from "./pod_spec.ts"
import { type ProxySettings, portListValue, readSettings, SETTING_PREFIX } from "./settings.ts"
import { validateContainer } from "./validate_container.ts"

/** Image names; a runner without images (the local cluster) maps them to its own programs. */
export const PROXY_IMAGE = "conduit/proxy"
/** See {@link PROXY_IMAGE}. */
export const INIT_IMAGE = "conduit/init"
/** Where the token that proves the workload is mounted in the proxy. */
export const TOKEN_MOUNT_PATH = "/var/run/secrets/conduit.io/identity"
/**
 * Program in the proxy's image that ends once the proxy of its pod accepts connections, or fails after two minutes.
 * A kubelet starts the next container only when it has ended.
 */
export const AWAIT_COMMAND: readonly string[] = ["conduit-await", "--timeout=120s"]

/** Kinds of workload that a pod template can belong to. */
export type WorkloadKind =
  | "Deployment"
  | "StatefulSet"
  | "DaemonSet"
  | "ReplicaSet"
  | "Job"
  | "CronJob"
  | "Pod"

/** Where and for whom a template is injected. */
export interface InjectOptions {
  /** Namespace that the pods will run in; empty when it is not known, as of a manifest that names none. */
  readonly namespace: string
  /** The workload that owns the template; its name is empty when the API server will choose it. */
  readonly workload: { readonly kind: WorkloadKind; readonly name: string }
  /** Annotations of that namespace; the template's win over them. */
  readonly namespaceAnnotations?: Readonly<Record<string, string>>
  /** What happens where neither template nor namespace says anything. */
  readonly byDefault: "enabled" | "disabled"
  /** Namespace of the control plane; its own pods are never injected. */
  readonly conduitNamespace: string
  /** DNS domain of the cluster; default `cluster.local`. */
  readonly clusterDomain?: string
  /** Version put into annotation and image tag. */
  readonly version: string
  /** Whether the cluster runs native sidecars (Kubernetes 1.29 and newer). */
  readonly nativeSidecar: boolean
  /** Whether the CNI plugin redirects pods: then no container has a privilege. Default: conduit-init does. */
  readonly cni?: boolean
  /** Trust anchors of the mesh, PEM; without them proxies have no identity, and no mutual TLS. */
  readonly trustAnchors?: string
  /** Trust domain of the mesh's identities; default `cluster.local`. */
  readonly trustDomain?: string
  /** Log level of the proxy where no annotation says another; default `info`. */
  readonly proxyLogLevel?: string
  /** Where images come from; default: `conduit/...` with the version as tag, pulled where they are not there. */
  readonly images?: { readonly registry: string; readonly tag: string; readonly pullPolicy: string }
  /** Image of the init container; default: as of `images`. */
  readonly initImage?: string
  /** Settings by name that win over annotations and are written to the template as such. */
  readonly settings?: Readonly<Record<string, string>>
}

/** What inject did. `template` is a new object when injected, the given one otherwise. */
export interface InjectResult {
  readonly template: PodTemplate
  readonly injected: boolean
  /** Why nothing was injected; null when it was. */
  readonly skipped: string | null
  /** What works, but perhaps not as its author expects. */
  readonly warnings: readonly string[]
}

/**
 * Adds `conduit-init` (with the CNI plugin `conduit-validate`), `conduit-proxy`, the token volume and the mesh's labels
 * and annotations.
 *
 * Pure: the given template is not changed. Idempotent: an injected template is skipped.
 *
 * @throws SettingError when a `config.conduit.io/*` annotation or `conduit.io/inject` cannot be used
 */
export function inject(template: PodTemplate, options: InjectOptions): InjectResult {
  const annotations = template.metadata?.annotations ?? {}
  const reason = reasonToSkip(template, options)
  if (reason !== null) return skipped(template, reason)

  const settings = settingsOf(template, options)
  const proxy = proxyContainer(template, settings, options)
  const init =
    options.cni === true
      ? validateContainer(initContainer(settings, options), proxy)
      : initContainer(settings, options)
  const apps = template.spec.containers
  const initContainers = template.spec.initContainers ?? []
  const given = { ...settingAnnotations(options.settings), ...defaultContainer(template, settings) }
  return {
    injected: true,
    skipped: null,
    warnings: warningsOf(template, settings, options),
    template: {
      ...template,
      metadata: {
        ...template.metadata,
        labels: { ...template.metadata?.labels, ...labelsOf(options) },
        annotations: {
          ...annotations,
          ...given,
          [CREATED_BY_ANNOTATION]: `conduit/${options.version}`,
          [PROXY_VERSION_ANNOTATION]: settings.version ?? options.images?.tag ?? options.version,
          ...beforeAnnotation(annotations, given),
        },
      },
      spec: {
        ...template.spec,
        // Native: the pod's own init containers start when the proxy runs, and go through it. Plain: they have all
        // ended when the proxy starts, so the redirect comes last and leaves them the network as it was.
        initContainers: settings.nativeSidecar
          ? [init, { ...proxy, restartPolicy: "Always" }, ...initContainers]
          : [...initContainers, init],
        // A plain sidecar goes first: a kubelet starts containers in order and waits for the proxy's postStart hook.
        containers: settings.nativeSidecar ? apps : [proxy, ...apps],
        volumes: [...(template.spec.volumes ?? []), tokenVolume()],
      },
    },
  }
}

/**
 * Only asks for the proxy: the annotations that the webhook reads when pods are made. Pure and idempotent as `inject`.
 *
 * @throws SettingError as `inject` does
 */
export function annotate(template: PodTemplate, options: InjectOptions): InjectResult {
  const annotations = template.metadata?.annotations ?? {}
  const reason = reasonToSkip(template, options)
  if (reason !== null) return skipped(template, reason)
  const given = { ...settingAnnotations(options.settings), [INJECT_ANNOTATION]: "enabled" }
  if (Object.entries(given).every(([name, value]) => annotations[name] === value)) {
    return skipped(template, `already ${INJECT_ANNOTATION}: enabled`)
  }
  const settings = settingsOf(template, options)
  return {
    injected: true,
    skipped: null,
    warnings: warningsOf(template, settings, options),
    template: {
      ...template,
      metadata: {
        ...template.metadata,
        annotations: { ...annotations, ...given, ...beforeAnnotation(annotations, given) },
      },
    },
  }
}

function skipped(template: PodTemplate, reason: string): InjectResult {
  return { template, injected: false, skipped: reason, warnings: [] }
}

function reasonToSkip(template: PodTemplate, options: InjectOptions): string | null {
  const chosen = template.metadata?.annotations?.[INJECT_ANNOTATION]
  const choice = chosen ?? options.namespaceAnnotations?.[INJECT_ANNOTATION]
  if (choice !== undefined && choice !== "enabled" && choice !== "disabled") {
    return `annotation ${INJECT_ANNOTATION} is "${choice}"; it must be enabled or disabled`
  }
  if (options.namespace === options.conduitNamespace) return "it belongs to the control plane"
  if ((choice ?? options.byDefault) === "disabled") {
    if (choice === undefined) return "not opted in"
    return `${INJECT_ANNOTATION}: disabled${chosen === undefined ? " on its namespace" : ""}`
  }
  return obstacle(template)
}

function settingsOf(template: PodTemplate, options: InjectOptions): ProxySettings {
  const layers = [
    options.namespaceAnnotations,
    template.metadata?.annotations,
    settingAnnotations(options.settings),
  ]
  return readSettings(layers, {
    // The plugin redirects before any container runs: init containers need a proxy that already does.
    nativeSidecar:
      options.nativeSidecar || (options.cni === true && (template.spec.initContainers ?? []).length > 0),
    logLevel: options.proxyLogLevel ?? "info",
  })
}

function labelsOf({ conduitNamespace, namespace, workload }: InjectOptions): Record<string, string> {
  const kind = workload.kind.toLowerCase()
  const isName = workload.name !== "" && workload.name.length <= MAX_LABEL_BYTES
  return {
    [CONTROL_PLANE_LABEL]: conduitNamespace,
    ...(namespace === "" ? {} : { [NAMESPACE_LABEL]: namespace }),
    ...(kind === "pod" || !isName ? {} : { [`conduit.io/${kind}`]: workload.name }),
  }
}

function settingAnnotations(settings: Readonly<Record<string, string>> = {}): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [SETTING_PREFIX + name, value]))
}

/** With the proxy first, `kubectl logs` and `exec` would take it for what the pod is about. */
function defaultContainer(template: PodTemplate, settings: ProxySettings): Record<string, string> {
  const name = template.spec.containers[0]?.name
  if (settings.nativeSidecar || name === undefined) return {}
  return template.metadata?.annotations?.[DEFAULT_CONTAINER] === undefined
    ? { [DEFAULT_CONTAINER]: name }
    : {}
}

function imageOf(
  name: "proxy" | "init",
  settings: ProxySettings,
  { images, version }: InjectOptions,
): string {
  const image =
    images === undefined ? { proxy: PROXY_IMAGE, init: INIT_IMAGE }[name] : `${images.registry}/${name}`
  return `${image}:${settings.version ?? images?.tag ?? version}`
}

function pullPolicyOf({ images }: InjectOptions): string {
  return images?.pullPolicy ?? "IfNotPresent"
}

function initContainer(settings: ProxySettings, options: InjectOptions): Container {
  return {
    name: INIT_CONTAINER,
    image: options.initImage ?? imageOf("init", settings, options),
    imagePullPolicy: pullPolicyOf(options),
    args: redirectArgs({
      proxyUid: settings.proxyUid,
      skipInboundPorts: settings.skipInboundPorts,
      skipOutboundPorts: settings.skipOutboundPorts,
    }),
    resources: { requests: { cpu: "10m", memory: "10Mi" }, limits: { cpu: "100m", memory: "50Mi" } },
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: false,
      runAsUser: 0,
      capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    terminationMessagePolicy: "FallbackToLogsOnError",
  }
}

function proxyContainer(template: PodTemplate, settings: ProxySettings, options: InjectOptions): Container {
  const domain = options.clusterDomain ?? "cluster.local"
  const control = (service: string, port: number) =>
    `${service}.${options.conduitNamespace}.svc.${domain}:${port}`
  const env: EnvVar[] = [
    field("CONDUIT_PROXY_NAMESPACE", "metadata.namespace"),
    field("CONDUIT_PROXY_POD", "metadata.name"),
    field("CONDUIT_PROXY_POD_IPS", "status.podIPs"),
    field("CONDUIT_PROXY_NODE", "spec.nodeName"),
    { name: "CONDUIT_PROXY_SERVICE_ACCOUNT", value: template.spec.serviceAccountName ?? "default" },
    { name: "CONDUIT_PROXY_WORKLOAD_KIND", value: options.workload.kind.toLowerCase() },
    { name: "CONDUIT_PROXY_WORKLOAD", value: options.workload.name },
    { name: "CONDUIT_PROXY_DESTINATION_ADDR", value: control("conduit-destination", 8086) },
    { name: "CONDUIT_PROXY_TELEMETRY_ADDR", value: control("conduit-telemetry", 8087) },
    { name: "CONDUIT_PROXY_OPAQUE_PORTS", value: portListValue(settings.opaquePorts) },
    { name: "CONDUIT_PROXY_LOG_LEVEL", value: settings.logLevel },
    { name: "CONDUIT_PROXY_LOG_FORMAT", value: settings.logFormat },
    { name: "CONDUIT_PROXY_ACCESS_LOG", value: settings.accessLog },
    ...traceEnv(settings),
    { name: "CONDUIT_PROXY_SHUTDOWN_GRACE_PERIOD", value: settings.shutdownGracePeriod },
  ]
  if (options.trustAnchors !== undefined) {
    env.push(
      { name: "CONDUIT_PROXY_IDENTITY_ADDR", value: control("conduit-identity", 8080) },
      { name: "CONDUIT_PROXY_POLICY_ADDR", value: control("conduit-policy", 8090) },
      { name: "CONDUIT_PROXY_CONTROL_NAMESPACE", value: options.conduitNamespace },
      { name: "CONDUIT_PROXY_TRUST_DOMAIN", value: options.trustDomain ?? "cluster.local" },
      { name: "CONDUIT_PROXY_TRUST_ANCHORS", value: options.trustAnchors },
      { name: "CONDUIT_PROXY_TOKEN_FILE", value: `${TOKEN_MOUNT_PATH}/token` },
    )
  }
  if (settings.defaultInboundPolicy !== null) {
    env.push({ name: "CONDUIT_PROXY_DEFAULT_INBOUND_POLICY", value: settings.defaultInboundPolicy })
  }
  if (settings.outboundMtls !== null) {
    env.push({ name: "CONDUIT_PROXY_OUTBOUND_MTLS", value: settings.outboundMtls })
  }
  return {
    name: PROXY_CONTAINER,
    image: settings.image ?? imageOf("proxy", settings, options),
    imagePullPolicy: pullPolicyOf(options),
    env,
    ports: [
      { name: "conduit-proxy", containerPort: 4143, protocol: "TCP" },
      { name: "conduit-admin", containerPort: 4191, protocol: "TCP" },
    ],
    // The application starts once the proxy accepts: before that its connections would be refused. /live, not
    // /ready: a pod must also start while the control plane is gone.
    ...(settings.nativeSidecar
      ? { startupProbe: { httpGet: { path: "/live", port: 4191 }, periodSeconds: 1, failureThreshold: 120 } }
      : { lifecycle: lifecycleOf(template) }),
    readinessProbe: { httpGet: { path: "/ready", port: 4191 }, periodSeconds: 2, failureThreshold: 3 },
    livenessProbe: {
      httpGet: { path: "/live", port: 4191 },
      initialDelaySeconds: 10,
      periodSeconds: 10,
      timeoutSeconds: 5,
    },
    ...(Object.keys(settings.requests).length + Object.keys(settings.limits).length > 0
      ? { resources: { requests: { ...settings.requests }, limits: { ...settings.limits } } }
      : {}),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: settings.proxyUid,
      capabilities: { drop: ["ALL"] },
      seccompProfile: { type: "RuntimeDefault" },
    },
    volumeMounts: [{ name: TOKEN_VOLUME, mountPath: TOKEN_MOUNT_PATH, readOnly: true }],
    terminationMessagePolicy: "FallbackToLogsOnError",
  }
}

/** Where spans go; nothing where nobody asks for them. */
function traceEnv({ traceCollector, traceSampling }: ProxySettings): EnvVar[] {
  if (traceCollector === null) return []
  return [
    { name: "CONDUIT_PROXY_TRACE_COLLECTOR", value: traceCollector },
    { name: "CONDUIT_PROXY_TRACE_SAMPLING", value: traceSampling },
  ]
}

/** A token of our own audience, so that `automountServiceAccountToken: false` changes nothing. */
function tokenVolume(): Volume {
  return {
    name: TOKEN_VOLUME,
    projected: {
      sources: [
        { serviceAccountToken: { audience: "identity.conduit.io", expirationSeconds: 86400, path: "token" } },
      ],
    },
  }
}

/**
 * Hooks of a plain sidecar. It starts before the application and holds it back until it accepts. At the end both get
 * their TERM together; the proxy then goes on while the application uses it (proxy/lifecycle.ts), and where the
 * application sleeps before its TERM, the proxy sleeps as long.
 */
function lifecycleOf(template: PodTemplate): NonNullable<Container["lifecycle"]> {
  const seconds = template.spec.containers.map(container =>
    Number(container.lifecycle?.preStop?.sleep?.seconds ?? 0),
  )
  const longest = Math.max(0, ...seconds)
  return {
    postStart: { exec: { command: [...AWAIT_COMMAND] } },
    ...(longest > 0 ? { preStop: { sleep: { seconds: longest } } } : {}),
  }
}

function field(name: string, fieldPath: string): EnvVar {
  return { name, valueFrom: { fieldRef: { fieldPath } } }
}
