// Check: what is wrong with the mesh as its control plane sees it, and the certificates that it rests on.
import { X509Certificate } from "node:crypto"
import type { MessageInitShape } from "@bufbuild/protobuf"
import { derToPem, endMs } from "../../deploy/identity/mod.ts"
import {
  type AuthorityCertificateSchema,
  type CheckRequest,
  type CheckResponseSchema,
  FaultKind,
} from "../../protos/mod.ts"
import {
  type ClusterStore,
  endpointsOf,
  hasPort,
  type Problem,
  podPort,
  type ServicePort,
  type ServiceRecord,
} from "../cluster/mod.ts"
import { allPolicyProblems, type PolicyOptions } from "../policy/mod.ts"
import { compareResources } from "../resources/mod.ts"
import { routeProblems } from "../routing/mod.ts"
import type { Certified } from "../tls/mod.ts"
import { injectedFaults } from "../traffic/mod.ts"

/** Faults in one answer; a mesh with more has one cause for many, and nobody reads on. */
export const MAX_FAULTS = 1_000
/** Pods named in one fault. */
const MAX_NAMES = 3

/** What the answer is made of besides the cluster. */
export interface CheckSources {
  readonly policy: PolicyOptions
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** This process's own certificate; null without identity, and until there is one. */
  readonly certified: () => Certified | null
  /** What is wrong with the cluster's objects now. */
  readonly problems: () => readonly Problem[]
  /** What is wrong with plugins. Default: nothing. */
  readonly plugins?: readonly { readonly where: string; readonly message: string }[]
}

interface Fault {
  readonly kind: FaultKind
  readonly where: string
  readonly message: string
}

/** Answers a Check request. */
export function check(
  store: ClusterStore,
  sources: CheckSources,
  { namespace }: CheckRequest,
): MessageInitShape<typeof CheckResponseSchema> {
  const { trustAnchors = [], chain = [] } = sources.certified() ?? {}
  const faults = [
    ...sources.problems().map(({ where, message }) => ({ kind: FaultKind.OBJECT, where, message })),
    ...policyFaults(store, sources.policy, namespace),
    ...routeProblems(store, namespace).map(({ kind, namespace: where, name, reason, message }) => ({
      kind: FaultKind.ROUTE,
      where: `${kind} ${where}/${name}`,
      message: `${reason}: ${message}`,
    })),
    ...injectedFaults(store, namespace).map(({ service, message }) => ({
      kind: FaultKind.INJECTED,
      where: `Service ${service.namespace}/${service.name}`,
      message,
    })),
    ...(sources.plugins ?? []).map(fault => ({ kind: FaultKind.PLUGIN, ...fault })),
    ...[...store.services(namespace)]
      .sort(compareResources)
      .flatMap(service => serviceFaults(store, service)),
  ].sort((a, b) => a.kind - b.kind)
  const anchors = trustAnchors.map(read)
  const [own, ...above] = chain.map(read)
  // Whatever signed this process's certificate signs the workloads'. An anchor is not part of the chain.
  const issuers = above.length > 0 ? above : anchors.filter(anchor => own?.checkIssued(anchor))
  return {
    nowMs: sources.nowMs(),
    trustAnchors: anchors.map(told),
    issuerChain: issuers.map(told),
    faults: faults.slice(0, MAX_FAULTS),
    leftOut: Math.max(0, faults.length - MAX_FAULTS),
  }
}

function policyFaults(store: ClusterStore, options: PolicyOptions, namespace: string): Fault[] {
  return allPolicyProblems(store, options)
    .filter(problem => namespace === "" || problem.namespace === namespace)
    .map(({ kind, namespace: where, name, field, message }) => ({
      kind: FaultKind.POLICY,
      where: `${kind} ${where}/${name}`,
      message: `${field}: ${message}`,
    }))
}

function serviceFaults(store: ClusterStore, service: ServiceRecord): Fault[] {
  const where = `Service ${service.namespace}/${service.name}`
  return service.ports
    .filter(({ protocol }) => protocol === "TCP")
    .flatMap(port => {
      const faults: Fault[] = []
      for (const message of opaqueDisagreements(store, service, port))
        faults.push({ kind: FaultKind.OPAQUE_PORT, where, message })
      const message = withoutIdentity(store, service, port)
      if (message !== "") faults.push({ kind: FaultKind.NO_IDENTITY, where, message })
      return faults
    })
}

/** Where both sides have opaque ports set, by themselves or by their namespace, and mean different things. */
function opaqueDisagreements(store: ClusterStore, service: ServiceRecord, port: ServicePort): string[] {
  const ofService = store.opaquePortsOf(service)
  const disagreeing = new Map<string, string[]>()
  for (const pod of store.selectedBy(service)) {
    const target = podPort(pod, port)
    const ofPod = store.opaquePortsOf(pod)
    if (pod.finished || target === undefined || ofService === null || ofPod === null) continue
    const opaque = hasPort(ofService, port.port)
    if (opaque === hasPort(ofPod, target)) continue
    const what = opaque
      ? `port ${port.port} is opaque, and port ${target} of its pods is not`
      : `port ${port.port} is not opaque, and port ${target} of its pods is`
    disagreeing.set(what, [...(disagreeing.get(what) ?? []), pod.name])
  }
  return [...disagreeing].map(
    ([what, pods]) => `${what} (${named(pods)}): callers by name and by address are treated differently`,
  )
}

/** Endpoints without a proxy beside others that have one; empty where all are alike. */
function withoutIdentity(store: ClusterStore, service: ServiceRecord, port: ServicePort): string {
  const addresses = ([4, 6] as const).flatMap(family => endpointsOf(store, service, port, family))
  const plain = addresses.filter(({ pod }) => pod === null || !pod.meshed)
  if (plain.length === 0 || plain.length === addresses.length) return ""
  const names = new Set(plain.map(({ pod, ip }) => pod?.name ?? ip))
  return `port ${port.port}: ${plain.length} of ${addresses.length} endpoints have no identity (${named([...names])}), so what is sent to them is not encrypted`
}

function named(names: readonly string[]): string {
  const sorted = [...names].sort()
  const more = sorted.length - MAX_NAMES
  return `${sorted.slice(0, MAX_NAMES).join(", ")}${more > 0 ? ` and ${more} more` : ""}`
}

function read(der: Uint8Array): X509Certificate {
  return new X509Certificate(der)
}

function told(certificate: X509Certificate): MessageInitShape<typeof AuthorityCertificateSchema> {
  return {
    subject: certificate.subject.replaceAll("\n", ", "),
    notBeforeMs: Date.parse(certificate.validFrom),
    notAfterMs: endMs(certificate),
    pem: derToPem(certificate.raw),
  }
}
