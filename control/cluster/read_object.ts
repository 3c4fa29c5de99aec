// Reads a Kubernetes object in its standard shape into the record that is kept of it. Shared by every
// source, so that a manifest and the API server are understood alike.
import {
  type RouteComplaint,
  readReferenceGrant,
  readRoute,
  readServiceTraffic,
} from "../../deploy/gateway/mod.ts"
import { PLUGIN_KIND, readPlugin } from "../../deploy/plugin_object/mod.ts"
import {
  EGRESS_KIND,
  POLICY_KIND,
  type PolicyComplaint,
  RATE_LIMIT_KIND,
  readAuthorizationPolicy,
  readEgressPolicy,
  readRateLimitPolicy,
} from "../../deploy/policy/mod.ts"
import { DEFAULT_POLICY_NAMES } from "../../protos/authorization/mod.ts"
import { canonicalIp } from "./ip_address.ts"
import type {
  AnyPolicyRecord,
  ClusterObject,
  ContainerPort,
  OwnerRef,
  PodProbe,
  PodRecord,
  PortRange,
  RouteRecord,
  ServicePort,
  ServiceRecord,
  SliceEndpoint,
  SlicePort,
  SliceRecord,
  WorkloadKind,
  WorkloadRecord,
} from "./model.ts"
import { parsePortList } from "./port_list.ts"

/** Path to a field: names and list indexes from the object's root. */
export type FieldPath = readonly (string | number)[]

/** A field that cannot be understood. */
export class FieldError extends Error {
  override readonly name = "FieldError"
  /** The field. */
  readonly path: FieldPath
  /** What else is wrong with the object. */
  readonly more: readonly FieldError[]

  constructor(path: FieldPath, message: string, more: readonly FieldError[] = []) {
    super(message)
    this.path = path
    this.more = more
  }
}

/** What reading an object gave. */
export interface ReadObject {
  /** The record; null for a kind that is not kept. */
  readonly object: ClusterObject | null
  /** Fields that were left out because they cannot be understood, while the object stands without them. */
  readonly warnings: readonly FieldError[]
}

const DEFAULT_INBOUND_POLICY = "config.conduit.io/default-inbound-policy"
const OPAQUE_PORTS = "config.conduit.io/opaque-ports"
const OUTBOUND_MTLS = "config.conduit.io/outbound-mtls"
const CONTROL_PLANE_LABEL = "conduit.io/control-plane-ns"
const PROXY_CONTAINER = "conduit-proxy"
const REDIRECT_CONTAINERS: readonly string[] = ["conduit-init", "conduit-validate"]
const ZONE_LABEL = "topology.kubernetes.io/zone"

/** A node of the object's tree that knows where it stands, so that every complaint names its field. */
class Field {
  readonly value: unknown
  readonly path: FieldPath

  constructor(value: unknown, path: FieldPath) {
    this.value = value
    this.path = path
  }

  get absent(): boolean {
    return this.value === undefined || this.value === null
  }

  fail(message: string): never {
    throw new FieldError(this.path, message)
  }

  at(name: string): Field {
    if (this.absent) return new Field(undefined, [...this.path, name])
    if (typeof this.value !== "object" || Array.isArray(this.value)) this.fail("must be a mapping")
    return new Field((this.value as Record<string, unknown>)[name], [...this.path, name])
  }

  list(): Field[] {
    if (this.absent) return []
    if (!Array.isArray(this.value)) this.fail("must be a list")
    return (this.value as unknown[]).map((item, index) => new Field(item, [...this.path, index]))
  }

  text(): string {
    if (this.absent) return ""
    if (typeof this.value !== "string") this.fail(`must be a string, not ${JSON.stringify(this.value)}`)
    return this.value as string
  }

  required(): string {
    const text = this.text()
    if (text === "") this.fail("is missing")
    return text
  }

  flag(): boolean {
    if (this.absent) return false
    if (typeof this.value !== "boolean") this.fail(`must be true or false, not ${JSON.stringify(this.value)}`)
    return this.value as boolean
  }

  port(): number {
    if (this.absent) this.fail("is missing")
    const { value } = this
    if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > 65535) {
      this.fail(`must be a port from 1 to 65535, not ${JSON.stringify(value)}`)
    }
    return value as number
  }

  ip(): string {
    return (
      canonicalIp(this.required()) ?? this.fail(`must be an IP address, not ${JSON.stringify(this.value)}`)
    )
  }

  strings(): Map<string, string> {
    const map = new Map<string, string>()
    if (this.absent) return map
    if (typeof this.value !== "object" || Array.isArray(this.value)) this.fail("must be a mapping of strings")
    for (const name of Object.keys(this.value as object)) map.set(name, this.at(name).text())
    return map
  }
}

/** Where reading leaves what it warns of. */
type Warnings = FieldError[]

/**
 * Reads one object.
 *
 * @throws FieldError when it cannot be understood; the caller adds file and line
 */
export function readObject(raw: unknown): ReadObject {
  const root = new Field(raw, [])
  const kind = root.at("kind").required()
  root.at("apiVersion").required()
  // Every object has a `valueOf`, which is no kind.
  const read = Object.hasOwn(READERS, kind) ? READERS[kind] : undefined
  if (read === undefined) return { object: null, warnings: [] }
  const warnings: Warnings = []
  return { object: read(root, warnings), warnings }
}

const READERS: Readonly<Record<string, (root: Field, warnings: Warnings) => ClusterObject | null>> = {
  Namespace: (root, warnings) => ({
    kind: "namespace",
    namespace: "",
    name: nameOf(root),
    labels: labelsOf(root),
    opaquePorts: portsOf(root, warnings, OPAQUE_PORTS),
    defaultInboundPolicy: defaultPolicyOf(root, warnings),
  }),
  Node: root => ({
    kind: "node",
    namespace: "",
    name: nameOf(root),
    zone: labelsOf(root).get(ZONE_LABEL) ?? "",
  }),
  Pod: readPod,
  Service: readService,
  EndpointSlice: readSlice,
  Endpoints: readEndpoints,
  Deployment: root => readWorkload(root, "deployment"),
  ReplicaSet: root => readWorkload(root, "replicaset"),
  StatefulSet: root => readWorkload(root, "statefulset"),
  DaemonSet: root => readWorkload(root, "daemonset"),
  Job: root => readWorkload(root, "job"),
  CronJob: root => readWorkload(root, "cronjob"),
  HTTPRoute: readRouteRecord,
  GRPCRoute: readRouteRecord,
  TLSRoute: readRouteRecord,
  TCPRoute: readRouteRecord,
  ReferenceGrant: readGrant,
  [POLICY_KIND]: root => readPolicy(root, readAuthorizationPolicy, "authorizationpolicy"),
  [EGRESS_KIND]: root => readPolicy(root, readEgressPolicy, "egresspolicy"),
  [RATE_LIMIT_KIND]: root => readPolicy(root, readRateLimitPolicy, "ratelimitpolicy"),
  [PLUGIN_KIND]: readPluginRecord,
}

function readRouteRecord(root: Field, warnings: Warnings): RouteRecord | null {
  const { route, complaints } = readRoute(root.value)
  warnings.push(...complaints.map(warningOf))
  if (route === null) return null
  const kind = route.kind.toLowerCase() as RouteRecord["kind"]
  return { kind, namespace: route.namespace, name: route.name, route }
}

function readGrant(root: Field, warnings: Warnings): ClusterObject | null {
  const { grant, complaints } = readReferenceGrant(root.value)
  warnings.push(...complaints.map(warningOf))
  if (grant === null) return null
  return { kind: "referencegrant", namespace: grant.namespace, name: grant.name, grant }
}

function warningOf({ path, message, effect }: RouteComplaint): FieldError {
  return new FieldError(path, `${message}; ${effect}`)
}

function readPolicy(
  root: Field,
  read: (raw: unknown) => {
    readonly policy: AnyPolicyRecord["policy"] | null
    readonly complaints: readonly PolicyComplaint[]
  },
  kind: AnyPolicyRecord["kind"],
): AnyPolicyRecord | null {
  const { policy, complaints } = read(root.value)
  refuse(complaints)
  if (policy === null) return null
  // Its reader is the kind's.
  return { kind, namespace: policy.namespace, name: policy.name, policy } as AnyPolicyRecord
}

function readPluginRecord(root: Field): ClusterObject | null {
  const { plugin, complaints } = readPlugin(root.value)
  refuse(complaints)
  return plugin === null ? null : { kind: "plugin", namespace: "", name: plugin.name, plugin }
}

/** @throws FieldError when there is a complaint */
function refuse(complaints: readonly PolicyComplaint[]): void {
  const [first, ...others] = complaints.map(({ path, message }) => new FieldError(path, message))
  if (first !== undefined) throw new FieldError(first.path, first.message, others)
}

function nameOf(root: Field): string {
  return root.at("metadata").at("name").required()
}

function namespaceOf(root: Field): string {
  return root.at("metadata").at("namespace").text() || "default"
}

function labelsOf(root: Field): Map<string, string> {
  return root.at("metadata").at("labels").strings()
}

function portsOf(root: Field, warnings: Warnings, annotation: string): PortRange[] | null {
  const field = root.at("metadata").at("annotations").at(annotation)
  if (field.absent) return null
  try {
    return parsePortList(field.text())
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    warnings.push(new FieldError(field.path, `${reason}; the field is ignored`))
    return null
  }
}

/** What the container that makes or proves the redirect was told: its namespace's annotation is in it too. */
function skippedPorts(root: Field, warnings: Warnings, side: "inbound" | "outbound"): PortRange[] | null {
  const flag = `--skip-${side}-ports=`
  for (const container of root.at("spec").at("initContainers").list()) {
    if (!REDIRECT_CONTAINERS.includes(container.at("name").text())) continue
    const told = container
      .at("args")
      .list()
      .find(arg => arg.text().startsWith(flag))
    try {
      if (told !== undefined) return parsePortList(told.text().slice(flag.length))
    } catch {
      // Such a container ends with an error, and the pod does not start.
      return null
    }
  }
  return portsOf(root, warnings, `config.conduit.io/skip-${side}-ports`)
}

function defaultPolicyOf(root: Field, warnings: Warnings): string {
  const field = root.at("metadata").at("annotations").at(DEFAULT_INBOUND_POLICY)
  const name = field.text()
  if (name === "" || (DEFAULT_POLICY_NAMES as readonly string[]).includes(name)) return name
  const names = [...new Set(DEFAULT_POLICY_NAMES)].join(", ")
  // Nobody is let in by a slip of the pen.
  warnings.push(
    new FieldError(field.path, `must be one of ${names}, not "${name}"; until then it holds as deny`),
  )
  return "deny"
}

function controllerOf(root: Field): OwnerRef | null {
  for (const owner of root.at("metadata").at("ownerReferences").list()) {
    if (!owner.at("controller").absent && !owner.at("controller").flag()) continue
    return { kind: owner.at("kind").required().toLowerCase(), name: owner.at("name").required() }
  }
  return null
}

function readWorkload(root: Field, kind: WorkloadKind): WorkloadRecord {
  const name = nameOf(root)
  const body = root.at("spec").at(kind === "cronjob" ? "jobTemplate" : "template")
  if (body.absent)
    body.fail(`is missing; a ${root.at("kind").text()} needs a pod template (is this a kustomize patch?)`)
  return { kind, namespace: namespaceOf(root), name, labels: labelsOf(root), owner: controllerOf(root) }
}

function protocolOf(field: Field): string {
  const protocol = field.text() || "TCP"
  if (protocol !== "TCP" && protocol !== "UDP" && protocol !== "SCTP")
    field.fail(`must be TCP, UDP or SCTP, not "${protocol}"`)
  return protocol
}

const PROBES = ["startupProbe", "readinessProbe", "livenessProbe"]

/** What the kubelet asks a container over the network; its port may be a name of that container's ports. */
function probesOf(container: Field): PodProbe[] {
  const probes: PodProbe[] = []
  for (const name of PROBES) {
    const probe = container.at(name)
    const http = probe.at("httpGet")
    const how = [http, probe.at("tcpSocket"), probe.at("grpc")].find(field => !field.absent)
    if (how === undefined) continue
    // Another host is not this pod, though the kubelet would ask it.
    if (how.at("host").text() !== "") continue
    const port = probePort(container, how.at("port"))
    if (port === 0) continue
    if (how === http) {
      const path = http.at("path").text() || "/"
      const kind = http.at("scheme").text().toUpperCase() === "HTTPS" ? "https" : "http"
      probes.push({ port, kind, path: path.startsWith("/") ? path : `/${path}` })
    } else probes.push({ port, kind: probe.at("grpc").absent ? "tcp" : "grpc", path: "" })
  }
  return probes
}

/** 0 for a name that no port of the container has. */
function probePort(container: Field, field: Field): number {
  if (typeof field.value !== "string") return field.port()
  const named = container
    .at("ports")
    .list()
    .find(port => port.at("name").value === field.value)
  return named === undefined ? 0 : named.at("containerPort").port()
}

/** One of each: the same path is commonly asked by several probes. */
function distinct(probes: readonly PodProbe[]): PodProbe[] {
  return [...new Map(probes.map(probe => [`${probe.kind} ${probe.port} ${probe.path}`, probe])).values()]
}

function readPod(root: Field, warnings: Warnings): PodRecord {
  const spec = root.at("spec")
  const status = root.at("status")
  const sidecars = spec
    .at("initContainers")
    .list()
    .filter(container => container.at("restartPolicy").text() === "Always")
  const containers = [...spec.at("containers").list(), ...sidecars]
  const ports: ContainerPort[] = []
  for (const container of containers) {
    for (const port of container.at("ports").list()) {
      ports.push({
        name: port.at("name").text(),
        port: port.at("containerPort").port(),
        protocol: protocolOf(port.at("protocol")),
      })
    }
  }
  const labels = labelsOf(root)
  const ips = status
    .at("podIPs")
    .list()
    .map(entry => entry.at("ip").ip())
  if (ips.length === 0 && status.at("podIP").text() !== "") ips.push(status.at("podIP").ip())
  const conditions = status.at("conditions").list()
  const holds = (type: string): boolean =>
    conditions.some(
      condition => condition.at("type").text() === type && condition.at("status").text() === "True",
    )
  const ready = holds("Ready")
  const phase = status.at("phase").text()
  const created = Date.parse(root.at("metadata").at("creationTimestamp").text())
  return {
    kind: "pod",
    namespace: namespaceOf(root),
    name: nameOf(root),
    labels,
    ips,
    nodeName: spec.at("nodeName").text(),
    serviceAccount: spec.at("serviceAccountName").text() || "default",
    hostNetwork: spec.at("hostNetwork").flag(),
    ready,
    // Readiness gates are the pod's own, whoever opens them.
    unheard: !ready && holds("ContainersReady") && spec.at("readinessGates").list().length === 0,
    terminating: !root.at("metadata").at("deletionTimestamp").absent,
    finished: phase === "Succeeded" || phase === "Failed",
    owner: controllerOf(root),
    ports,
    meshed:
      labels.has(CONTROL_PLANE_LABEL) &&
      containers.some(container => container.at("name").text() === PROXY_CONTAINER),
    skipInboundPorts: skippedPorts(root, warnings, "inbound"),
    skipOutboundPorts: skippedPorts(root, warnings, "outbound"),
    mtlsRequired: root.at("metadata").at("annotations").at(OUTBOUND_MTLS).value === "required",
    opaquePorts: portsOf(root, warnings, OPAQUE_PORTS),
    defaultInboundPolicy: defaultPolicyOf(root, warnings),
    probes: distinct(containers.filter(isApplication).flatMap(probesOf)),
    createdMs: Number.isNaN(created) ? 0 : created,
  }
}

/** The proxy's own probes ask its admin port, which no redirect takes. */
function isApplication(container: Field): boolean {
  return container.at("name").text() !== PROXY_CONTAINER
}

function readService(root: Field, warnings: Warnings): ServiceRecord {
  const spec = root.at("spec")
  const external = spec.at("type").text() === "ExternalName"
  const headless = spec.at("clusterIP").text() === "None"
  const plural = spec.at("clusterIPs").list()
  const addresses = plural.length > 0 ? plural : [spec.at("clusterIP")]
  const clusterIps =
    external || headless
      ? []
      : addresses.filter(field => !field.absent && field.text() !== "").map(field => field.ip())
  const selector = spec.at("selector").strings()
  const ports: ServicePort[] = []
  for (const field of spec.at("ports").list()) {
    const port = field.at("port").port()
    const target = field.at("targetPort")
    ports.push({
      name: field.at("name").text(),
      port,
      targetPort: target.absent
        ? port
        : typeof target.value === "string"
          ? targetName(target)
          : target.port(),
      protocol: protocolOf(field.at("protocol")),
      appProtocol: field.at("appProtocol").text(),
    })
  }
  if (!external && !headless && ports.length === 0)
    spec.at("ports").fail("is missing; a Service needs at least one port")
  const { traffic, complaints } = readServiceTraffic(root.value)
  warnings.push(...complaints.map(warningOf))
  return {
    kind: "service",
    namespace: namespaceOf(root),
    name: nameOf(root),
    labels: labelsOf(root),
    clusterIps,
    headless,
    externalName: external ? spec.at("externalName").required() : "",
    selector: selector.size === 0 ? null : selector,
    ports,
    publishNotReadyAddresses: spec.at("publishNotReadyAddresses").flag(),
    opaquePorts: portsOf(root, warnings, OPAQUE_PORTS),
    traffic,
  }
}

/** A target port given as text: a port's name, or digits that someone put into quotes. */
function targetName(field: Field): number | string {
  const text = field.required()
  return /^\d+$/.test(text) ? new Field(Number(text), field.path).port() : text
}

function slicePort(field: Field): SlicePort[] {
  // A slice's port without a number means "all ports", which only a headless Service without ports has.
  if (field.at("port").absent) return []
  return [
    {
      name: field.at("name").text(),
      port: field.at("port").port(),
      protocol: protocolOf(field.at("protocol")),
      appProtocol: field.at("appProtocol").text(),
    },
  ]
}

function podOf(target: Field): string {
  return target.at("kind").text() === "Pod" ? target.at("name").text() : ""
}

function readSlice(root: Field): SliceRecord {
  const addressType = root.at("addressType").text() || "IPv4"
  const endpoints: SliceEndpoint[] = []
  for (const field of addressType === "FQDN" ? [] : root.at("endpoints").list()) {
    const [first] = field.at("addresses").list()
    if (first === undefined) return field.at("addresses").fail("is missing; an endpoint needs an address")
    const ready = field.at("conditions").at("ready")
    endpoints.push({
      ip: first.ip(),
      ready: ready.absent || ready.flag(),
      pod: podOf(field.at("targetRef")),
      nodeName: field.at("nodeName").text(),
      zone: field.at("zone").text(),
      forZones: namesOf(field.at("hints").at("forZones")),
      forNodes: namesOf(field.at("hints").at("forNodes")),
    })
  }
  return {
    kind: "endpointslice",
    namespace: namespaceOf(root),
    name: nameOf(root),
    service: labelsOf(root).get("kubernetes.io/service-name") ?? "",
    groups: [{ endpoints, ports: root.at("ports").list().flatMap(slicePort) }],
  }
}

function namesOf(list: Field): string[] {
  return list.list().map(entry => entry.at("name").required())
}

function readEndpoints(root: Field): SliceRecord {
  const name = nameOf(root)
  const groups = root
    .at("subsets")
    .list()
    .map(subset => {
      const read =
        (ready: boolean) =>
        (field: Field): SliceEndpoint => ({
          ip: field.at("ip").ip(),
          ready,
          pod: podOf(field.at("targetRef")),
          nodeName: field.at("nodeName").text(),
          zone: "",
          forZones: [],
          forNodes: [],
        })
      return {
        endpoints: [
          ...subset.at("addresses").list().map(read(true)),
          ...subset.at("notReadyAddresses").list().map(read(false)),
        ],
        ports: subset.at("ports").list().flatMap(slicePort),
      }
    })
  return { kind: "endpoints", namespace: namespaceOf(root), name, service: name, groups }
}
