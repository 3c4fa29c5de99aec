// A control plane for tests: answers Watch from a table and prints what Report brings. Run as a program in a pod:
// `bun fake_control_plane.ts PORT`; a line of JSON on its input replaces the table, its output is a line per event.
import { createSecureServer, createServer, type Http2SecureServer } from "node:http2"
import { create } from "@bufbuild/protobuf"
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { destinationV1, identityV1, telemetryV1 } from "../../protos/mod.ts"
import { type CaText, LabCa, names, publicKeyOf } from "../../proxy/identity/test_ca.ts"
import { parseAddress } from "../../proxy/net/mod.ts"

/** An endpoint of the table. */
export interface TableEndpoint {
  readonly ip: string
  readonly port: number
  readonly pod?: string
  readonly workload?: string
  readonly meshed?: boolean
  /** Service account that the pod proves; empty for a pod without identity. */
  readonly serviceAccount?: string
}

/** How identities are issued; every token is a service account, `NAME` of namespace lab or `NAMESPACE/NAME`. */
export interface TableIdentity {
  readonly issuer: CaText
  /** DER in base 64. */
  readonly anchors: readonly string[]
  readonly lifetimeMs: number
  /** The service refuses everybody. */
  readonly away?: boolean
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
  readonly identity?: TableIdentity
}

/** Ports that serve TLS once the table has identities, by service. */
export const SECURE_PORTS = { destination: 9086, telemetry: 9087, identity: 9080 } as const

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
    identity:
      entry.serviceAccount === undefined ? "" : (names("lab", entry.serviceAccount).dnsNames[0] ?? ""),
    serviceAccount: entry.serviceAccount ?? "",
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

async function certify(request: identityV1.CertifyRequest): Promise<identityV1.CertifyResponse> {
  const { identity } = table
  if (identity === undefined || identity.away) throw new ConnectError("no issuer", Code.Unavailable)
  const issuer = await LabCa.fromText(identity.issuer)
  const notBeforeMs = Math.floor(Date.now() / 1000) * 1000
  const notAfterMs = notBeforeMs + identity.lifetimeMs
  const [account = "", namespace = "lab"] = request.token.split("/").reverse()
  const signed = await issuer.certify({
    publicKey: publicKeyOf(request.csr),
    ...names(namespace, account),
    notBeforeMs,
    notAfterMs,
  })
  say({ event: "certified", serviceAccount: request.token })
  return create(identityV1.CertifyResponseSchema, {
    chain: [signed],
    notBeforeMs: BigInt(notBeforeMs),
    notAfterMs: BigInt(notAfterMs),
    trustAnchors: identity.anchors.map(one => Buffer.from(one, "base64")),
  })
}

async function* watchTrustAnchors(
  _request: identityV1.WatchTrustAnchorsRequest,
  context: HandlerContext,
): AsyncGenerator<identityV1.WatchTrustAnchorsResponse> {
  let wake = () => {}
  const onChange = () => wake()
  changed.add(onChange)
  context.signal.addEventListener("abort", onChange)
  try {
    while (!context.signal.aborted) {
      const anchors = table.identity?.anchors ?? []
      yield create(identityV1.WatchTrustAnchorsResponseSchema, {
        trustAnchors: anchors.map(one => Buffer.from(one, "base64")),
      })
      await new Promise<void>(resolve => {
        wake = resolve
      })
    }
  } finally {
    changed.delete(onChange)
  }
}

let secure: Http2SecureServer[] = []

/** Serves each service with a certificate of the issuer that is now; connections of before end. */
async function serveSecurely(): Promise<void> {
  const { identity } = table
  for (const server of secure) server.close()
  secure = []
  if (identity === undefined) return
  const issuer = await LabCa.fromText(identity.issuer)
  // The bench runs several side by side, each with ports of its own.
  const own = process.env.CONDUIT_LAB_SECURE_PORTS
  for (const [i, [service, usual]] of Object.entries(SECURE_PORTS).entries()) {
    const port = own === undefined ? usual : Number(own) + i
    const { certPem, keyPem } = await issuer.issue("conduit", `conduit-${service}`)
    const server = createSecureServer({ cert: certPem, key: keyPem, minVersion: "TLSv1.3" }, handler)
    secure.push(server)
    await new Promise<void>(resolve => server.listen(port, "::", resolve))
  }
}

const handler = connectNodeAdapter({
  routes(router) {
    router.service(destinationV1.DestinationService, { watch })
    router.service(telemetryV1.TelemetryService, { report })
    router.service(identityV1.IdentityService, { certify, watchTrustAnchors })
  },
})

async function readTables(): Promise<void> {
  for await (const line of console) {
    if (line.trim() === "") continue
    const before = JSON.stringify(table.identity?.issuer)
    table = JSON.parse(line) as Table
    version++
    if (JSON.stringify(table.identity?.issuer) !== before) await serveSecurely()
    for (const notify of changed) notify()
    say({ event: "table" })
  }
}

if (import.meta.main) {
  createServer(handler).listen(Number(process.argv[2] ?? 8086), "::", () => say({ event: "listening" }))
  void readTables()
}
