// What a reported series means: which figure it feeds, and towards which peer it was counted. Names and labels
// are those of a proxy's /metrics.
import { telemetryQueryV1 } from "../../protos/mod.ts"

/** The figure that a series feeds. */
export type Figure = "success" | "failure" | "latency" | "sent" | "begun" | "open" | "read" | "write"

/** The peer that traffic was counted towards, with what distinguishes the traffic. */
export interface TrafficKey {
  readonly direction: telemetryQueryV1.Direction
  readonly dstNamespace: string
  readonly dstService: string
  readonly dstWorkloadKind: string
  readonly dstWorkload: string
  readonly dstPod: string
  readonly tls: string
  readonly clientId: string
  readonly serverId: string
  /** Name of the route, of series that are kept per route; empty for all others. */
  readonly route: string
  /** What was called outside of the cluster, as the caller named it; empty for all other traffic. */
  readonly host: string
  /** Authority that was called, as the caller named it, where traffic is told apart by it; empty otherwise. */
  readonly authority: string
}

/** Labels that begin as those of a workload (`dst_deployment`) and are none. */
const NO_WORKLOAD = new Set(["dst_service", "dst_namespace", "dst_pod"])

/** The figure of a series, or null for one that no question asks about. */
export function figureOf(metric: string, labels: Readonly<Record<string, string>>): Figure | null {
  // A proxy counts both ends of what it relays; the application's end says nothing about its peers.
  const peer = labels.direction === "inbound" ? "src" : "dst"
  switch (metric) {
    case "response_total":
    case "route_response_total":
      return labels.classification === "failure" ? "failure" : "success"
    case "response_latency_ms":
    case "route_response_latency_ms":
      return "latency"
    case "route_actual_request_total":
      return "sent"
    case "route_request_total":
      return "begun"
    case "tcp_open_connections":
      return labels.peer === peer ? "open" : null
    case "tcp_read_bytes_total":
      return labels.peer === peer ? "read" : null
    case "tcp_write_bytes_total":
      return labels.peer === peer ? "write" : null
    default:
      return null
  }
}

/** The key of a series. */
export function trafficKeyOf(labels: Readonly<Record<string, string>>): TrafficKey {
  const outbound = labels.direction !== "inbound"
  const pod = labels.dst_pod ?? ""
  const owner = Object.keys(labels).find(name => name.startsWith("dst_") && !NO_WORKLOAD.has(name))
  const kind = owner?.slice("dst_".length) ?? (pod === "" ? "" : "pod")
  return {
    direction: outbound ? telemetryQueryV1.Direction.OUTBOUND : telemetryQueryV1.Direction.INBOUND,
    dstNamespace: outbound ? (labels.dst_namespace ?? "") : "",
    dstService: outbound ? (labels.dst_service ?? "") : "",
    dstWorkloadKind: outbound ? kind : "",
    dstWorkload: outbound ? (labels[`dst_${kind}`] ?? "") : "",
    dstPod: outbound ? pod : "",
    tls: labels.tls ?? "",
    clientId: labels.client_id ?? "",
    serverId: labels.server_id ?? "",
    route: labels.rt_route ?? "",
    host: outbound && pod === "" && kind === "" && !labels.dst_service ? (labels.authority ?? "") : "",
    authority: "",
  }
}
