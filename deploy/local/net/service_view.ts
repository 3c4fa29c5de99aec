// From Services and pods to what the network needs: packet rules and names. Endpoints are chosen as the
// endpoint controller chooses them.
import { type KubeObject, type ServicePort, selects, serviceSpec } from "../objects/kube_object.ts"
import { CLUSTER_DOMAIN, type DnsZone } from "./dns_zone.ts"
import type { ServicePortRules } from "./service_rules.ts"
import { isV6 } from "./service_rules.ts"

/** A pod as Services see it. */
export interface BackendPod {
  readonly namespace: string
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly ips: readonly string[]
  readonly ready: boolean
  /** Has an address and is not going away, ready or not. */
  readonly present: boolean
  readonly hostname: string | undefined
  readonly subdomain: string | undefined
  /** Number of a named container port. */
  portNamed(name: string): number | null
}

interface Backend {
  readonly address: string
  readonly port: number
  readonly hostname: string | undefined
}

/** Rules of all Services with an address. */
export function rulesOf(
  services: readonly KubeObject[],
  pods: readonly BackendPod[],
  slices: readonly KubeObject[],
): ServicePortRules[] {
  const rules: ServicePortRules[] = []
  for (const service of services) {
    const spec = serviceSpec(service)
    for (const address of spec.clusterIPs ?? []) {
      if (address === "None") continue
      for (const port of spec.ports ?? []) {
        const protocol = (port.protocol ?? "TCP").toLowerCase()
        if (protocol !== "tcp" && protocol !== "udp") continue
        const endpoints = backendsOf(service, port, pods, slices).filter(
          backend => isV6(backend.address) === isV6(address),
        )
        rules.push({ address, protocol, port: port.port, endpoints })
      }
    }
  }
  return rules
}

/** Names of all Services and of the pods behind headless ones. */
export function zoneOf(
  services: readonly KubeObject[],
  pods: readonly BackendPod[],
  slices: readonly KubeObject[],
): DnsZone {
  const addresses: Record<string, string[]> = {}
  const srv: Record<string, { target: string; port: number }[]> = {}
  const aliases: Record<string, string> = {}
  const pointers: Record<string, string> = {}
  for (const service of services) {
    const spec = serviceSpec(service)
    const name = `${service.metadata.name}.${service.metadata.namespace}.svc.${CLUSTER_DOMAIN}`.toLowerCase()
    if (spec.type === "ExternalName") {
      aliases[name] = spec.externalName ?? ""
      continue
    }
    const headless = spec.clusterIP === "None"
    if (!headless) {
      addresses[name] = [...(spec.clusterIPs ?? [])]
      for (const address of spec.clusterIPs ?? []) pointers[reverseName(address)] = name
      for (const port of spec.ports ?? []) addService(srv, name, port, [{ target: name, port: port.port }])
      continue
    }
    const found = new Map<string, Backend>()
    for (const port of spec.ports ?? []) {
      const backends = backendsOf(service, port, pods, slices)
      for (const backend of backends) found.set(backend.address, backend)
      addService(
        srv,
        name,
        port,
        backends.map(backend => ({ target: `${hostOf(backend)}.${name}`, port: backend.port })),
      )
    }
    if ((spec.ports ?? []).length === 0) {
      for (const backend of backendsOf(service, null, pods, slices)) found.set(backend.address, backend)
    }
    addresses[name] = [...found.keys()]
    for (const backend of found.values()) {
      const host = `${hostOf(backend)}.${name}`
      const known = addresses[host] ?? []
      known.push(backend.address)
      addresses[host] = known
      pointers[reverseName(backend.address)] = host
    }
  }
  return { addresses, services: srv, aliases, pointers }
}

/** Name that PTR queries ask for. */
export function reverseName(address: string): string {
  if (!isV6(address)) return `${address.split(".").reverse().join(".")}.in-addr.arpa`
  const [head = "", tail = ""] = address.split("::")
  const front = head === "" ? [] : head.split(":")
  const back = tail === "" ? [] : tail.split(":")
  const middle = address.includes("::")
    ? Array.from({ length: 8 - front.length - back.length }, () => "0")
    : []
  const digits = [...front, ...middle, ...back].map(group => group.padStart(4, "0")).join("")
  return `${[...digits].reverse().join(".")}.ip6.arpa`
}

function addService(
  table: Record<string, { target: string; port: number }[]>,
  name: string,
  port: ServicePort,
  targets: { target: string; port: number }[],
): void {
  if (port.name === undefined || port.name === "") return
  table[`_${port.name}._${(port.protocol ?? "TCP").toLowerCase()}.${name}`.toLowerCase()] = targets
}

function hostOf(backend: Backend): string {
  return backend.hostname ?? backend.address.replaceAll(/[.:]+/g, "-")
}

function backendsOf(
  service: KubeObject,
  port: ServicePort | null,
  pods: readonly BackendPod[],
  slices: readonly KubeObject[],
): Backend[] {
  const spec = serviceSpec(service)
  const { name, namespace } = service.metadata
  if (spec.selector === undefined) return slicedBackends(service, port, slices)
  const backends: Backend[] = []
  for (const pod of pods) {
    if (pod.namespace !== namespace || !selects(spec.selector, pod.labels)) continue
    if (!pod.present || !(pod.ready || spec.publishNotReadyAddresses === true)) continue
    const target = port?.targetPort ?? port?.port ?? 0
    const number =
      typeof target === "number" ? target : /^\d+$/.test(target) ? Number(target) : pod.portNamed(target)
    if (number === null) continue
    const hostname = pod.subdomain === name ? pod.hostname : undefined
    for (const address of pod.ips) {
      // As in Kubernetes a single-stack Service, headless or not, has IPv4 endpoints unless it asks for more.
      if (isV6(address) && !wantsV6(service)) continue
      backends.push({ address, port: number, hostname })
    }
  }
  return backends
}

/** Whether a Service asks for IPv6 addresses. */
export function wantsV6(service: KubeObject): boolean {
  const spec = serviceSpec(service)
  return (
    spec.ipFamilies?.includes("IPv6") === true ||
    spec.ipFamilyPolicy === "PreferDualStack" ||
    spec.ipFamilyPolicy === "RequireDualStack"
  )
}

interface SliceShape {
  ports?: { name?: string; port: number }[]
  endpoints?: { addresses: string[]; hostname?: string; conditions?: { ready?: boolean } }[]
  subsets?: { addresses?: { ip: string; hostname?: string }[]; ports?: { name?: string; port: number }[] }[]
}

function slicedBackends(
  service: KubeObject,
  port: ServicePort | null,
  slices: readonly KubeObject[],
): Backend[] {
  const { name, namespace } = service.metadata
  const backends: Backend[] = []
  for (const slice of slices) {
    if (slice.metadata.namespace !== namespace) continue
    const shape = slice as unknown as SliceShape
    const isEndpoints = slice.kind === "Endpoints"
    if ((isEndpoints ? slice.metadata.name : slice.metadata.labels?.["kubernetes.io/service-name"]) !== name)
      continue
    const groups = isEndpoints
      ? (shape.subsets ?? []).map(subset => ({
          ports: subset.ports,
          hosts: (subset.addresses ?? []).map(({ ip, hostname }) => ({ address: ip, hostname })),
        }))
      : [
          {
            ports: shape.ports,
            hosts: (shape.endpoints ?? [])
              .filter(endpoint => endpoint.conditions?.ready !== false)
              .flatMap(({ addresses, hostname }) => addresses.map(address => ({ address, hostname }))),
          },
        ]
    for (const { ports, hosts } of groups) {
      const number =
        port === null ? 0 : (ports ?? []).find(entry => (entry.name ?? "") === (port.name ?? ""))?.port
      if (number === undefined) continue
      for (const { address, hostname } of hosts) backends.push({ address, port: number, hostname })
    }
  }
  return backends
}
