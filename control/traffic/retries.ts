// What was sent again, per resource. Callers' proxies ask again, and know which Service they ask.
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import {
  isSelected,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  type Selection,
} from "../resources/mod.ts"
import { retriesOf, ShareSum, type TelemetryQueries } from "../telemetry/mod.ts"

/** Between whom. */
export interface RetriedTraffic {
  /** Whose figures are asked for. */
  readonly target: Selection
  /** Only what these sent; null for all. */
  readonly from: Selection | null
  /** Only what went to these, sent by the target; null for what came to the target. */
  readonly to: Selection | null
}

/**
 * Requests that were sent again within a window, by key of the target's resources. Where several workloads stand behind a
 * Service, it is shared out by the requests that each answered.
 *
 * @throws ConnectError when telemetry cannot be asked
 */
export async function retries(
  store: ClusterStore,
  queries: TelemetryQueries,
  { target, from, to }: RetriedTraffic,
  windowMs: number,
): Promise<ReadonlyMap<string, ShareSum>> {
  const sums = new Map<string, ShareSum>()
  const { routes } = await queries.routes(windowMs)
  const again = routes.filter(row => retriesOf(row) > 0)
  if (again.length === 0) return sums
  const called = to ?? target
  const shares = called.kind === "service" ? null : await sharesOf(store, queries, called.kind, windowMs)
  for (const row of again) {
    const { reporter, dstNamespace: namespace, dstService: name } = row
    if (reporter === undefined || name === "") continue
    if (from !== null && !isSelected(from, resourcesOfName(store, reporter, from.kind))) continue
    const service = { namespace, kind: "service", name }
    const behind = shares?.get(pairKey(reporter, service)) ?? new Map([[resourceKey(service), 1]])
    for (const [key, share] of behind) {
      if (!called.resources.has(key)) continue
      const keys = to === null ? [key] : resourcesOfName(store, reporter, target.kind).map(resourceKey)
      for (const of of keys) {
        if (!target.resources.has(of)) continue
        const sum = sums.get(of) ?? new ShareSum()
        sums.set(of, sum)
        sum.add(row, retriesOf(row) * share)
      }
    }
  }
  return sums
}

function pairKey({ namespace, pod }: telemetryQueryV1.PodRef, service: ResourceName): string {
  return `${namespace}/${pod} ${resourceKey(service)}`
}

/** For each caller and Service: which resources of a kind answered which share of the requests. */
async function sharesOf(
  store: ClusterStore,
  queries: TelemetryQueries,
  kind: string,
  windowMs: number,
): Promise<ReadonlyMap<string, ReadonlyMap<string, number>>> {
  const { traffic } = await queries.traffic(windowMs, telemetryQueryV1.Direction.OUTBOUND)
  const counts = new Map<string, Map<string, number>>()
  for (const { reporter, dst, dstService: name, successes, failures } of traffic) {
    if (reporter === undefined || dst === undefined || name === "") continue
    const pair = pairKey(reporter, { namespace: dst.namespace, kind: "service", name })
    const ofPair = counts.get(pair) ?? new Map<string, number>()
    counts.set(pair, ofPair)
    for (const resource of resourcesOfName(store, dst, kind)) {
      const key = resourceKey(resource)
      ofPair.set(key, (ofPair.get(key) ?? 0) + Number(successes + failures))
    }
  }
  for (const ofPair of counts.values()) {
    const all = [...ofPair.values()].reduce((sum, count) => sum + count, 0)
    for (const [key, count] of ofPair) ofPair.set(key, all === 0 ? 0 : count / all)
  }
  return counts
}
