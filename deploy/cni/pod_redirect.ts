// How a pod of the Kubernetes API is to be redirected, if at all.
import {
  INIT_CONTAINER,
  isInjected,
  type PodTemplate,
  PROXY_CONTAINER,
  proxyRedirect,
  VALIDATE_CONTAINER,
} from "../inject/mod.ts"
import { parseRedirectArgs, type RedirectOptions } from "../redirect/mod.ts"

/** A pod as far as it matters here. */
export interface Pod extends PodTemplate {
  readonly status?: PodStatus
}

/** `status` of a pod, as far as it matters here. */
export interface PodStatus {
  readonly phase?: string
  readonly startTime?: string
  readonly podIPs?: readonly { readonly ip: string }[]
  readonly initContainerStatuses?: readonly ContainerStatus[]
}

/** What became of a container. */
export interface ContainerStatus {
  readonly name: string
  readonly restartCount?: number
  readonly state?: { readonly terminated?: { readonly exitCode: number } }
  readonly lastState?: { readonly terminated?: { readonly exitCode: number } }
}

/**
 * The redirect that a pod needs from outside; null for one without our proxy, with an init container that makes it, or
 * on the node's own network.
 *
 * The arguments of `conduit-validate` say how, since that is what the pod will see proven; a pod without it is read by its
 * annotations.
 *
 * @throws Error with one sentence when what the pod says cannot be used
 */
export function podRedirect(pod: Pod): RedirectOptions | null {
  const inits = pod.spec.initContainers ?? []
  const names = [...inits, ...pod.spec.containers].map(container => container.name)
  if (pod.spec.hostNetwork === true || !isInjected(pod)) return null
  if (!names.includes(PROXY_CONTAINER) || names.includes(INIT_CONTAINER)) return null
  const validate = inits.find(container => container.name === VALIDATE_CONTAINER)
  return validate === undefined ? proxyRedirect(pod) : parseRedirectArgs(validate.args ?? [])
}
