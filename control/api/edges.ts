// Edges: who calls whom, as the callers' proxies counted it, and whether the way between is secured.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { EdgesRequest, EdgesResponseSchema } from "../../protos/mod.ts"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { AccessSum, FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { calledSide, callerOf } from "./callers.ts"
import {
  compareResources,
  type PodName,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  select,
} from "./resources.ts"
import { calledBy, figuresOf, windowOf } from "./stat.ts"

/** Why traffic with a `tls` label is not mutual TLS, where the label alone tells. */
const REASONS: Readonly<Record<string, string>> = {
  disabled: "the caller's proxy has no identity: mutual TLS is off",
  loopback: "the pod calls itself",
}

/** What a request of the kubelet is recorded as; it is nobody's call. */
const PROBE = "probe"

const CALLER_UNMESHED = "the caller is not meshed"

interface EdgeSum {
  readonly from: ResourceName
  readonly to: ResourceName
  readonly clientId: string
  readonly serverId: string
  readonly reason: string
  readonly secured: boolean
  readonly sum: FigureSum
  /** What the called side counted of callers without a proxy, of whom no proxy counts responses. */
  readonly called: AccessSum
}

/**
 * Answers an Edges request. An end that is of another kind than asked is shown as its own workload.
 *
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function edges(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: EdgesRequest,
): Promise<MessageInitShape<typeof EdgesResponseSchema>> {
  const windowMs = windowOf(request.windowMs)
  const target = select(store, request.target, "target")
  const [{ traffic }, { accesses }] = await Promise.all([
    queries.traffic(windowMs, telemetryQueryV1.Direction.OUTBOUND),
    queries.access(windowMs),
  ])
  const found = new Map<string, EdgeSum>()
  const edgeOf = (
    from: ResourceName | undefined,
    to: ResourceName | undefined,
    { clientId, serverId }: { readonly clientId: string; readonly serverId: string },
    reason: string,
  ): EdgeSum | undefined => {
    if (from === undefined || to === undefined) return undefined
    if (!target.resources.has(resourceKey(from)) && !target.resources.has(resourceKey(to))) return undefined
    const key = [resourceKey(from), resourceKey(to), clientId, serverId, reason].join(" ")
    const known = found.get(key)
    if (known !== undefined) return known
    const sums = { sum: new FigureSum(), called: new AccessSum() }
    const edge = { from, to, clientId, serverId, reason, secured: reason === "", ...sums }
    found.set(key, edge)
    return edge
  }
  for (const row of traffic) {
    if (row.reporter === undefined || row.dst === undefined) continue
    const from = endOf(store, row.reporter, target.kind === "service" ? "" : target.kind)
    const to =
      calledBy(store, row, target.kind)[0] ?? endOf(store, row.dst, "") ?? calledBy(store, row, "service")[0]
    edgeOf(from, to, row, reasonOf(store, row))?.sum.add(row)
  }
  for (const access of accesses) {
    if (access.other || access.clientId !== "" || access.policy === PROBE) continue
    const { pod, workload } = callerOf(store, access)
    // Whoever is meshed counts its own calls; who is no pod is no end of an edge.
    if (pod === undefined || pod.meshed || workload === null) continue
    const caller = {
      namespace: pod.namespace,
      pod: pod.name,
      workloadKind: workload.kind,
      workload: workload.name,
    }
    const kind = target.kind === "service" ? "" : target.kind
    const to = access.reporter === undefined ? undefined : endOf(store, access.reporter, target.kind)
    edgeOf(
      endOf(store, caller, kind),
      to ?? calledSide(store, access) ?? undefined,
      { clientId: "", serverId: "" },
      CALLER_UNMESHED,
    )?.called.add(access)
  }
  const ordered = [...found.values()].sort(
    (a, b) =>
      compareResources(a.from, b.from) ||
      compareResources(a.to, b.to) ||
      (a.reason < b.reason ? -1 : a.reason > b.reason ? 1 : 0),
  )
  return {
    edges: ordered.map(({ sum, called, ...edge }) => ({ ...edge, calledRps: called.rps, ...figuresOf(sum) })),
  }
}

/** Why traffic is not mutual TLS; empty where it is. */
function reasonOf(store: ClusterStore, { tls, dst }: telemetryQueryV1.Traffic): string {
  if (tls === "true") return ""
  if (tls !== "no_identity") return REASONS[tls] ?? `the caller's proxy reports tls="${tls}"`
  const known = dst === undefined || dst.pod === "" ? undefined : store.pod(dst.namespace, dst.pod)
  if (known?.meshed) return "the called side is meshed, but not on this port, or has no identity yet"
  return dst === undefined || dst.workload + dst.pod === ""
    ? "the called side is outside of the mesh"
    : "the called side is not meshed"
}

function endOf(store: ClusterStore, pod: PodName, kind: string): ResourceName | undefined {
  const [asked] = kind === "" ? [] : resourcesOfName(store, pod, kind)
  if (asked !== undefined) return asked
  if (pod.workload !== "") return { namespace: pod.namespace, kind: pod.workloadKind, name: pod.workload }
  return pod.pod === "" ? undefined : { namespace: pod.namespace, kind: "pod", name: pod.pod }
}
