// What `conduit top` counts: requests by source, destination, method and path, with ids in paths taken for one.
import type { TapPeer } from "../../protos/mod.ts"
import { printable } from "../printable.ts"
import { resourceText } from "../resource.ts"
import type { FollowedRequest } from "./tap_stream.ts"

/** Rows at most; what comes beyond is counted in one called `other`. */
export const MAX_TOP_ROWS = 1_000

/** A row of `conduit top -o json`. */
export interface TopRow {
  readonly source: string
  readonly destination: string
  readonly method: string
  readonly path: string
  count: number
  /** Milliseconds from the request's head to the response's end. */
  bestMs: number
  worstMs: number
  lastMs: number
  /** Share of those that did not fail, 0 to 1. */
  success: number
  failed: number
}

/** The rows of one selection. */
export class TopTable {
  private readonly rows = new Map<string, TopRow>()

  /** Rows in the order in which they were first seen. */
  get all(): TopRow[] {
    return [...this.rows.values()]
  }

  /** Counts a request that is over. */
  add({ begun, ended }: Pick<FollowedRequest, "begun" | "ended">): void {
    const source = peerName(begun.client)
    const destination = peerName(begun.server)
    const path = templateOf(begun.path)
    const row =
      this.row(source, destination, begun.method, path) ?? this.row("other", "other", "", "") ?? this.other
    const ms = Math.round((ended?.afterMs ?? 0) * 1000) / 1000
    row.count++
    row.bestMs = Math.min(row.bestMs, ms)
    row.worstMs = Math.max(row.worstMs, ms)
    row.lastMs = ms
    if (ended?.failed === true) row.failed++
    row.success = (row.count - row.failed) / row.count
  }

  /** Counts anew. */
  clear(): void {
    this.rows.clear()
  }

  private get other(): TopRow {
    const row = newRow("other", "other", "", "")
    this.rows.set("other", row)
    return row
  }

  private row(source: string, destination: string, method: string, path: string): TopRow | undefined {
    const key = source === "other" ? "other" : JSON.stringify([source, destination, method, path])
    const known = this.rows.get(key)
    if (known !== undefined || this.rows.size >= MAX_TOP_ROWS) return known
    const row = newRow(source, destination, method, path)
    this.rows.set(key, row)
    return row
  }
}

function newRow(source: string, destination: string, method: string, path: string): TopRow {
  const counts = { count: 0, bestMs: Number.POSITIVE_INFINITY, worstMs: 0, lastMs: 0, success: 1, failed: 0 }
  return { source, destination, method: printable(method), path: printable(path), ...counts }
}

function peerName(peer: TapPeer | undefined): string {
  if (peer === undefined) return "-"
  if (peer.name !== "") return resourceText(peer.kind, peer.name)
  return peer.address.slice(0, peer.address.lastIndexOf(":"))
}

/** Segments that name one thing of many: numbers, UUIDs, hashes, long words with digits. */
const ID = /^(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27}|(?=.*\d)[0-9a-f]{8,}|(?=.*\d)[\w~-]{20,})$/i

/** A path without its query, ids as `{id}`. */
export function templateOf(path: string): string {
  const query = path.indexOf("?")
  return (query < 0 ? path : path.slice(0, query))
    .split("/")
    .map(segment => (ID.test(segment) ? "{id}" : segment))
    .join("/")
}
