// How `conduit tap` prints requests: lines as Linkerd's, a JSON object per request, or a command that repeats it.
import type { TapConnectionOpened, TapPeer, TapRequestBegun } from "../../protos/mod.ts"
import { jsonLine, printable } from "../printable.ts"
import { resourceText } from "../resource.ts"
import type { FollowedConnection, FollowedRequest } from "./tap_stream.ts"

/** A request of `conduit tap -o json`; null is what is not there. */
export interface TapJson {
  readonly id: string
  readonly time: string
  readonly direction: "inbound" | "outbound"
  readonly from: TapJsonPeer
  readonly to: TapJsonPeer
  readonly tls: boolean
  /** Why there is no TLS of the mesh; null where there is. */
  readonly tlsReason: string | null
  readonly method: string
  readonly scheme: string
  readonly authority: string
  readonly path: string
  readonly route: string | null
  readonly service: string | null
  readonly headers: readonly { readonly name: string; readonly value: string }[]
  readonly status: number | null
  readonly grpcStatus: number | null
  /** To the head of the response. */
  readonly latencyMs: number | null
  /** To its end. */
  readonly durationMs: number
  readonly responseBytes: number
  readonly success: boolean
  readonly error: string | null
  readonly errorId: string | null
}

/** A raw connection of `conduit tap -o json`; null is what is not there. It has a `protocol` and no `method`. */
export interface TapJsonConnection {
  readonly id: string
  /** When it was opened. */
  readonly time: string
  readonly direction: "inbound" | "outbound"
  readonly from: TapJsonPeer
  readonly to: TapJsonPeer
  readonly tls: boolean
  readonly tlsReason: string | null
  /** `tls` for TLS of the application's own. */
  readonly protocol: string
  readonly serverName: string | null
  readonly service: string | null
  readonly durationMs: number
  /** Octets that the client sent. */
  readonly clientBytes: number
  /** Octets that the server sent. */
  readonly serverBytes: number
  readonly error: string | null
}

/** One end of a request. */
export interface TapJsonPeer {
  readonly address: string
  readonly namespace: string | null
  readonly kind: string | null
  readonly name: string | null
  readonly pod: string | null
  readonly identity: string | null
}

/** A request that is over, as JSON shows it. */
export function tapJson({ id, begun, head, ended }: FollowedRequest): TapJson {
  return {
    id,
    time: new Date(begun.timeMs).toISOString(),
    direction: begun.inbound ? "inbound" : "outbound",
    from: jsonPeer(begun.client),
    to: jsonPeer(begun.server),
    tls: begun.tls === "true",
    tlsReason: begun.tls === "true" ? null : begun.tls,
    method: begun.method,
    scheme: begun.scheme,
    authority: begun.authority,
    path: begun.path,
    route: begun.route || null,
    service: begun.service || null,
    headers: begun.headers.map(({ name, value }) => ({ name, value })),
    status: ended?.status || null,
    grpcStatus: ended?.grpcStatus ?? null,
    latencyMs: head === null ? null : rounded(head.afterMs),
    durationMs: rounded(ended?.afterMs ?? 0),
    responseBytes: Number(ended?.responseBytes ?? 0n),
    success: ended?.failed === false,
    error: ended?.error || null,
    errorId: ended?.errorId || null,
  }
}

/** A connection that is over, as JSON shows it. */
export function connectionJson({ id, opened, closed }: FollowedConnection): TapJsonConnection {
  return {
    id,
    time: new Date(opened.timeMs).toISOString(),
    direction: opened.inbound ? "inbound" : "outbound",
    from: jsonPeer(opened.client),
    to: jsonPeer(opened.server),
    tls: opened.tls === "true",
    tlsReason: opened.tls === "true" ? null : opened.tls,
    protocol: opened.protocol,
    serverName: opened.serverName || null,
    service: opened.service || null,
    durationMs: rounded(closed?.afterMs ?? 0),
    clientBytes: Number(closed?.clientBytes ?? 0n),
    serverBytes: Number(closed?.serverBytes ?? 0n),
    error: closed?.error || null,
  }
}

function jsonPeer(peer: TapPeer | undefined): TapJsonPeer {
  const { address = "", namespace = "", kind = "", name = "", pod = "", identity = "" } = peer ?? {}
  return {
    address,
    namespace: namespace || null,
    kind: kind || null,
    name: name || null,
    pod: pod || null,
    identity: identity || null,
  }
}

/** A request that is over, as one line of JSON. */
export function jsonText(request: FollowedRequest): string {
  return `${jsonLine(tapJson(request))}\n`
}

/** A connection that is over, as one line of JSON. */
export function connectionJsonText(connection: FollowedConnection): string {
  return `${jsonLine(connectionJson(connection))}\n`
}

/** One moment of a raw connection as a line of `key=value`. @param wide  with all that is known of the peers */
export function connectionLine(
  { shortId, opened, closed }: FollowedConnection,
  moment: "opened" | "closed",
  wide: boolean,
): string {
  const fields = endsOf(shortId, opened)
  fields.push(["protocol", opened.protocol], ["sni", opened.serverName])
  if (moment === "closed" && closed !== null) {
    fields.push(
      ["duration", micros(closed.afterMs)],
      ["client-bytes", `${closed.clientBytes}B`],
      ["server-bytes", `${closed.serverBytes}B`],
      ["error", closed.error],
    )
  }
  if (wide) fields.push(...wideEnds(opened))
  return lineOf(moment === "opened" ? "opn" : "cls", fields)
}

type Fields = (readonly [name: string, value: string])[]

function endsOf(shortId: string, first: TapRequestBegun | TapConnectionOpened): Fields {
  return [
    ["id", shortId],
    ["proxy", first.inbound ? "in" : "out"],
    ["src", first.client?.address ?? ""],
    ["src_res", peerText(first.client)],
    ["dst", first.server?.address ?? ""],
    ["dst_res", peerText(first.server)],
    ["tls", first.tls],
  ]
}

function wideEnds(first: TapRequestBegun | TapConnectionOpened): Fields {
  return [
    ["src_ns", first.client?.namespace ?? ""],
    ["src_pod", first.client?.pod ?? ""],
    ["client_id", first.client?.identity ?? ""],
    ["dst_ns", first.server?.namespace ?? ""],
    ["dst_pod", first.server?.pod ?? ""],
    ["server_id", first.server?.identity ?? ""],
    ["service", first.service],
  ]
}

function lineOf(moment: string, fields: Fields): string {
  const words = fields.filter(([, value]) => value !== "").map(([name, value]) => `${name}=${value}`)
  return `${printable(`${moment} ${words.join(" ")}`)}\n`
}

/** One moment as a line of `key=value`. @param wide  with all that is known of the peers */
export function momentLine(
  request: FollowedRequest,
  moment: "begun" | "head" | "ended",
  wide: boolean,
): string {
  const { shortId, begun, head, ended } = request
  const fields = endsOf(shortId, begun)
  if (moment === "begun") {
    fields.push([":method", begun.method], [":authority", begun.authority], [":path", begun.path])
  } else if (moment === "head") {
    fields.push([":status", String(head?.status ?? 0)], ["latency", micros(head?.afterMs ?? 0)])
  } else {
    if (head === null) fields.push([":status", ended?.status ? String(ended.status) : "-"])
    if (ended?.grpcStatus !== undefined) fields.push(["grpc-status", String(ended.grpcStatus)])
    fields.push(
      ["duration", micros((ended?.afterMs ?? 0) - (head?.afterMs ?? 0))],
      ["response-length", `${ended?.responseBytes ?? 0}B`],
    )
    if (ended?.error) fields.push(["error", ended.error])
    if (ended?.errorId) fields.push(["error-id", ended.errorId])
  }
  if (wide) {
    fields.push(...wideEnds(begun), ["rt_route", begun.route])
    if (moment === "begun")
      for (const { name, value } of begun.headers) fields.push([`${name}:`, JSON.stringify(value)])
  }
  return lineOf({ begun: "req", head: "rsp", ended: "end" }[moment], fields)
}

function peerText(peer: TapPeer | undefined): string {
  return peer === undefined || peer.name === "" ? "" : resourceText(peer.kind, peer.name)
}

function micros(ms: number): string {
  return ms >= 1000
    ? `${(ms / 1000).toFixed(2)}s`
    : ms >= 10
      ? `${ms.toFixed(1)}ms`
      : `${Math.round(ms * 1000)}µs`
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** Fields that curl sets by itself, or that speak of one connection only. */
const NOT_REPEATED = new Set([
  "host",
  "content-length",
  "connection",
  "user-agent",
  "accept-encoding",
  "transfer-encoding",
])

/** A command that repeats a request, as far as its head is known; what is missing stands in a comment. */
export function curlText({ begun }: FollowedRequest): string {
  const words = ["curl"]
  const missing: string[] = []
  if (begun.method === "HEAD") words.push("--head")
  else if (begun.method !== "GET") words.push("-X", quoted(begun.method))
  for (const { name, value } of begun.headers) {
    if (NOT_REPEATED.has(name)) continue
    if (value === "[redacted]") missing.push(name)
    else words.push("-H", quoted(`${name}: ${value}`))
  }
  if (begun.headers.some(({ name }) => name === "content-length" || name === "transfer-encoding"))
    missing.push("the body")
  const authority = begun.authority || (begun.server?.address ?? "")
  words.push(quoted(`${begun.scheme}://${authority}${begun.path}`))
  const comment = missing.length === 0 ? "" : ` # without ${missing.join(", ")}`
  return `${words.join(" ")}${printable(comment)}\n`
}

/** A word of a POSIX shell; with control characters, of bash. */
function quoted(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these must be written out
  if (!/[\u0000-\u001f\u007f-\u009f]/.test(text))
    return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
  return `$'${printable(text.replaceAll("\\", "\\\\").replaceAll("'", "\\'"))}'`
}
