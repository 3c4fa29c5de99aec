// The latency map: rows from the fastest answer to the slowest that was seen, and no others.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { TimeSeriesResponseSchema } from "../../../../protos/mod.ts"
import { heatOf } from "./heat_map.tsx"

test("rows are the latencies that were seen, and what is beyond all edges has no upper one", () => {
  const answer = create(TimeSeriesResponseSchema, {
    ...{ points: 3, histogramEdgesMs: [1, 10, 100] },
    series: [
      {
        points: [
          { index: 0, latencyCounts: [0n, 4n, 0n, 0n] },
          { index: 2, latencyCounts: [0n, 1n, 0n, 2n] },
        ],
      },
    ],
  })
  expect(heatOf(answer)).toEqual({
    rows: [
      { fromMs: 1, toMs: 10 },
      { fromMs: 10, toMs: 100 },
      { fromMs: 100, toMs: Number.POSITIVE_INFINITY },
    ],
    cells: [
      { column: 0, row: 0, answers: 4 },
      { column: 2, row: 0, answers: 1 },
      { column: 2, row: 2, answers: 2 },
    ],
    most: 4,
  })
})

test("without an answer there is nothing to draw", () => {
  const answer = create(TimeSeriesResponseSchema, { points: 3, histogramEdgesMs: [1, 10] })
  expect(heatOf(answer).cells).toEqual([])
  expect(heatOf(answer).most).toBe(0)
})
