// How a call leaves its caller, and the endpoints that it may meet: through the caller's proxy or past it, and each with a
// proxy of its own or without.
import { bytesToIp, hasPort, type PodRecord } from "../cluster/mod.ts"
import type { EndpointInit } from "../destination/mod.ts"
import type { Caller } from "./caller.ts"
import { placeOf, workloadPlace } from "./caller.ts"
import type { Place } from "./chain.ts"
import type { World } from "./question.ts"
import type { Leg } from "./route_step.ts"

/** Why something passes a proxy by. */
export interface Bypass {
  /** A sentence. */
  readonly reason: string
  readonly object: Place | null
  readonly change: string
}

/** Marks that put a pod into the mesh. */
export const INJECT_ANNOTATION = "conduit.io/inject"

/** Why a pod has no proxy. */
export function unmeshed(world: World, pod: PodRecord): Bypass {
  const object = workloadPlace(world.store, pod)
  const what = `pod ${pod.namespace}/${pod.name}`
  if (pod.hostNetwork) {
    const reason = `${what} is on its node's own network (hostNetwork: true), where no proxy can be`
    return {
      reason,
      object: { ...object, field: `${object.kind === "Pod" ? "" : "spec.template."}spec.hostNetwork` },
      change: "hostNetwork: false, and then injection",
    }
  }
  return {
    reason: `${what} has no proxy`,
    object,
    change: `the annotation ${INJECT_ANNOTATION}: enabled on its pod template or on namespace ${pod.namespace}, then a restart`,
  }
}

/** Why a call does not leave by the caller's proxy; null where it does. */
export function bypassOf(world: World, { pod, ip }: Caller, dialled: number): Bypass | null {
  if (pod === null) {
    return {
      reason: `${ip} is outside of the mesh: no proxy stands before it`,
      object: null,
      change: "",
    }
  }
  if (!pod.meshed) return unmeshed(world, pod)
  if (hasPort(pod.skipOutboundPorts, dialled)) {
    const annotation = "config.conduit.io/skip-outbound-ports"
    return {
      reason: `what pod ${pod.namespace}/${pod.name} sends to port ${dialled} bypasses its proxy (${annotation})`,
      object: workloadPlace(world.store, pod, `spec.template.metadata.annotations["${annotation}"]`),
      change: `take port ${dialled} out of ${annotation}, and restart the pods`,
    }
  }
  return null
}

/** An endpoint that a call may meet. */
export interface Met {
  readonly leg: Leg
  /** Of all calls. */
  readonly share: number
  readonly ip: string
  readonly port: number
  /** Null where none is known behind the address. */
  readonly pod: PodRecord | null
  /** Name that its proxy proves; empty for none. */
  readonly identity: string
  /** The caller calls itself. */
  readonly self: boolean
  /** Its proxy decides about what comes. */
  readonly guarded: boolean
}

/** The endpoints of the legs. */
export function endpointsMet(world: World, caller: Caller, legs: readonly Leg[]): Met[] {
  return legs.flatMap(leg =>
    leg.endpoints.map((endpoint): Met => {
      const pod = podOf(world, endpoint)
      const port = endpoint.port ?? 0
      const self = pod !== null && pod === caller.pod
      return {
        leg,
        share: leg.share / leg.endpoints.length,
        ip: bytesToIp(endpoint.ip ?? new Uint8Array()) ?? "",
        port,
        pod,
        identity: endpoint.identity ?? "",
        self,
        // What a pod sends to itself goes over its loopback interface, which no redirect takes.
        guarded: pod?.meshed === true && !hasPort(pod.skipInboundPorts, port) && !self,
      }
    }),
  )
}

function podOf({ store }: World, { namespace = "", pod = "" }: EndpointInit): PodRecord | null {
  return pod === "" ? null : (store.pod(namespace, pod) ?? null)
}

/** An endpoint in a sentence. */
export function metText({ pod, ip, port }: Met): string {
  return pod === null ? `${ip}:${port}` : `pod ${pod.namespace}/${pod.name}`
}

/** Place of an endpoint: its workload, for what is behind it. */
export function metPlace(world: World, { pod, leg }: Met): Place | null {
  if (pod !== null) return workloadPlace(world.store, pod)
  return leg.service === null ? null : placeOf(leg.service)
}
