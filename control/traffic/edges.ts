// Edges: who calls whom, as the callers' proxies counted it, and whether the way between is secured.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { EdgeSchema, EdgesRequest, EdgesResponseSchema } from "../../protos/mod.ts"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import {
  ClientNames,
  calledBy,
  calledSide,
  callerOf,
  compareResources,
  type PodName,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  select,
} from "../resources/mod.ts"
import { AccessSum, FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { figuresOf, windowOf } from "./figures.ts"

/** Why traffic with a `tls` label is not mutual TLS, where the label alone tells. */
const REASONS: Readonly<Record<string, string>> = {
  disabled: "the caller's proxy has no identity: mutual TLS is off",
  loopback: "the pod calls itself",
  "": "no request got further than the caller's proxy",
}

/** What a request of the kubelet is recorded as; it is nobody's call. */
const PROBE = "probe"

const CALLER_UNMESHED = "the caller is not meshed"

const NONE_REACHED = "no request reached a pod of the Service"

interface EdgeSum {
  readonly from: ResourceName
  readonly to: ResourceName
  readonly clientId: string
  readonly serverId: string
  readonly secured: boolean
  /** Why it is not secured; several where the pods of an end differ. */
  readonly reasons: Set<string>
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
  const touched = (end: ResourceName): boolean => target.resources.has(resourceKey(end))
  return { edges: edgesOf(store, traffic, accesses, target.kind, touched) }
}

/**
 * Who calls whom, ordered.
 *
 * @param traffic  outbound, by the callers' proxies
 * @param accesses  by the called sides' proxies
 * @param kind  what ends are shown as; empty: as their own workloads
 * @param touched  says of each end whether its edges are wanted; one end suffices
 */
export function edgesOf(
  store: ClusterStore,
  traffic: readonly telemetryQueryV1.Traffic[],
  accesses: readonly telemetryQueryV1.Access[],
  kind: string,
  touched: (end: ResourceName) => boolean,
): (MessageInitShape<typeof EdgeSchema> & { readonly from: ResourceName; readonly to: ResourceName })[] {
  const found = new Map<string, EdgeSum>()
  const callerKind = kind === "service" ? "" : kind
  const edgeOf = (
    from: ResourceName | undefined,
    to: ResourceName | undefined,
    { clientId, serverId }: { readonly clientId: string; readonly serverId: string },
    reason: string,
  ): EdgeSum | undefined => {
    if (from === undefined || to === undefined) return undefined
    if (!touched(from) && !touched(to)) return undefined
    const secured = reason === ""
    const key = [resourceKey(from), resourceKey(to), clientId, serverId, secured].join(" ")
    const sums = { sum: new FigureSum(), called: new AccessSum() }
    const edge = found.get(key) ?? { from, to, clientId, serverId, secured, reasons: new Set(), ...sums }
    if (!secured) edge.reasons.add(reason)
    found.set(key, edge)
    return edge
  }
  const clients = new ClientNames(store)
  /** Edges by who calls, and by the Service that it calls. */
  const throughService = new Map<string, EdgeSum>()
  // What reached nobody comes last: it belongs to the edge of what did.
  const ordered = [...traffic.filter(row => !reachedNobody(row)), ...traffic.filter(reachedNobody)]
  for (const row of ordered) {
    if (row.reporter === undefined || row.dst === undefined) continue
    const from = endOf(store, row.reporter, callerKind)
    const to =
      calledBy(store, row, kind)[0] ??
      endOf(store, row.dst, "") ??
      calledBy(store, row, "service")[0] ??
      outsideOf(row)
    const called = from === undefined ? "" : serviceCalled(from, row)
    const known = reachedNobody(row) ? throughService.get(called) : undefined
    const ids = { clientId: row.clientId || clients.of(row), serverId: row.serverId }
    const edge = known ?? edgeOf(from, to, ids, reasonOf(store, row))
    if (edge === undefined) continue
    edge.sum.add(row)
    if (called !== "" && precedes(edge, throughService.get(called))) throughService.set(called, edge)
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
    const to = access.reporter === undefined ? undefined : endOf(store, access.reporter, kind)
    edgeOf(
      endOf(store, caller, callerKind),
      to ?? calledSide(store, access) ?? undefined,
      { clientId: "", serverId: "" },
      CALLER_UNMESHED,
    )?.called.add(access)
  }
  return [...found.values()].sort(compareEdges).map(({ sum, called, reasons, ...edge }) => ({
    ...edge,
    reason: [...reasons].sort().join("; "),
    calledRps: called.rps,
    ...figuresOf(sum),
  }))
}

/** What was called outside of the cluster: the host, or all that was named by none. */
function outsideOf({ host, dstService, dst }: telemetryQueryV1.Traffic): ResourceName | undefined {
  if (dstService !== "" || dst?.namespace !== "") return undefined
  return { namespace: "", kind: "external", name: host === "" ? "unnamed" : host }
}

function compareEdges(a: EdgeSum, b: EdgeSum): number {
  return (
    compareResources(a.from, b.from) ||
    compareResources(a.to, b.to) ||
    Number(b.secured) - Number(a.secured) ||
    (a.serverId < b.serverId ? -1 : a.serverId > b.serverId ? 1 : 0)
  )
}

function precedes(edge: EdgeSum, other: EdgeSum | undefined): boolean {
  return other === undefined || compareEdges(edge, other) < 0
}

function serviceCalled(from: ResourceName, { dst, dstService }: telemetryQueryV1.Traffic): string {
  return dstService === "" ? "" : `${resourceKey(from)} ${dst?.namespace}/${dstService}`
}

/**
 * Whether no endpoint was there for requests to a Service: the proxy answered them itself, so none succeeded. An endpoint
 * that is no pod has no name either; where it answered anything but failures, this is not said of it.
 */
function reachedNobody({ dst, dstService, successes, hasTcp }: telemetryQueryV1.Traffic): boolean {
  return dstService !== "" && dst?.pod === "" && dst.workload === "" && successes === 0n && !hasTcp
}

/** Why traffic is not mutual TLS; empty where it is. */
function reasonOf(store: ClusterStore, row: telemetryQueryV1.Traffic): string {
  const { tls, dst } = row
  if (tls === "true") return ""
  if (reachedNobody(row)) return NONE_REACHED
  if (tls !== "no_identity") return REASONS[tls] ?? `the caller's proxy reports tls="${tls}"`
  const known = dst === undefined || dst.pod === "" ? undefined : store.pod(dst.namespace, dst.pod)
  if (known?.meshed) return "the called side is meshed, but not on this port, or has no identity yet"
  return dst === undefined || dst.workload + dst.pod === ""
    ? "the called side is outside of the mesh"
    : "the called side is not meshed"
}

/** The resource of a kind, or (empty) the workload, that a pod belongs to; undefined where none is known. */
export function endOf(store: ClusterStore, pod: PodName, kind: string): ResourceName | undefined {
  const [asked] = kind === "" ? [] : resourcesOfName(store, pod, kind)
  if (asked !== undefined) return asked
  if (pod.workload !== "") return { namespace: pod.namespace, kind: pod.workloadKind, name: pod.workload }
  return pod.pod === "" ? undefined : { namespace: pod.namespace, kind: "pod", name: pod.pod }
}
