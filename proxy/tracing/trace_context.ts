// The trace that a request says it belongs to: W3C Trace Context (traceparent), or B3 in one field or in several
// (github.com/openzipkin/b3-propagation). Applications pass these fields on; tracestate is passed on as it is.
import type { RequestView } from "../http/mod.ts"

/** The caller has decided that the trace is recorded. */
export const SAMPLED_YES = 1
/** The caller has decided that it is not. */
export const SAMPLED_NO = 0
/** The caller leaves it open (B3 only). */
export const SAMPLED_OPEN = -1
/** What the caller has decided: one of the SAMPLED_ constants. */
export type Sampled = 1 | 0 | -1

/** Fields of B3 in several. */
const B3_TRACE = "x-b3-traceid"
const B3_SPAN = "x-b3-spanid"
const B3_PARENT = "x-b3-parentspanid"
const B3_SAMPLED = "x-b3-sampled"
const B3_FLAGS = "x-b3-flags"

/** What a request says of its trace. */
export interface TraceContext {
  /** 32 hexadecimal digits in lower case; "" where only a decision came. */
  readonly traceId: string
  /** Span of the caller, 16 hexadecimal digits; "" for none. */
  readonly parentId: string
  readonly sampled: Sampled
  /** Digits of the other flags that the caller set, `00` to `ff`. */
  readonly flags: string
  /** Whether each form is there and speaks of this trace, so that the caller's span is replaced in it. */
  readonly inW3c: boolean
  readonly inB3: boolean
  readonly inB3Fields: boolean
  /** The trace's id as B3 gave it, 16 or 32 digits. */
  readonly b3TraceId: string
}

/** Of a trace that begins here. */
export function newTrace(traceId: string): TraceContext {
  return {
    traceId,
    parentId: "",
    sampled: SAMPLED_YES,
    flags: "01",
    inW3c: true,
    inB3: false,
    inB3Fields: false,
    b3TraceId: "",
  }
}

/** The trace of a request; null where it names none. What is malformed is as if it were not there. */
export function readTraceContext(request: RequestView): TraceContext | null {
  const w3c = readTraceparent(request.values("traceparent"))
  const single = readB3(request.values("b3"))
  const several = readB3Fields(request)
  const first = w3c ?? single ?? several
  if (first === null) return null
  const { traceId } = first
  const inB3 = single !== null && single.traceId === traceId && traceId !== ""
  const inB3Fields = several !== null && several.traceId === traceId && traceId !== ""
  return {
    ...first,
    inW3c: w3c !== null,
    inB3,
    inB3Fields,
    b3TraceId: (inB3 ? single.b3TraceId : inB3Fields ? several.b3TraceId : "") || traceId,
  }
}

/** Fields that name another span as the caller's; names in lower case. */
export function replacedFields(context: TraceContext, spanId: string): (readonly [string, string])[] {
  const fields: (readonly [string, string])[] = []
  if (context.inW3c) fields.push(["traceparent", `00-${context.traceId}-${spanId}-${context.flags}`])
  const parent = context.parentId
  const { b3TraceId } = context
  if (context.inB3) fields.push(["b3", `${b3TraceId}-${spanId}-1${parent === "" ? "" : `-${parent}`}`])
  if (context.inB3Fields) {
    fields.push([B3_TRACE, b3TraceId], [B3_SPAN, spanId])
    if (parent !== "") fields.push([B3_PARENT, parent])
    fields.push([B3_SAMPLED, "1"])
  }
  return fields
}

/** Names of the fields that `replacedFields` gives, and of those that would contradict them. */
export function replacedNames({ parentId, inW3c, inB3, inB3Fields }: TraceContext): string[] {
  return [
    ...(inW3c ? ["traceparent"] : []),
    // Of a trace that begins here, one would speak of another (Trace Context section 4.3).
    ...(parentId === "" ? ["tracestate"] : []),
    ...(inB3 ? ["b3"] : []),
    ...(inB3Fields ? [B3_TRACE, B3_SPAN, B3_PARENT, B3_SAMPLED, B3_FLAGS] : []),
  ]
}

type Read = Omit<TraceContext, "inW3c" | "inB3" | "inB3Fields">

/** `00-<trace id>-<span id>-<flags>`; several of them, or a version that must not be, are none (section 3.2). */
function readTraceparent(value: string | undefined): Read | null {
  if (value === undefined || value.length < 55 || !isHex(value, 0, 2)) return null
  const isFirstVersion = value.startsWith("00")
  if (value.startsWith("ff") || value.includes(",") || (isFirstVersion && value.length !== 55)) return null
  if (value.length > 55 && value[55] !== "-") return null
  if (value[2] !== "-" || value[35] !== "-" || value[52] !== "-") return null
  if (!isId(value, 3, 35) || !isId(value, 36, 52) || !isHex(value, 53, 55)) return null
  const sampled = (Number.parseInt(value.slice(53, 55), 16) & 1) === 1
  return {
    traceId: value.slice(3, 35),
    parentId: value.slice(36, 52),
    sampled: sampled ? SAMPLED_YES : SAMPLED_NO,
    // Of the flags, version 00 knows two: sampled, and random trace id.
    flags: sampled ? `0${Number.parseInt(value[54] as string, 16) & 3}` : "00",
    b3TraceId: "",
  }
}

/** `<trace id>-<span id>-<state>-<parent>`, the last two optional; or a state alone. */
function readB3(value: string | undefined): Read | null {
  if (value === undefined) return null
  if (value === "0") return noTrace(SAMPLED_NO)
  if (value === "1" || value === "d") return noTrace(SAMPLED_YES)
  const [trace = "", span = "", state = ""] = value.toLowerCase().split("-", 4)
  const sampled = state === "" ? SAMPLED_OPEN : state === "1" || state === "d" ? SAMPLED_YES : SAMPLED_NO
  return ofB3(trace, span, sampled)
}

function readB3Fields(request: RequestView): Read | null {
  const trace = request.header(B3_TRACE)?.toLowerCase()
  const state = request.header(B3_SAMPLED)?.toLowerCase()
  if (trace === undefined && state === undefined) return null
  const debug = request.header(B3_FLAGS) === "1"
  const sampled =
    debug || state === "1" || state === "true" ? SAMPLED_YES : state === undefined ? SAMPLED_OPEN : SAMPLED_NO
  if (trace === undefined) return sampled === SAMPLED_OPEN ? null : noTrace(sampled)
  return ofB3(trace, request.header(B3_SPAN)?.toLowerCase() ?? "", sampled)
}

function ofB3(trace: string, span: string, sampled: Sampled): Read | null {
  if ((trace.length !== 16 && trace.length !== 32) || !isId(trace, 0, trace.length)) return null
  if (span.length !== 16 || !isId(span, 0, 16)) return null
  return { traceId: trace.padStart(32, "0"), parentId: span, sampled, flags: "01", b3TraceId: trace }
}

function noTrace(sampled: Sampled): Read {
  return { traceId: "", parentId: "", sampled, flags: "01", b3TraceId: "" }
}

/** Hexadecimal digits in lower case, not all of them 0. */
function isId(text: string, start: number, end: number): boolean {
  if (!isHex(text, start, end)) return false
  for (let i = start; i < end; i++) if (text.charCodeAt(i) !== 0x30) return true
  return false
}

function isHex(text: string, start: number, end: number): boolean {
  if (text.length < end) return false
  for (let i = start; i < end; i++) {
    const code = text.charCodeAt(i)
    if (!((code >= 0x30 && code <= 0x39) || (code >= 0x61 && code <= 0x66))) return false
  }
  return true
}
