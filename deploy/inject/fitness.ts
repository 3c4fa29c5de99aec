// Whether a proxy can be put into a pod template, and what will not work as its author may expect.
import type { InjectOptions, WorkloadKind } from "./inject.ts"
import {
  INIT_CONTAINER,
  isInjected,
  MAX_LABEL_BYTES,
  PROXY_CONTAINER,
  TOKEN_VOLUME,
  VALIDATE_CONTAINER,
} from "./marks.ts"
import type { PodTemplate } from "./pod_spec.ts"
import { type ProxySettings, SETTING_PREFIX } from "./settings.ts"

/** Containers of other meshes: two redirects in one pod cannot work. */
const FOREIGN_SIDECARS = [
  "istio-proxy",
  "istio-init",
  "linkerd-proxy",
  "linkerd-init",
  "envoy-sidecar",
  "consul-dataplane",
  "kuma-sidecar",
]
/** Ports that the proxy listens on. */
const PROXY_PORTS = [4140, 4143, 4190, 4191]

/** Why an injected template is skipped: there is nothing to do, and nothing wrong. */
export const ALREADY_INJECTED = "already injected"

/** Why a proxy cannot be put there; null when it can. */
export function obstacle(template: PodTemplate): string | null {
  const { spec } = template
  const names = [...(spec.initContainers ?? []), ...spec.containers].map(container => container.name)
  const ours = names.find(name => [PROXY_CONTAINER, INIT_CONTAINER, VALIDATE_CONTAINER].includes(name))
  if (ours !== undefined) {
    return isInjected(template)
      ? ALREADY_INJECTED
      : `it has a container ${ours} that Conduit did not put there`
  }
  const foreign = names.find(name => FOREIGN_SIDECARS.includes(name))
  if (foreign !== undefined) return `it has the sidecar ${foreign} of another mesh`
  if ((spec.volumes ?? []).some(volume => volume.name === TOKEN_VOLUME)) {
    return `it has a volume ${TOKEN_VOLUME} that Conduit did not put there`
  }
  if (spec.hostNetwork === true) return "hostNetwork: redirecting it would redirect the whole node"
  const selector = (spec.nodeSelector ?? {}) as Readonly<Record<string, unknown>>
  const systems = [
    (spec.os as { name?: string } | undefined)?.name,
    selector["kubernetes.io/os"],
    selector["beta.kubernetes.io/os"],
  ]
  if (systems.includes("windows")) return "it runs on Windows, where the proxy does not"
  return null
}

/** What works, but perhaps not as expected, one sentence each. */
export function warningsOf(template: PodTemplate, settings: ProxySettings, options: InjectOptions): string[] {
  const warnings: string[] = []
  const ports = template.spec.containers.flatMap(container => container.ports ?? [])
  const udp = ports.filter(port => port.protocol === "UDP").map(port => port.containerPort)
  if (udp.length > 0) warnings.push(`UDP is not meshed: port ${udp.join(", ")} stays as it is`)
  const taken = ports.filter(
    port => PROXY_PORTS.includes(Number(port.containerPort)) && port.protocol !== "UDP",
  )
  if (taken.length > 0) {
    warnings.push(`the proxy listens on port ${taken.map(port => port.containerPort).join(", ")} itself`)
  }
  const pod = template.spec.securityContext?.runAsUser
  const same = template.spec.containers.filter(
    container => Number(container.securityContext?.runAsUser ?? pod) === settings.proxyUid,
  )
  if (same.length > 0) {
    warnings.push(
      `container ${same.map(container => container.name).join(", ")} runs as user ${settings.proxyUid}, which is the proxy's: ` +
        `what it sends is not meshed (${SETTING_PREFIX}proxy-uid chooses another user for the proxy)`,
    )
  }
  if (!settings.nativeSidecar) warnings.push(...plainWarnings(template, options))
  if (options.workload.name.length > MAX_LABEL_BYTES) {
    warnings.push(
      `its name is too long for a label, so the pods have no label conduit.io/${options.workload.kind.toLowerCase()}`,
    )
  }
  return warnings
}

/** What only a native sidecar can do. */
function plainWarnings(template: PodTemplate, options: InjectOptions): string[] {
  const native = `${SETTING_PREFIX}native-sidecar: enabled`
  const warnings: string[] = []
  if (endsByItself(template, options.workload.kind)) {
    warnings.push(
      `its pods end, and a plain sidecar does not: POST http://127.0.0.1:4191/shutdown at the end, or ${native}`,
    )
  }
  const inits = template.spec.initContainers ?? []
  if (options.cni === true && inits.length > 0) {
    warnings.push(
      `init container ${inits.map(container => container.name).join(", ")} has no TCP out of the pod: the CNI plugin ` +
        `redirects it before the proxy runs (${native} starts the proxy first)`,
    )
  }
  const hooks = template.spec.containers.filter(
    ({ lifecycle }) => lifecycle?.preStop !== undefined && lifecycle.preStop.sleep === undefined,
  )
  if (hooks.length > 0) {
    warnings.push(
      `container ${hooks.map(container => container.name).join(", ")} has a preStop hook, which the proxy does not wait for: ` +
        `it may be gone before the application (${native} ends it after the application)`,
    )
  }
  return warnings
}

/** Whether the pods of a template are meant to end by themselves, so that their sidecar must end too. */
export function endsByItself(template: PodTemplate, kind: WorkloadKind): boolean {
  if (kind === "Job" || kind === "CronJob") return true
  return kind === "Pod" && ["Never", "OnFailure"].includes(template.spec.restartPolicy ?? "Always")
}
