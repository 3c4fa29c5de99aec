// What the engines see of tracing: whether a request belongs to a trace, and what it says of it when it is sent on.
import type { Direction } from "../telemetry/mod.ts"
import type { ExchangeFacts } from "./exchange_facts.ts"
import type { RequestView } from "./request_view.ts"

/** One request of a trace, and its span. */
export interface RequestTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** Names in lower case of fields that are not sent on as they came. */
  readonly dropped: readonly string[]
  /** Fields in their place; names in lower case, values ASCII. */
  readonly added: readonly (readonly [name: string, value: string])[]
  /** The exchange is over. Must not throw, and must not wait. */
  ended(facts: ExchangeFacts): void
}

/** Decides which requests belong to a trace. */
export interface Tracer {
  /** Null for a request that is not traced: it is sent on as it came. */
  begin(direction: Direction, request: RequestView): RequestTrace | null
}

/** The fields of a trace as lines of HTTP/1. */
export function traceLines(trace: RequestTrace): string {
  let lines = ""
  for (const [name, value] of trace.added) lines += `${name}: ${value}\r\n`
  return lines
}
