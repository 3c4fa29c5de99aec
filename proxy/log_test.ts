// Log lines as people and machines read them.
import { expect, test } from "bun:test"
import { createLogger } from "./log.ts"

const lines: string[] = []
const sink = (line: string) => void lines.push(line)

test("plain lines carry time, level, message and fields, and cannot be forged by a peer", () => {
  lines.length = 0
  const log = createLogger({ sink, wallClock: () => 0 })
  log.warn("connect failed", { peer: "10.0.0.1:80", reason: "two words", n: 3 })
  log.info("path /\n2020 ERROR forged", { path: "a\nb" })
  expect(lines).toEqual([
    '1970-01-01T00:00:00.000Z WARN  connect failed peer=10.0.0.1:80 reason="two words" n=3\n',
    '1970-01-01T00:00:00.000Z INFO  path /\\n2020 ERROR forged path="a\\nb"\n',
  ])
})

test("JSON lines parse", () => {
  lines.length = 0
  createLogger({ sink, format: "json", wallClock: () => 0 }).error("no", { id: "x" })
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "1970-01-01T00:00:00.000Z",
    level: "error",
    message: "no",
    id: "x",
  })
})

test("the level may change while running", () => {
  lines.length = 0
  const log = createLogger({ sink })
  log.debug("unseen")
  expect(log.enabled("debug")).toBe(false)
  log.level = "debug"
  log.debug("seen")
  expect(log.enabled("debug")).toBe(true)
  expect(lines).toHaveLength(1)
})
