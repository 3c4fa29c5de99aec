// Edges: who calls whom, as the callers' proxies counted it, and whether the way between is secured.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { EdgesRequest, EdgesResponseSchema } from "../../protos/mod.ts"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import {
  compareResources,
  type PodName,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  select,
} from "./resources.ts"
import { calledBy, figuresOf, windowOf } from "./stat.ts"

/** Why traffic with a `tls` label is not mutual TLS. */
const REASONS: Readonly<Record<string, string>> = {
  no_identity: "the called side has no identity in the mesh",
  disabled: "the caller's proxy has no identity: mutual TLS is off",
  loopback: "the pod calls itself",
}

interface EdgeSum {
  readonly from: ResourceName
  readonly to: ResourceName
  readonly clientId: string
  readonly serverId: string
  readonly tls: string
  readonly sum: FigureSum
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
  const { traffic } = await queries.traffic(windowMs, telemetryQueryV1.Direction.OUTBOUND)
  const found = new Map<string, EdgeSum>()
  for (const row of traffic) {
    if (row.reporter === undefined || row.dst === undefined) continue
    const from = endOf(store, row.reporter, target.kind === "service" ? "" : target.kind)
    const to =
      calledBy(store, row, target.kind)[0] ?? endOf(store, row.dst, "") ?? calledBy(store, row, "service")[0]
    if (from === undefined || to === undefined) continue
    if (!target.resources.has(resourceKey(from)) && !target.resources.has(resourceKey(to))) continue
    const { clientId, serverId, tls } = row
    const key = [resourceKey(from), resourceKey(to), clientId, serverId, tls].join(" ")
    const edge = found.get(key) ?? { from, to, clientId, serverId, tls, sum: new FigureSum() }
    found.set(key, edge)
    edge.sum.add(row)
  }
  const ordered = [...found.values()].sort(
    (a, b) => compareResources(a.from, b.from) || compareResources(a.to, b.to),
  )
  return {
    edges: ordered.map(({ from, to, clientId, serverId, tls, sum }) => {
      const secured = tls === "true"
      const reason = secured ? "" : (REASONS[tls] ?? `the caller's proxy reports tls="${tls}"`)
      return { from, to, clientId, serverId, secured, reason, ...figuresOf(sum) }
    }),
  }
}

function endOf(store: ClusterStore, pod: PodName, kind: string): ResourceName | undefined {
  const [asked] = kind === "" ? [] : resourcesOfName(store, pod, kind)
  if (asked !== undefined) return asked
  if (pod.workload !== "") return { namespace: pod.namespace, kind: pod.workloadKind, name: pod.workload }
  return pod.pod === "" ? undefined : { namespace: pod.namespace, kind: "pod", name: pod.pod }
}
