// What a reporter counted in a part of a window, in the shape of the query API.
import type { telemetryQueryV1, telemetryV1 } from "../../protos/mod.ts"
import type { Coverage, Peer, Reporter } from "./reporter.ts"
import type { WindowSums } from "./window_ring.ts"

/** Traffic of a peer in the shape of the query API by authority; none of those with nothing to tell. */
export function* trafficByAuthority(
  reporter: Reporter,
  peer: Peer,
  coverage: Coverage,
): Generator<Omit<telemetryQueryV1.Traffic, "$typeName">> {
  for (const [authority, sum] of peer.authorities.of(peer.ring)) {
    const sums = sum(coverage.tier, coverage.firstSlot, coverage.lastSlot)
    const row = trafficOf(reporter, peer, coverage, sums)
    if (row !== null) yield { ...row, authority }
  }
}

/** Traffic of a peer in the shape of the query API, or null when there is nothing to tell. */
export function trafficOf(
  reporter: Reporter,
  peer: Peer,
  coverage: Coverage,
  sums: WindowSums = peer.ring.sum(coverage.tier, coverage.firstSlot, coverage.lastSlot),
): Omit<telemetryQueryV1.Traffic, "$typeName"> | null {
  const responses = sums.successes + sums.failures
  const bytes = sums.readBytes + sums.writeBytes
  const hasTcp = bytes > 0 || (peer.hasTcp && reporter.live)
  if (responses === 0 && !hasTcp) return null
  const { key } = peer
  return {
    direction: key.direction,
    reporter: podRefOf(reporter.about),
    dst: podRef(key.dstNamespace, key.dstPod, key.dstWorkloadKind, key.dstWorkload),
    dstService: key.dstService,
    host: key.host,
    authority: "",
    tls: key.tls,
    clientId: key.clientId,
    serverId: key.serverId,
    successes: BigInt(sums.successes),
    failures: BigInt(sums.failures),
    latencyCounts: responses === 0 ? [] : Array.from(sums.latency, BigInt),
    hasTcp,
    open: BigInt(reporter.live ? Math.max(0, peer.open) : 0),
    readBytes: sums.readBytes,
    writeBytes: sums.writeBytes,
    fromMs: coverage.fromMs,
    toMs: coverage.toMs,
    wholeWindow: coverage.wholeWindow,
  }
}

/** Traffic of a route in the shape of the query API, or null when there was none. */
export function routeTrafficOf(
  reporter: Reporter,
  { key, ring }: Peer,
  { tier, firstSlot, lastSlot, fromMs, toMs, wholeWindow }: Coverage,
): Omit<telemetryQueryV1.RouteTraffic, "$typeName"> | null {
  const { successes, failures, sent, begun, latency } = ring.sum(tier, firstSlot, lastSlot)
  if (successes + failures + sent === 0) return null
  return {
    reporter: podRefOf(reporter.about),
    dstNamespace: key.dstNamespace,
    dstService: key.dstService,
    route: key.route,
    successes: BigInt(successes),
    failures: BigInt(failures),
    latencyCounts: Array.from(latency, BigInt),
    sent: BigInt(sent),
    begun: BigInt(begun),
    fromMs,
    toMs,
    wholeWindow,
  }
}

/** The pod of a reporter. */
export function podRefOf(about: telemetryV1.Reporter): telemetryQueryV1.PodRef {
  return podRef(about.namespace, about.pod, about.workloadKind, about.workload)
}

function podRef(
  namespace: string,
  pod: string,
  workloadKind: string,
  workload: string,
): telemetryQueryV1.PodRef {
  return { $typeName: "conduit.telemetry.v1.PodRef", namespace, pod, workloadKind, workload }
}
