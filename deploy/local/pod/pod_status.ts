// What is told of a pod and its containers: to people as it is, to the control plane as a kubelet reports it.
import type { Container } from "../../inject/mod.ts"
import { GATEWAY, type PodAddress } from "../net/addresses.ts"

/** What can be said of one container. */
export interface ContainerStatus {
  readonly name: string
  readonly kind: "init" | "sidecar" | "main"
  state: "waiting" | "running" | "terminated"
  /** Why it waits or ended; "" while running. */
  reason: string
  pid: number
  ready: boolean
  started: boolean
  restarts: number
  exitCode: number | null
  /** Whether a readiness probe vouches for it. */
  readonly probed: boolean
  /** When its present run began; wall clock, milliseconds since the epoch. */
  runningSinceMs: number
}

/** Where a pod stands in its life (kubernetes.io: "Pod Lifecycle"). */
export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed"

/** The status of a container that has not been started. */
export function statusOf(spec: Container, kind: ContainerStatus["kind"]): ContainerStatus {
  return {
    name: spec.name,
    kind,
    state: "waiting",
    reason: "",
    pid: 0,
    ready: false,
    started: false,
    restarts: 0,
    exitCode: null,
    probed: spec.readinessProbe !== undefined,
    runningSinceMs: 0,
  }
}

/** A pod, as far as its report needs it. */
export interface ReportedPod {
  readonly phase: PodPhase
  readonly ready: boolean
  /** Why the pod as a whole does not run; "" when nothing is wrong. */
  readonly reason: string
  readonly address: PodAddress
  /** Wall clock, milliseconds since the epoch. */
  readonly createdMs: number
}

/** The `status` of a Pod object, as a kubelet would write it. @param hasV6  whether pods have IPv6 addresses */
export function kubeletReport(
  pod: ReportedPod,
  containers: readonly { readonly spec: Container; readonly status: ContainerStatus }[],
  hasV6: boolean,
): Record<string, unknown> {
  const ips = hasV6 ? [pod.address.v4, pod.address.v6] : [pod.address.v4]
  const condition = (type: string, on: boolean) => ({ type, status: on ? "True" : "False" })
  return {
    phase: pod.phase,
    hostIP: GATEWAY,
    podIP: pod.address.v4,
    podIPs: ips.map(ip => ({ ip })),
    startTime: new Date(pod.createdMs).toISOString(),
    conditions: [
      condition("PodScheduled", true),
      condition("Initialized", pod.phase !== "Pending"),
      condition("ContainersReady", pod.ready),
      condition("Ready", pod.ready),
    ],
    initContainerStatuses: containers.filter(({ status }) => status.kind !== "main").map(containerReport),
    containerStatuses: containers.filter(({ status }) => status.kind === "main").map(containerReport),
    ...(pod.reason === "" ? {} : { message: pod.reason }),
  }
}

function containerReport({ spec, status }: { readonly spec: Container; readonly status: ContainerStatus }) {
  return {
    name: spec.name,
    ready: status.ready,
    started: status.started,
    restartCount: status.restarts,
    image: spec.image ?? "",
    imageID: "",
    state: { [status.state]: status.reason === "" ? {} : { message: status.reason } },
  }
}
