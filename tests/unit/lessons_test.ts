// The table of lessons in tests/README.md names tests: each must be there, under that title.
import { expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"

const TESTS = join(import.meta.dir, "..")
const rows = readFileSync(join(TESTS, "README.md"), "utf8")
  .split("\n")
  .filter(line => line.startsWith("| ") && line.includes("_test.ts)"))

test.each(rows.map(row => [row.split("|")[1]?.trim() ?? "", row] as const))(
  "a test shows: %s",
  (_lesson, row) => {
    const named = [...row.matchAll(/\]\(([^)]+)\) "([^"]+)"/g)]
    expect(named.length).toBeGreaterThan(0)
    const missing = named.filter(([, path = "", title = ""]) => {
      const file = join(TESTS, path)
      return !existsSync(file) || !readFileSync(file, "utf8").includes(title)
    })
    expect(missing.map(([text]) => text)).toEqual([])
  },
)

test("the table is there", () => {
  expect(rows.length).toBeGreaterThan(15)
})
