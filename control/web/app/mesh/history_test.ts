// What sparklines are drawn from.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { HttpFiguresSchema, TimeSeriesSchema } from "../../../../protos/mod.ts"
import { HISTORY_POINTS, History, POINT_MS } from "./history.ts"
import type { Workload } from "./mesh.ts"

const web: Workload = {
  ...{ key: "shop/deployment/web", namespace: "shop", kind: "deployment", name: "web", meshed: 1, total: 1 },
  ...{ http: create(HttpFiguresSchema, { rps: 5 }), tcp: undefined },
}

const series = create(TimeSeriesSchema, {
  resource: { namespace: "shop", kind: "deployment", name: "web" },
  points: [{ index: 1, rps: 3 }],
})

test("a point is kept once its time has passed, so many at most, and none of a workload that is gone", () => {
  const history = new History()
  history.add({ workloads: [web], updatedAtMs: POINT_MS })
  const before = history.of(web.key)
  history.add({ workloads: [web], updatedAtMs: POINT_MS + 2000 })
  expect(history.of(web.key)).toBe(before)
  for (let point = 2; point < 2 * HISTORY_POINTS; point++)
    history.add({ workloads: [web], updatedAtMs: point * POINT_MS })
  expect(history.of(web.key)).toEqual(Array.from({ length: HISTORY_POINTS }, () => 5))
  // What was before all these is longer ago than is shown.
  history.begin({ points: 2, series: [series] })
  expect(history.of(web.key)).toEqual(Array.from({ length: HISTORY_POINTS }, () => 5))
  history.add({ workloads: [], updatedAtMs: 1000 * POINT_MS })
  expect(history.of(web.key)).toEqual([])
})

test("what was before the page was opened stands before its own points, with nothing where there was no traffic", () => {
  const history = new History()
  history.add({ workloads: [web], updatedAtMs: POINT_MS })
  history.begin({ points: 2, series: [series] })
  expect(history.of(web.key)).toEqual([0, 3, 5])
})
