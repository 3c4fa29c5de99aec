// Where the time of calls goes.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { EdgeSchema, HttpFiguresSchema } from "../../../../protos/mod.ts"
import type { Call } from "../mesh/mesh.ts"
import { SHOWN_WAITS, waitsOf } from "./latency_split.tsx"

const figures = (p99: number) => create(HttpFiguresSchema, { latencyMs: { p50: 1, p95: 2, p99 } })
const call = (fromKey: string, toKey: string, p99?: number): Call => {
  const edge = create(EdgeSchema, p99 === undefined ? {} : { http: figures(p99) })
  return { from: null, to: null, fromKey, toKey, edge }
}

test("the slowest callers stand before the workload, and the slowest of whom it calls behind it", () => {
  const callers = [3, 9, 5, 7].map(ms => call(`caller ${ms}`, "web", ms))
  const waits = waitsOf(figures(4), callers, [call("web", "db"), call("web", "cart", 2)])
  expect(waits.map(({ side, p99 }) => `${side} ${p99}`)).toEqual([
    "caller 9",
    "caller 7",
    "caller 5",
    "own 4",
    "called 2",
  ])
  expect(waits.filter(({ side }) => side === "caller")).toHaveLength(SHOWN_WAITS)
})

test("where only one end was measured there is nothing to compare", () => {
  expect(waitsOf(figures(4), [call("load", "web")], [])).toEqual([])
  expect(waitsOf(undefined, [call("load", "web", 3)], [])).toEqual([])
})
