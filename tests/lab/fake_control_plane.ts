// A control plane for tests: answers Watch from a table and prints what Report brings. Run as a program in a pod:
// `bun fake_control_plane.ts PORT`; a line of JSON on its input replaces the table, its output is a line per event.
import { createServer, type Http2Session } from "node:http2"
import { create } from "@bufbuild/protobuf"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { destinationV1, telemetryV1 } from "../../protos/mod.ts"
import { parseAddress } from "../../proxy/net/mod.ts"

/** An endpoint of the table. */
export interface TableEndpoint {
  readonly ip: string
  readonly port: number
  readonly pod?: string
  readonly workload?: string
  readonly meshed?: boolean
}

/** What an address is; absent from the table: external. */
export type TableEntry =
  | {
      readonly service: string
      readonly port: number
      readonly endpoints: readonly TableEndpoint[]
      readonly protocol?: destinationV1.Protocol
    }
  | { readonly endpoint: TableEndpoint; readonly protocol?: destinationV1.Protocol }

/** By `ip:port` or `[ip]:port` of outbound targets, and `inbound:PORT` for hints of ports. */
export interface Table {
  readonly outbound: Readonly<Record<string, TableEntry>>
  readonly inbound?: Readonly<Record<string, destinationV1.Protocol>>
}

let table: Table = { outbound: {} }
let version = 1
const changed = new Set<() => void>()

function say(event: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(event)}\n`)
}

function text(ip: Uint8Array): string {
  if (ip.length === 4) return ip.join(".")
  // Tests write IPv6 addresses in the canonical form.
  return new URL(
    `http://[${Array.from({ length: 8 }, (_, i) => (((ip[2 * i] ?? 0) << 8) | (ip[2 * i + 1] ?? 0)).toString(16)).join(":")}]`,
  ).hostname
}

function endpointOf(entry: TableEndpoint, protocol: destinationV1.Protocol): destinationV1.Endpoint {
  return create(destinationV1.EndpointSchema, {
    ip: parseAddress(entry.ip) ?? new Uint8Array(4),
    port: entry.port,
    namespace: entry.pod === undefined ? "" : "lab",
    pod: entry.pod ?? "",
    workloadKind: entry.workload === undefined ? "" : "deployment",
    workload: entry.workload ?? "",
    meshed: entry.meshed ?? false,
    protocol,
  })
}

function answer(request: destinationV1.Subscribe): destinationV1.WatchResponse {
  const base = { watchId: request.watchId, version: String(version) }
  const { target } = request
  if (target.case === "inbound") {
    const protocol = table.inbound?.[String(target.value.port)] ?? 0
    return create(destinationV1.WatchResponseSchema, {
      ...base,
      update: { case: "inbound", value: { protocol } },
    })
  }
  const address = target.case === "outbound" ? `${text(target.value.ip)}:${target.value.port}` : ""
  const entry = table.outbound[address]
  const destination = create(destinationV1.DestinationSchema)
  if (entry === undefined) {
    destination.kind = { case: "external", value: create(destinationV1.ExternalSchema) }
  } else if ("endpoint" in entry) {
    destination.kind = { case: "endpoint", value: endpointOf(entry.endpoint, entry.protocol ?? 0) }
  } else {
    destination.kind = {
      case: "service",
      value: create(destinationV1.ServiceSchema, {
        namespace: "lab",
        name: entry.service,
        port: entry.port,
        fqdn: `${entry.service}.lab.svc.cluster.local`,
        protocol: entry.protocol ?? 0,
        endpoints: entry.endpoints.map(endpoint => endpointOf(endpoint, 0)),
      }),
    }
  }
  return create(destinationV1.WatchResponseSchema, {
    ...base,
    update: { case: "destination", value: destination },
  })
}

async function* watch(
  requests: AsyncIterable<destinationV1.WatchRequest>,
): AsyncGenerator<destinationV1.WatchResponse> {
  const watches = new Map<bigint, destinationV1.Subscribe>()
  const queue: destinationV1.WatchResponse[] = []
  let wake = () => {}
  let over = false
  const onChange = () => {
    for (const one of watches.values()) queue.push(answer(one))
    wake()
  }
  changed.add(onChange)
  void (async () => {
    try {
      for await (const { request } of requests) {
        if (request.case === "hello") say({ event: "hello", pod: request.value.pod })
        else if (request.case === "subscribe") {
          watches.set(request.value.watchId, request.value)
          queue.push(answer(request.value))
          wake()
        } else if (request.case === "unsubscribe") watches.delete(request.value.watchId)
      }
    } catch (error) {
      say({ event: "watch-ended", error: String(error) })
    }
    over = true
    wake()
  })()
  try {
    while (!over) {
      const next = queue.shift()
      if (next !== undefined) yield next
      else {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    }
  } finally {
    changed.delete(onChange)
  }
}

async function report(requests: AsyncIterable<telemetryV1.ReportRequest>): Promise<Record<string, never>> {
  for await (const request of requests) {
    if (request.reporter)
      say({ event: "reporter", pod: request.reporter.pod, workload: request.reporter.workload })
    for (const series of request.series)
      say({ event: "series", metric: series.metric, labels: series.labels })
  }
  return {}
}

async function readTables(): Promise<void> {
  for await (const line of console) {
    if (line.trim() === "") continue
    table = JSON.parse(line) as Table
    version++
    for (const notify of changed) notify()
    say({ event: "table" })
  }
}

if (import.meta.main) {
  const handler = connectNodeAdapter({
    routes(router) {
      router.service(destinationV1.DestinationService, { watch })
      router.service(telemetryV1.TelemetryService, { report })
    },
  })
  const sessions = new Set<Http2Session>()
  const server = createServer(handler)
  server.on("session", session => sessions.add(session))
  server.listen(Number(process.argv[2] ?? 8086), "::", () => say({ event: "listening" }))
  void readTables()
}
