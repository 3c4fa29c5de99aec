// Pods that started before the plugin was there: their conduit-validate sees no redirect and lets nothing else start.
// They are given their redirect from outside, in the network that they have; nothing is deleted, and no right to is needed.
import { isIP } from "node:net"
import type { ContainerStatus, Pod } from "../cni/mod.ts"
import { podRedirect } from "../cni/mod.ts"
import { VALIDATE_CONTAINER } from "../inject/mod.ts"
import { redirectArgs } from "../redirect/mod.ts"

/** A pod to be repaired. */
export interface Repair {
  /** Differs for each attempt of the pod's own that failed. */
  readonly key: string
  /** Namespace and name, for sentences. */
  readonly pod: string
  /** What its network is found by. */
  readonly addresses: readonly string[]
  /** As conduit-init takes them. */
  readonly args: readonly string[]
}

/**
 * What is to be done about a pod of this node; null when nothing is: it is redirected, is none of ours, or its sandbox was
 * made when the plugin was there already and nothing speaks against it.
 *
 * @param installedAtMs  time of the epoch
 */
export function repairOf(pod: Pod, installedAtMs: number): Repair | null {
  const { status, metadata } = pod
  const validate = status?.initContainerStatuses?.find(one => one.name === VALIDATE_CONTAINER)
  if (status?.phase !== "Pending" || validate === undefined) return null
  const exitCode = validate.state?.terminated?.exitCode
  if (exitCode === 0) return null
  // Times in the API are whole seconds.
  const early = Date.parse(status.startTime ?? "") <= Math.ceil(installedAtMs / 1000) * 1000
  if (!early && !hasFailed(validate)) return null
  const addresses = (status.podIPs ?? []).map(({ ip }) => ip).filter(ip => isIP(ip) !== 0)
  const options = redirectOf(pod)
  if (options === null || addresses.length === 0) return null
  return {
    key: `${metadata?.uid} ${validate.restartCount ?? 0} ${exitCode ?? ""}`,
    pod: `${metadata?.namespace}/${metadata?.name}`,
    addresses,
    args: redirectArgs(options),
  }
}

function hasFailed({ state, lastState }: ContainerStatus): boolean {
  return [state, lastState].some(one => (one?.terminated?.exitCode ?? 0) !== 0)
}

/** A pod whose settings cannot be used says so itself, in the log of its conduit-validate. */
function redirectOf(pod: Pod): ReturnType<typeof podRedirect> {
  try {
    return podRedirect(pod)
  } catch {
    return null
  }
}
