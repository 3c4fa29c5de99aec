// Tables, numbers and durations as people read and type them.
import { expect, test } from "bun:test"
import { windowMsOf } from "./command_line/duration.ts"
import {
  byteRate,
  type Column,
  colourOn,
  formatOf,
  millis,
  percent,
  rate,
  render,
  renderTable,
} from "./output.ts"

interface Row {
  readonly name: string
  readonly count: number | null
}
const COLUMNS: readonly Column<Row>[] = [
  { title: "NAME", cell: row => row.name },
  { title: "COUNT", cell: row => row.count?.toString() ?? null, right: true },
  { title: "DOUBLE", cell: row => (row.count === null ? null : `${row.count * 2}`), right: true, wide: true },
]
const ROWS: readonly Row[] = [
  { name: "web", count: 12 },
  { name: "checkout", count: null },
]

test("a table aligns its columns and shows a dash for what is not known", () => {
  expect(renderTable(ROWS, COLUMNS, "table")).toBe("NAME       COUNT\nweb           12\ncheckout       -\n")
})

test("wide adds its columns", () => {
  expect(renderTable(ROWS, COLUMNS, "wide").split("\n")[0]).toBe("NAME       COUNT   DOUBLE")
})

test("JSON and YAML are an array of what the rows stand for, null kept", async () => {
  expect(JSON.parse(await render("json", ROWS, COLUMNS, row => row))).toEqual([...ROWS])
  expect(await render("yaml", ROWS, COLUMNS, row => row)).toBe(
    "- name: web\n  count: 12\n- name: checkout\n  count: null\n",
  )
  expect(await render("json", [], COLUMNS, row => row)).toBe("[]\n")
})

test("an unknown format is refused with the nearest one", () => {
  expect(() => formatOf("jsn")).toThrow('did you mean "json"?')
  expect(formatOf(undefined)).toBe("table")
})

test("figures keep the digits that matter", () => {
  expect([percent(1), percent(0.9995), percent(0), percent(null)]).toEqual([
    "100.00%",
    "99.95%",
    "0.00%",
    null,
  ])
  expect([rate(12.34), rate(null)]).toEqual(["12.3", null])
  expect([millis(0.55), millis(3), millis(9.96), millis(1234.5), millis(null)]).toEqual([
    "0.6ms",
    "3ms",
    "10ms",
    "1235ms",
    null,
  ])
  expect([byteRate(0), byteRate(1536), byteRate(5 * 1024 ** 3)]).toEqual(["0B/s", "1.5KiB/s", "5.0GiB/s"])
})

test("a window is one minute unless given, and within one second and a day", () => {
  expect(windowMsOf(undefined)).toBe(60_000)
  expect(windowMsOf("30s")).toBe(30_000)
  expect(windowMsOf("1m30s")).toBe(90_000)
  expect(windowMsOf("24h")).toBe(86_400_000)
  for (const wrong of ["3x", "30", "", "500ms", "25h", "-1s"])
    expect(() => windowMsOf(wrong), wrong).toThrow("-t cannot be")
})

test("colour is for terminals, and NO_COLOR switches it off", () => {
  expect(colourOn({ isTTY: true }, {})).toBe(true)
  expect(colourOn({ isTTY: true }, { NO_COLOR: "1" })).toBe(false)
  expect(colourOn({ isTTY: true }, { TERM: "dumb" })).toBe(false)
  expect(colourOn({}, {})).toBe(false)
})
