// Topology: workloads with what they were asked, and who calls whom, in one answer that a browser can draw.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { type TopologyRequest, type TopologyResponseSchema, telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { compareResources, type ResourceName, resourceKey, workloadOf } from "../resources/mod.ts"
import { FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { edgesOf, endOf } from "./edges.ts"
import { figuresOf, windowOf } from "./figures.ts"
import { countPods } from "./stat.ts"

/** Most nodes of one answer: more is no picture any more, and a browser lays out so many in a second. */
export const MAX_TOPOLOGY_NODES = 500
/** Most edges of one answer: some of each node's. */
export const MAX_TOPOLOGY_EDGES = 2_000

const { INBOUND, OUTBOUND } = telemetryQueryV1.Direction

interface Node {
  readonly resource: ResourceName
  readonly sum: FigureSum
}

/**
 * Answers a Topology request.
 *
 * @throws ConnectError for a window that is none, or when telemetry cannot be asked
 */
export async function topology(
  store: ClusterStore,
  queries: TelemetryQueries,
  { namespace, windowMs: asked }: TopologyRequest,
): Promise<MessageInitShape<typeof TopologyResponseSchema>> {
  const windowMs = windowOf(asked)
  const [inbound, outbound, { accesses }, { reporters }] = await Promise.all([
    queries.traffic(windowMs, INBOUND),
    queries.traffic(windowMs, OUTBOUND),
    queries.access(windowMs),
    queries.reporters(),
  ])
  const wanted = (end: ResourceName): boolean => namespace === "" || end.namespace === namespace
  const nodes = new Map<string, Node>()
  const nodeOf = (resource: ResourceName): Node => {
    const key = resourceKey(resource)
    const node = nodes.get(key) ?? { resource, sum: new FigureSum() }
    nodes.set(key, node)
    return node
  }
  for (const pod of store.pods(namespace))
    if (!pod.finished && !pod.terminating) nodeOf(workloadOf(store, pod))
  const edges = edgesOf(store, outbound.traffic, accesses, "", wanted)
  for (const { from, to } of edges) {
    nodeOf(from)
    nodeOf(to)
  }
  for (const row of inbound.traffic) {
    const resource = row.reporter === undefined ? undefined : endOf(store, row.reporter, "")
    if (resource === undefined) continue
    const known = nodes.get(resourceKey(resource))
    if (known !== undefined || wanted(resource)) (known ?? nodeOf(resource)).sum.add(row)
  }

  const keptNodes = busiest([...nodes.values()], MAX_TOPOLOGY_NODES, ({ sum }) => sum.http()?.rps ?? 0)
  const kept = new Set(keptNodes.map(({ resource }) => resourceKey(resource)))
  const between = edges.filter(({ from, to }) => kept.has(resourceKey(from)) && kept.has(resourceKey(to)))
  const keptEdges = busiest(between, MAX_TOPOLOGY_EDGES, ({ http, calledRps = 0 }) => http?.rps ?? calledRps)
  const pods = countPods(store, reporters, pod => [workloadOf(store, pod)])
  return {
    nodes: keptNodes
      .sort((a, b) => compareResources(a.resource, b.resource))
      .map(({ resource, sum }) => {
        const { meshed = 0, total = 0 } = pods.get(resourceKey(resource)) ?? {}
        return { resource, meshedPods: meshed, totalPods: total, ...figuresOf(sum) }
      }),
    edges: keptEdges,
    leftOutNodes: nodes.size - keptNodes.length,
    leftOutEdges: edges.length - keptEdges.length,
  }
}

/** Those with the most traffic, in the order in which they are given. */
function busiest<T>(all: T[], most: number, rps: (one: T) => number): T[] {
  if (all.length <= most) return all
  const kept = new Set([...all].sort((a, b) => rps(b) - rps(a)).slice(0, most))
  return all.filter(one => kept.has(one))
}
