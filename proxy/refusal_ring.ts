// The latest refusals of this proxy in full, for `conduit explain --id`: written when something is refused, never otherwise.
import type { Verdict } from "../protos/authorization/mod.ts"

/** Refusals that are kept: what a person asks about happened a moment ago; with texts cut as below at most 600 KB. */
export const REFUSALS_KEPT = 256
/** Longest text kept of a refusal, in characters: a path that says more says it at its begin. */
export const REFUSAL_TEXT_MAX = 256

/** What was refused, and why. */
export interface RefusalRecord {
  readonly id: string
  /** Milliseconds since 1970. */
  readonly timeMs: number
  /** 0 inbound, 1 outbound. */
  readonly direction: 0 | 1
  /** Stable short reason. */
  readonly reason: string
  /** HTTP status; 0 for a connection that is not HTTP. */
  readonly status: number
  /** Empty, as the two below, for a connection, and for what never became a request. */
  readonly method: string
  readonly authority: string
  readonly path: string
  /** Address of who called, without port. */
  readonly clientIp: string
  /** DNS name that it proved; empty for none. */
  readonly clientId: string
  /** Address and port that were called. */
  readonly destination: string
  /** Endpoint that was tried last; empty for none. */
  readonly endpoint: string
  /** What decided; null where it was not policy. */
  readonly verdict: Verdict | null
  /** The reason in full; empty where the verdict says it. */
  readonly detail: string
}

/** Keeps the latest refusals. */
export class RefusalRing {
  private readonly kept: RefusalRecord[] = []
  private next = 0

  /** Adds one, in the place of the oldest where there are REFUSALS_KEPT. */
  add(record: RefusalRecord): void {
    this.kept[this.next] = {
      ...record,
      method: own(record.method),
      authority: own(record.authority),
      path: own(record.path),
      detail: own(record.detail),
    }
    this.next = (this.next + 1) % REFUSALS_KEPT
  }

  /** Those of an id; empty for every one, the latest first. */
  find(id: string): RefusalRecord[] {
    const { kept, next } = this
    const inOrder = [...kept.slice(next), ...kept.slice(0, next)].reverse()
    return id === "" ? inOrder : inOrder.filter(record => record.id === id)
  }

  /** `find` as JSON: `{kept, refusals}`. */
  json(id: string): string {
    const refusals = this.find(id).map(({ verdict, direction, ...record }) => ({
      ...record,
      direction: direction === 0 ? "inbound" : "outbound",
      detail: record.detail === "" ? (verdict?.detail ?? "") : record.detail,
      cause: verdict?.cause ?? "",
      policy: verdict === null || verdict.namespace === "" ? "" : `${verdict.namespace}/${verdict.name}`,
      rule: verdict?.rule ?? -1,
      defaultPolicy: verdict !== null && verdict.namespace === "" ? verdict.name : "",
    }))
    return `${JSON.stringify({ kept: REFUSALS_KEPT, refusals })}\n`
  }
}

/** A text of its own, cut: a part of a string keeps the whole of it in memory, and a head has up to 64 KiB. */
function own(text: string): string {
  if (text === "") return text
  const begin = text.length > REFUSAL_TEXT_MAX ? `${text.slice(0, REFUSAL_TEXT_MAX - 1)}\u2026` : text
  return Buffer.from(begin).toString()
}
