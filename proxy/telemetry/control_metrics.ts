// The control_* family: the proxy's own streams to the control plane.
import type { Link } from "../control_plane/mod.ts"
import type { Labels, Metric, Series } from "./series.ts"
import { type Collect, figure } from "./telemetry.ts"

const REQUESTS: Metric = {
  name: "control_request_total",
  kind: "counter",
  help: "Attempts to open a stream to a service of the control plane.",
}
const RESPONSES: Metric = {
  name: "control_response_total",
  kind: "counter",
  help: "Streams to the control plane that opened (success), attempts and streams that failed (failure).",
}
const MESSAGES: Metric = {
  name: "control_message_total",
  kind: "counter",
  help: "Messages exchanged with the control plane.",
}
const CONNECTED: Metric = {
  name: "control_connected",
  kind: "gauge",
  help: "1 while a stream to the service is up, else 0.",
}

/** Figures of a link, under `svc="name"`. */
export function controlMetrics(name: string, address: string, link: Link): Collect {
  const labels: Labels = [
    ["svc", name],
    ["addr", address],
  ]
  return (): Series[] => {
    const { opened, failed, received, sent, attempted } = link.counts
    return [
      figure(REQUESTS, labels, attempted),
      figure(RESPONSES, [...labels, ["classification", "success"]], opened),
      figure(RESPONSES, [...labels, ["classification", "failure"]], failed),
      figure(MESSAGES, [...labels, ["way", "received"]], received),
      figure(MESSAGES, [...labels, ["way", "sent"]], sent),
      figure(CONNECTED, labels, link.up ? 1 : 0),
    ]
  }
}
