// LIMITS.md says what the code says.
import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { limitsDocument } from "../runner/limits.ts"

/** Rows of a table, without the room that makes its columns even. */
function rows(document: string): string[] {
  return document
    .split("\n")
    .filter(line => line.startsWith("| ["))
    .map(line => line.replaceAll(/\s+/g, " "))
}

test("LIMITS.md lists every limit with the value and the reason that the code gives; else npm run generate", () => {
  const wanted = rows(limitsDocument())
  expect(wanted.length).toBeGreaterThan(100)
  expect(rows(readFileSync(join(import.meta.dir, "../../LIMITS.md"), "utf8"))).toEqual(wanted)
})

test("every limit gives its reason", () => {
  expect(rows(limitsDocument()).filter(row => /\| \|$/.test(row))).toEqual([])
})
