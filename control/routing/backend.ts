// What a backendRef refers to in the cluster, and why it may not be used.
import type { BackendTarget, Route } from "../../deploy/gateway/mod.ts"
import type { ClusterStore, ServicePort, ServiceRecord } from "../cluster/mod.ts"

/** Reasons of the condition ResolvedRefs that are no success. */
export type BackendReason = "InvalidKind" | "RefNotPermitted" | "BackendNotFound" | "UnsupportedProtocol"

/** A backend, or what is wrong with the reference. */
export type ResolvedBackend =
  | { readonly service: ServiceRecord; readonly port: ServicePort; readonly fault: null }
  | { readonly service: null; readonly fault: { readonly reason: BackendReason; readonly message: string } }

/**
 * Resolves a reference.
 *
 * A mesh's routes need no ReferenceGrant where they widen nobody's reach (GEP-1294): within the route's own namespace and
 * within that of the Service that was called. A third namespace must grant it: its Services would meet requests, and
 * with them identities, whose senders meant another one.
 *
 * @param parentNamespace  namespace of the Service that was called
 */
export function resolveBackend(
  store: ClusterStore,
  route: Route,
  target: BackendTarget,
  parentNamespace: string,
): ResolvedBackend {
  const fail = (reason: BackendReason, message: string): ResolvedBackend => ({
    service: null,
    fault: { reason, message: `${target.field}: ${message}` },
  })
  if (target.fault !== "") return fail(target.faultReason || "InvalidKind", target.fault)
  const { namespace, name } = target
  if (namespace !== route.namespace && namespace !== parentNamespace && !isGranted(store, route, target)) {
    const wanted = `from ${route.kind} of namespace "${route.namespace}" to Service "${name}"`
    return fail("RefNotPermitted", `no ReferenceGrant in namespace "${namespace}" allows it ${wanted}`)
  }
  const service = store.service(namespace, name)
  if (service === undefined) return fail("BackendNotFound", `there is no Service "${name}" in "${namespace}"`)
  if (service.externalName !== "") {
    // It may name what the author of the route must not reach (CVE-2021-25740).
    const instead = "name a Service without selector instead, and the addresses in an EndpointSlice of it"
    return fail(
      "UnsupportedProtocol",
      `Service "${name}" is an ExternalName, to which no route leads; ${instead}`,
    )
  }
  const port = service.ports.find(one => one.port === target.port && one.protocol === "TCP")
  if (port === undefined) {
    return fail("BackendNotFound", `Service "${name}" in "${namespace}" has no TCP port ${target.port}`)
  }
  return { service, port, fault: null }
}

function isGranted(store: ClusterStore, route: Route, target: BackendTarget): boolean {
  for (const { grant } of store.grantsOf(target.namespace)) {
    const from = grant.from.some(one => one.kind === route.kind && one.namespace === route.namespace)
    if (from && (grant.to.length === 0 || grant.to.includes(target.name))) return true
  }
  return false
}
