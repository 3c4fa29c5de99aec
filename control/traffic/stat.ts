// Stat: traffic figures per resource. Counted by the resource's own proxies on their inbound side; between two
// parties, and for Services, by the callers' proxies, since only they know whom they called.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { StatRequest, StatResponseSchema, StatRowSchema } from "../../protos/mod.ts"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import {
  calledBy,
  compareResources,
  isSelected,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  resourcesOfPod,
  type Selection,
  select,
  unknownNamespace,
} from "../resources/mod.ts"
import { invalid } from "../rpc/mod.ts"
import { AccessSum, FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { figuresOf, windowOf } from "./figures.ts"
import { injectedFaults } from "./injected_faults.ts"
import { retries } from "./retries.ts"
import { isNameKind, statNames } from "./stat_names.ts"

const { INBOUND, OUTBOUND } = telemetryQueryV1.Direction

/**
 * Answers a Stat request.
 *
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function stat(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: StatRequest,
): Promise<MessageInitShape<typeof StatResponseSchema>> {
  const windowMs = windowOf(request.windowMs)
  if (request.target !== undefined && isNameKind(request.target.kind)) {
    const rows = await statNames(store, queries, request, request.target, windowMs)
    return {
      rows,
      warnings: faultWarnings(
        store,
        rows.flatMap(({ resource }) => resource?.namespace || []),
      ),
    }
  }
  const selected = await traffic(store, queries, request, windowMs)
  const { target, sums, pods } = selected
  const again = request.retries ? await retries(store, queries, selected, windowMs) : null
  const refused = request.refused ? await refusedOf(store, queries, target, windowMs) : NOTHING_REFUSED
  const rows = [...target.resources.values()]
    .sort(compareResources)
    .map((resource): MessageInitShape<typeof StatRowSchema> => {
      const key = resourceKey(resource)
      const sum = sums.get(key)
      const { meshed = 0, total = 0 } = pods.get(key) ?? {}
      const refusedRps = refused.get(key)?.rps ?? 0
      const retriesRps = again?.get(key)?.rps ?? 0
      return { resource, meshedPods: meshed, totalPods: total, ...figuresOf(sum), refusedRps, retriesRps }
    })
  const namespaces = [...target.resources.values()].map(one => one.namespace)
  const nowhere = rows.length > 0 ? "" : unknownNamespace(store, request.target?.namespace ?? "")
  return { rows, warnings: [...(nowhere === "" ? [] : [nowhere]), ...faultWarnings(store, namespaces)] }
}

/** Pods of a resource that run. */
export interface PodCount {
  /** All of them. */
  total: number
  /** Those that carry a proxy. */
  injected: number
  /** Those of them that are ready or report. */
  meshed: number
}

/** What a window holds of the selected resources, by resource key. */
export interface SelectedTraffic {
  readonly target: Selection
  /** Only what these sent; null for all. */
  readonly from: Selection | null
  /** Only what went to these; null for all. */
  readonly to: Selection | null
  readonly sums: ReadonlyMap<string, FigureSum>
  readonly pods: ReadonlyMap<string, PodCount>
}

/**
 * Adds up the traffic of a window per selected resource.
 *
 * @throws ConnectError for what cannot be selected, or when telemetry cannot be asked
 */
export async function traffic(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: Pick<StatRequest, "target" | "from" | "to">,
  windowMs: number,
): Promise<SelectedTraffic> {
  if (request.from !== undefined && request.to !== undefined) {
    const sentence = "from and to cannot be asked together: target with one of them names both ends"
    throw invalid("CONTRADICTION", "from", sentence)
  }
  const target = select(store, request.target, "target")
  const from = request.from === undefined ? null : select(store, request.from, "from")
  const to = request.to === undefined ? null : select(store, request.to, "to")
  const seenByCallers = from !== null || (to === null && target.kind === "service")
  const direction = seenByCallers || to !== null ? OUTBOUND : INBOUND
  const [{ traffic: counted }, { reporters }] = await Promise.all([
    queries.traffic(windowMs, direction),
    queries.reporters(),
  ])

  const sums = new Map<string, FigureSum>()
  for (const row of counted) {
    const { reporter } = row
    if (reporter === undefined) continue
    if (from !== null && !isSelected(from, resourcesOfName(store, reporter, from.kind))) continue
    if (to !== null && !isSelected(to, calledBy(store, row, to.kind))) continue
    const resources = seenByCallers
      ? calledBy(store, row, target.kind)
      : resourcesOfName(store, reporter, target.kind)
    for (const resource of resources) {
      const key = resourceKey(resource)
      if (!target.resources.has(key)) continue
      const sum = sums.get(key) ?? new FigureSum()
      sum.add(row)
      sums.set(key, sum)
    }
  }

  const pods = countPods(store, reporters, pod => resourcesOfPod(store, pod, target.kind))
  return { target, from, to, sums, pods }
}

const NOTHING_REFUSED: ReadonlyMap<string, AccessSum> = new Map()

/** What policies refused within the window, by resource key: the called side's proxies decide, and count. */
async function refusedOf(
  store: ClusterStore,
  queries: TelemetryQueries,
  target: Selection,
  windowMs: number,
): Promise<ReadonlyMap<string, AccessSum>> {
  const sums = new Map<string, AccessSum>()
  const { accesses } = await queries.access(windowMs)
  for (const access of accesses) {
    if (access.verdict !== "deny" || access.reporter === undefined) continue
    for (const resource of resourcesOfName(store, access.reporter, target.kind)) {
      const key = resourceKey(resource)
      if (!target.resources.has(key)) continue
      const sum = sums.get(key) ?? new AccessSum()
      sums.set(key, sum)
      sum.add(access)
    }
  }
  return sums
}

/** A sentence on each Service of some namespaces that asks for faults. */
function faultWarnings(store: ClusterStore, namespaces: readonly string[]): string[] {
  return [...new Set(namespaces)].flatMap(namespace =>
    injectedFaults(store, namespace).map(
      ({ service, message }) => `Service ${service.namespace}/${service.name}: ${message}`,
    ),
  )
}

/**
 * Pods per resource: all that run, and those of them that carry a proxy which is ready or reports.
 *
 * @param resourcesOf  resources that a pod belongs to
 */
export function countPods(
  store: ClusterStore,
  reporters: readonly telemetryQueryV1.ProxyReporter[],
  resourcesOf: (pod: PodRecord) => Iterable<ResourceName>,
): Map<string, PodCount> {
  const reporting = new Set(reporters.filter(known => known.live).map(known => podKey(known.pod)))
  const counts = new Map<string, PodCount>()
  for (const pod of store.pods()) {
    if (pod.finished || pod.terminating) continue
    const meshed =
      pod.meshed && (pod.ready || reporting.has(podKey({ namespace: pod.namespace, pod: pod.name })))
    for (const resource of resourcesOf(pod)) {
      const key = resourceKey(resource)
      const count = counts.get(key) ?? { meshed: 0, injected: 0, total: 0 }
      counts.set(key, count)
      count.total++
      if (pod.meshed) count.injected++
      if (meshed) count.meshed++
    }
  }
  return counts
}

function podKey(pod: { namespace: string; pod: string } | undefined): string {
  return `${pod?.namespace}/${pod?.pod}`
}
