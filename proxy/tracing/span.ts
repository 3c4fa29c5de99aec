// A finished span: one hop of a request, as it goes to the collector. Names are OpenTelemetry's semantic conventions.
import type { ExchangeFacts } from "../http/mod.ts"

/** The proxy received the request for its application. A span's kind, numbers of `Span.SpanKind`. */
export const SPAN_SERVER = 2
/** The proxy sent it for its application. */
export const SPAN_CLIENT = 3

/** Longest text of an attribute; what is longer is cut. */
export const MAX_ATTRIBUTE_TEXT = 1024

/** Name and value of an attribute. */
export type Attribute = readonly [name: string, value: string | number | boolean]

/** A span. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** 16 hexadecimal digits. */
  readonly spanId: string
  /** 16 hexadecimal digits; "" for the first of a trace. */
  readonly parentId: string
  readonly traceState: string
  readonly name: string
  readonly kind: typeof SPAN_SERVER | typeof SPAN_CLIENT
  /** Milliseconds since 1970, with fractions. */
  readonly startMs: number
  readonly endMs: number
  readonly attributes: readonly Attribute[]
  readonly isError: boolean
}

/** Methods that a name may bear: others are made up by callers (HTTP semantic conventions). */
const METHODS = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"])

/** A name of few values: the gRPC method, else the HTTP method and the route if it has a name. */
export function spanName({ request, route }: ExchangeFacts): string {
  if (request.isGrpc) return text(pathOf(request.path).slice(1))
  const method = METHODS.has(request.method) ? request.method : "HTTP"
  return route === "" || route === "default" ? method : text(`${method} ${route}`)
}

/** Whether the span failed: of a server its own failures, of a client what it was refused too. */
export function spanFailed(facts: ExchangeFacts): boolean {
  if (facts.isFailure || facts.error !== "") return true
  return facts.direction === 1 && facts.status >= 400
}

/** What the exchange was, without anything that may be a secret: no query, no header but the user agent. */
export function spanAttributes(facts: ExchangeFacts): Attribute[] {
  const { request, endpoint, status, grpcStatus } = facts
  const [host, port] = splitPort(request.authority)
  const [clientAddress, clientPort] = splitPort(facts.client)
  const path = text(pathOf(request.path))
  const known = METHODS.has(request.method)
  const list: Attribute[] = [["http.request.method", known ? request.method : "_OTHER"]]
  const add = (name: string, value: string | number) => {
    if (value !== "" && !Number.isNaN(value))
      list.push([name, typeof value === "string" ? text(value) : value])
  }
  if (!known) add("http.request.method_original", request.method)
  if (facts.direction === 1) add("url.full", `http://${request.authority}${path}`)
  add("url.scheme", "http")
  add("url.path", path)
  add("server.address", host)
  if (port !== "") add("server.port", Number(port))
  add("network.protocol.name", "http")
  add("network.protocol.version", facts.httpVersion)
  if (status !== 0) add("http.response.status_code", status)
  add("http.request.body.size", facts.requestBytes)
  add("http.response.body.size", facts.responseBytes)
  if (facts.direction === 0) {
    add("client.address", clientAddress)
    add("client.port", Number(clientPort))
  }
  add("user_agent.original", request.header("user-agent") ?? "")
  if (facts.attempts > 1) add("http.request.resend_count", facts.attempts - 1)
  if (request.isGrpc) {
    const [, service = "", method = ""] = pathOf(request.path).split("/", 3)
    add("rpc.system", "grpc")
    add("rpc.service", service)
    add("rpc.method", method)
    if (grpcStatus >= 0) add("rpc.grpc.status_code", grpcStatus)
  }
  if (spanFailed(facts)) {
    add("error.type", facts.error || (grpcStatus > 0 ? String(grpcStatus) : String(status)))
  }
  add("conduit.direction", facts.direction === 0 ? "inbound" : "outbound")
  add("conduit.route", facts.route)
  add("conduit.tls", facts.tls)
  add("conduit.client.id", facts.clientId)
  add("conduit.dst.service", facts.dstService)
  add("conduit.dst.namespace", facts.dstNamespace)
  if (endpoint !== null) {
    const { info } = endpoint
    add("network.peer.address", endpoint.address)
    add("network.peer.port", endpoint.port)
    add("conduit.dst.pod", info.pod)
    if (info.workload !== "") add(`conduit.dst.${info.workloadKind || "workload"}`, info.workload)
    add("conduit.server.id", info.identity)
  }
  return list
}

function text(value: string): string {
  return value.length > MAX_ATTRIBUTE_TEXT ? value.slice(0, MAX_ATTRIBUTE_TEXT) : value
}

/** Queries bear keys and names of people. */
function pathOf(target: string): string {
  const query = target.indexOf("?")
  return query < 0 ? target : target.slice(0, query)
}

function splitPort(authority: string): [host: string, port: string] {
  const colon = authority.lastIndexOf(":")
  if (colon < 0 || authority.endsWith("]")) return [authority, ""]
  return [authority.slice(0, colon).replace(/^\[|\]$/g, ""), authority.slice(colon + 1)]
}
