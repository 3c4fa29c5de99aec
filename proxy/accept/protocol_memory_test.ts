// What is remembered of earlier connections, and that it stays bounded.
import { expect, test } from "bun:test"
import { ProtocolMemory, SPOKEN_HTTP, SPOKEN_SERVER_FIRST, SPOKEN_UNKNOWN } from "./protocol_memory.ts"

test("the last thing spoken is remembered per address and port", () => {
  const memory = new ProtocolMemory()
  memory.learn("10.0.0.1", 80, SPOKEN_SERVER_FIRST)
  memory.learn("10.0.0.1", 80, SPOKEN_HTTP)
  expect(memory.recall("10.0.0.1", 80)).toBe(SPOKEN_HTTP)
  expect(memory.recall("10.0.0.1", 81)).toBe(SPOKEN_UNKNOWN)
})

test("beyond its bound the address learnt longest ago is forgotten", () => {
  const memory = new ProtocolMemory(2)
  for (const port of [1, 2, 3]) memory.learn("10.0.0.1", port, SPOKEN_HTTP)
  expect([1, 2, 3].map(port => memory.recall("10.0.0.1", port))).toEqual([
    SPOKEN_UNKNOWN,
    SPOKEN_HTTP,
    SPOKEN_HTTP,
  ])
})
