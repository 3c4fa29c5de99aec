// Why a Service's port has no endpoint: the selector, the pods, or the port's name.
import {
  type ClusterStore,
  type PodRecord,
  podPort,
  type ServicePort,
  type ServiceRecord,
} from "../cluster/mod.ts"
import { OWN_PORTS } from "./service_step.ts"
import { placeOf, textOf } from "./caller.ts"
import type { Place } from "./chain.ts"

/** A cause with what would change it. */
export interface Cause {
  readonly reason: string
  readonly object: Place
  readonly change: string
}

/** Why a Service's port has no endpoint. */
export function whyNone(store: ClusterStore, service: ServiceRecord, port: ServicePort): Cause {
  const what = textOf(placeOf(service))
  if (service.selector === null) {
    const any = [...store.slicesOf(service)].length > 0
    return {
      reason: any
        ? `the EndpointSlices of ${what} hold no ready address for port "${port.name}"`
        : `${what} has no selector, and nobody wrote EndpointSlices for it`,
      object: placeOf(service, "spec.selector"),
      change: any
        ? "a ready address with a port of that name in its EndpointSlice"
        : "a spec.selector that fits the pods",
    }
  }
  const selected = [...store.selectedBy(service)].filter(pod => !pod.finished)
  const selector = [...service.selector].map(([name, value]) => `${name}=${value}`).join(",")
  if (selected.length === 0) return noneSelected(store, service, selector)
  const [pod] = selected
  const without = selected.filter(one => podPort(one, port) === undefined)
  if (without.length === selected.length && pod !== undefined) {
    const names = pod.ports
      .filter(one => one.name !== "" && !OWN_PORTS.includes(one.port))
      .map(one => one.name)
    const place = placeOf(service, `spec.ports[${service.ports.indexOf(port)}].targetPort`)
    return {
      reason: `targetPort "${port.targetPort}" is the name of no container port of its ${count(selected.length, "pod")}`,
      object: place,
      change:
        names.length === 0
          ? `the pod's port by number, or a name for it: pod ${pod.namespace}/${pod.name} names none`
          : `targetPort: ${names.join(" or ")}`,
    }
  }
  const waiting = selected.find(one => !one.ready) ?? selected.find(one => one.terminating) ?? selected[0]
  const at =
    waiting === undefined
      ? placeOf(service)
      : placeOf(waiting, waiting.ips.length === 0 ? "status.podIP" : "status.conditions")
  return {
    reason: `none of its ${count(selected.length, "pod")} is ready`,
    object: at,
    change: `kubectl describe pod ${at.name} -n ${at.namespace} says why it is not ready`,
  }
}

function noneSelected(store: ClusterStore, service: ServiceRecord, selector: string): Cause {
  // The pod that lacks the fewest labels is most likely meant.
  let nearest: { pod: PodRecord; missing: string[] } | null = null
  const wanted = [...(service.selector ?? [])]
  for (const pod of store.pods(service.namespace)) {
    if (pod.finished) continue
    const missing = wanted
      .filter(([name, value]) => pod.labels.get(name) !== value)
      .map(([name, value]) => {
        const has = pod.labels.get(name)
        return has === undefined ? `it has no label ${name}` : `its label ${name} is ${has}, not ${value}`
      })
    const similar = missing.length < wanted.length || store.workloadOf(pod).name === service.name
    if (similar && (nearest === null || missing.length < nearest.missing.length)) nearest = { pod, missing }
  }
  return {
    reason: `no pod in namespace "${service.namespace}" has the labels ${selector}`,
    object: placeOf(service, "spec.selector"),
    change:
      nearest === null
        ? "a selector that fits the labels of the pods"
        : `pod ${nearest.pod.namespace}/${nearest.pod.name} comes nearest: ${nearest.missing.join(", ")}`,
  }
}

/** `1 pod`, `3 pods`. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`
}
