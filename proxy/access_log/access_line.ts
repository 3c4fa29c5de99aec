// One exchange as a line: Apache's combined format with our fields behind it, or JSON with the names of Linkerd's.
import type { ExchangeFacts } from "../http/mod.ts"
import { formatAddress } from "../net/mod.ts"

/** Characters of a text that a line shows; a longer one is cut: heads may have 64 KiB. */
export const MAX_LOGGED_TEXT = 2048

const SIDES = ["inbound", "outbound"] as const
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"] as const

/** The moment of a request as lines show it; the text of a second is kept, since thousands of lines share it. */
export class LineClock {
  private second = Number.NaN
  private apacheText = ""
  private isoText = ""

  /** `28/Nov/2026:02:55:48 +0000`. @param ms  milliseconds since 1970 */
  apache(ms: number): string {
    this.turn(ms)
    return this.apacheText
  }

  /** `2026-11-28T02:55:48.123Z`. */
  iso(ms: number): string {
    this.turn(ms)
    const rest = Math.floor(ms) % 1000
    return `${this.isoText}.${rest < 10 ? "00" : rest < 100 ? "0" : ""}${rest}Z`
  }

  private turn(ms: number): void {
    const second = Math.floor(ms / 1000)
    if (second === this.second) return
    this.second = second
    this.isoText = new Date(second * 1000).toISOString().slice(0, 19)
    const [day, time] = this.isoText.split("T") as [string, string]
    const month = MONTHS[Number(day.slice(5, 7)) - 1]
    this.apacheText = `${day.slice(8)}/${month}/${day.slice(0, 4)}:${time} +0000`
  }
}

/** Apache's combined format, then ours as `name=value`. Ends with a newline; ASCII. */
export function apacheLine(facts: ExchangeFacts, startedAtMs: number, clock: LineClock): string {
  const { request, status, endpoint } = facts
  const host = facts.client.slice(0, facts.client.lastIndexOf(":"))
  let line = `${host || "-"} - ${apacheText(facts.clientId) || "-"} [${clock.apache(startedAtMs)}] "${apacheText(request.method)} `
  line += `${apacheText(request.path)} HTTP/${facts.httpVersion === "2" ? "2.0" : facts.httpVersion}" `
  line += `${status === 0 ? "-" : status} ${facts.responseBytes === 0 ? "-" : facts.responseBytes} `
  line += `"${apacheText(request.header("referer") ?? "-")}" "${apacheText(request.header("user-agent") ?? "-")}" `
  line += `host="${apacheText(request.authority)}" direction=${SIDES[facts.direction]} `
  line += `request_bytes=${facts.requestBytes} total_ms=${milliseconds(facts.totalMs)} `
  line += `processing_ms=${milliseconds(facts.processingMs)}`
  if (endpoint !== null) line += ` endpoint=${formatAddress(endpoint.address, endpoint.port)}`
  if (facts.grpcStatus >= 0) line += ` grpc_status=${facts.grpcStatus}`
  if (facts.error !== "") line += ` error=${facts.error}`
  if (facts.traceId !== "") line += ` trace_id=${facts.traceId}`
  return `${line}\n`
}

/** One JSON object, in Linkerd's names, then ours. Ends with a newline; ASCII. */
export function jsonLine(facts: ExchangeFacts, startedAtMs: number, clock: LineClock): string {
  const { request, endpoint } = facts
  let line = `{"client.addr":${jsonText(facts.client)},"client.id":${jsonText(facts.clientId)}`
  line += `,"host":${jsonText(request.authority)},"method":${jsonText(request.method)}`
  line += `,"processing_ns":${nanoseconds(facts.processingMs)},"request_bytes":${facts.requestBytes}`
  line += `,"response_bytes":${facts.responseBytes},"status":${facts.status}`
  line += `,"timestamp":"${clock.iso(startedAtMs)}","total_ns":${nanoseconds(facts.totalMs)}`
  line += `,"trace_id":"${facts.traceId}","uri":${jsonText(request.path)}`
  line += `,"user_agent":${jsonText(request.header("user-agent") ?? "")}`
  line += `,"version":"HTTP/${facts.httpVersion === "2" ? "2.0" : facts.httpVersion}"`
  line += `,"direction":"${SIDES[facts.direction]}"`
  if (endpoint !== null) {
    line += `,"endpoint":"${formatAddress(endpoint.address, endpoint.port)}"`
    if (endpoint.info.pod !== "") line += `,"dst_pod":${jsonText(endpoint.info.pod)}`
  }
  if (facts.route !== "") line += `,"route":${jsonText(facts.route)}`
  if (facts.grpcStatus >= 0) line += `,"grpc_status":${facts.grpcStatus}`
  if (facts.error !== "") line += `,"error":"${facts.error}"`
  return `${line}}\n`
}

function milliseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

function nanoseconds(ms: number): number {
  return Math.round(ms * 1e6)
}

/** As Apache escapes: quote and backslash by a backslash, what is not printable ASCII as `\xhh`. */
function apacheText(text: string): string {
  return escaped(text, false)
}

function jsonText(text: string): string {
  return `"${escaped(text, true)}"`
}

/** Characters of a peer's text could end a line or a quote, or steer a terminal: none of them stays. */
function escaped(text: string, json: boolean): string {
  const length = Math.min(text.length, MAX_LOGGED_TEXT)
  let result = ""
  let from = 0
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 0x20 && code < 0x7f && code !== 0x22 && code !== 0x5c) continue
    result += text.slice(from, i)
    from = i + 1
    if (code === 0x22) result += '\\"'
    else if (code === 0x5c) result += "\\\\"
    else if (json || code > 0xff) result += `\\u${code.toString(16).padStart(4, "0")}`
    else result += `\\x${code.toString(16).padStart(2, "0")}`
  }
  const rest = from === 0 && length === text.length ? text : result + text.slice(from, length)
  return length < text.length ? `${rest}...` : rest
}
