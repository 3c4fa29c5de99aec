// Logs stay bounded while their writers go on appending.
import { expect, test } from "bun:test"
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { rotatedLog, rotateLogs } from "./log_rotation.ts"

test("a log that is too long is kept once and begun anew, in the writer's own open file", () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-logs-"))
  const pod = join(folder, "shop", "web-1")
  mkdirSync(pod, { recursive: true })
  const path = join(pod, "web.log")
  const writer = openSync(path, "a")
  writeSync(writer, "first".repeat(10))
  rotateLogs(folder, 50)
  expect(existsSync(rotatedLog(path))).toBe(false)
  writeSync(writer, "!")
  appendFileSync(join(folder, "router.log"), "x".repeat(100))
  rotateLogs(folder, 50)
  expect(readFileSync(rotatedLog(path), "utf8")).toBe(`${"first".repeat(10)}!`)
  writeSync(writer, "second")
  expect(readFileSync(path, "utf8")).toBe("second")
  expect(existsSync(rotatedLog(join(folder, "router.log")))).toBe(false)
  closeSync(writer)
  rmSync(folder, { recursive: true })
  rotateLogs(folder, 50)
})
