// Puts the proxy into a pod template: the one inject that the local cluster, the CLI and the webhook share.
import { redirectArgs } from "../redirect/mod.ts"
import type { Container, EnvVar, PodTemplate, Volume } from "./pod_spec.ts"
import { type ProxySettings, portListValue, readSettings } from "./settings.ts"

/** Annotation on a namespace or pod template that opts in or out. */
export const INJECT_ANNOTATION = "conduit.io/inject"
/** Name of the sidecar container. */
export const PROXY_CONTAINER = "conduit-proxy"
/** Name of the init container that redirects the pod's TCP. */
export const INIT_CONTAINER = "conduit-init"
/** Image names; a runner without images (the local cluster) maps them to its own programs. */
export const PROXY_IMAGE = "conduit/proxy"
/** See {@link PROXY_IMAGE}. */
export const INIT_IMAGE = "conduit/init"
/** Where the token that proves the workload is mounted in the proxy. */
export const TOKEN_MOUNT_PATH = "/var/run/secrets/conduit.io/identity"

/** Sidecars of other meshes: two redirects in one pod cannot work. */
const FOREIGN_SIDECARS = ["istio-proxy", "linkerd-proxy", "envoy-sidecar", "consul-dataplane"]
const TOKEN_VOLUME = "conduit-identity-token"

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
  /** Namespace that the pods will run in. */
  readonly namespace: string
  /** The workload that owns the template. */
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
  /** Trust anchors of the mesh, PEM; without them proxies have no identity, and no mutual TLS. */
  readonly trustAnchors?: string
  /** Trust domain of the mesh's identities; default `cluster.local`. */
  readonly trustDomain?: string
  /** Log level of the proxy where no annotation says another; default `info`. */
  readonly proxyLogLevel?: string
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
 * Adds `conduit-init`, `conduit-proxy`, the token volume and the mesh's labels and annotations.
 *
 * Pure: the given template is not changed. Idempotent: an injected template is skipped.
 *
 * @throws SettingError when a `config.conduit.io/*` annotation or `conduit.io/inject` cannot be used
 */
export function inject(template: PodTemplate, options: InjectOptions): InjectResult {
  const skip = (skipped: string): InjectResult => ({ template, injected: false, skipped, warnings: [] })
  const annotations = template.metadata?.annotations ?? {}
  const choice = annotations[INJECT_ANNOTATION] ?? options.namespaceAnnotations?.[INJECT_ANNOTATION]
  if (choice !== undefined && choice !== "enabled" && choice !== "disabled") {
    return skip(`annotation ${INJECT_ANNOTATION} is "${choice}"; it must be enabled or disabled`)
  }
  if (options.namespace === options.conduitNamespace) return skip("it belongs to the control plane")
  if ((choice ?? options.byDefault) === "disabled") {
    return skip(choice === undefined ? "not opted in" : `${INJECT_ANNOTATION}: disabled`)
  }
  const containers = [...(template.spec.initContainers ?? []), ...template.spec.containers]
  if (containers.some(container => container.name === PROXY_CONTAINER)) return skip("already injected")
  const foreign = containers.find(container => FOREIGN_SIDECARS.includes(container.name))
  if (foreign !== undefined) return skip(`it has the sidecar ${foreign.name} of another mesh`)
  if (template.spec.hostNetwork === true) {
    return skip("hostNetwork: redirecting it would redirect the whole node")
  }

  const settings = readSettings([options.namespaceAnnotations, annotations], {
    nativeSidecar: options.nativeSidecar,
    logLevel: options.proxyLogLevel ?? "info",
  })
  const proxy = proxyContainer(template, settings, options)
  const init = initContainer(settings, options)
  const { initContainers = [], containers: apps } = template.spec
  const kind = options.workload.kind.toLowerCase()
  return {
    injected: true,
    skipped: null,
    warnings: udpWarnings(template),
    template: {
      ...template,
      metadata: {
        ...template.metadata,
        labels: {
          ...template.metadata?.labels,
          "conduit.io/control-plane-ns": options.conduitNamespace,
          "conduit.io/workload-ns": options.namespace,
          ...(kind === "pod" ? {} : { [`conduit.io/${kind}`]: options.workload.name }),
        },
        annotations: {
          ...annotations,
          "conduit.io/created-by": `conduit/${options.version}`,
          "conduit.io/proxy-version": settings.version ?? options.version,
        },
      },
      spec: {
        ...template.spec,
        initContainers: settings.nativeSidecar
          ? [init, { ...proxy, restartPolicy: "Always" }, ...initContainers]
          : [init, ...initContainers],
        // A plain sidecar goes last, so that the first container stays the application's.
        containers: settings.nativeSidecar ? apps : [...apps, proxy],
        volumes: [...(template.spec.volumes ?? []), tokenVolume()],
      },
    },
  }
}

function initContainer(settings: ProxySettings, options: InjectOptions): Container {
  return {
    name: INIT_CONTAINER,
    image: `${INIT_IMAGE}:${settings.version ?? options.version}`,
    imagePullPolicy: "IfNotPresent",
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
    image: settings.image ?? `${PROXY_IMAGE}:${settings.version ?? options.version}`,
    imagePullPolicy: "IfNotPresent",
    env,
    ports: [
      { name: "conduit-proxy", containerPort: 4143, protocol: "TCP" },
      { name: "conduit-admin", containerPort: 4191, protocol: "TCP" },
    ],
    // The application starts once the proxy accepts: before that its connections would be refused. /live, not
    // /ready: a pod must also start while the control plane is gone.
    ...(settings.nativeSidecar
      ? { startupProbe: { httpGet: { path: "/live", port: 4191 }, periodSeconds: 1, failureThreshold: 120 } }
      : {}),
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

function udpWarnings(template: PodTemplate): string[] {
  const udp = template.spec.containers.flatMap(container =>
    (container.ports ?? []).filter(port => port.protocol === "UDP").map(port => port.containerPort),
  )
  return udp.length === 0 ? [] : [`UDP is not meshed: port ${udp.join(", ")} stays as it is`]
}

function field(name: string, fieldPath: string): EnvVar {
  return { name, valueFrom: { fieldRef: { fieldPath } } }
}
