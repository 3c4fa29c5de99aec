// When the proxy collects its garbage: once after each busy time, never in the middle of one.
import { expect, test } from "bun:test"
import { QUIET_BYTES_PER_TICK, QUIET_TICKS, QuietMemory, WORTH_COLLECTING_BYTES } from "./quiet_memory.ts"

class Traffic {
  collections = 0
  private total = 0
  private readonly memory = new QuietMemory(() => this.collections++)

  /** Lets seconds pass in each of which so many bytes pass. */
  run(seconds: number, bytesPerSecond: number): void {
    for (let i = 0; i < seconds; i++) {
      this.total += bytesPerSecond
      this.memory.tick(this.total)
    }
  }
}

test("traffic that goes on is never interrupted", () => {
  const traffic = new Traffic()
  traffic.run(600, WORTH_COLLECTING_BYTES)
  expect(traffic.collections).toBe(0)
})

test("a pause shorter than the quiet time does not count", () => {
  const traffic = new Traffic()
  for (let i = 0; i < 20; i++) {
    traffic.run(1, WORTH_COLLECTING_BYTES)
    traffic.run(QUIET_TICKS - 1, 0)
  }
  expect(traffic.collections).toBe(0)
})

test("after a busy time there is one collection, with probes going on, and one more after the next busy time", () => {
  const traffic = new Traffic()
  traffic.run(10, WORTH_COLLECTING_BYTES)
  traffic.run(QUIET_TICKS - 1, 500)
  expect(traffic.collections).toBe(0)
  traffic.run(30, 500)
  expect(traffic.collections).toBe(1)
  traffic.run(1, WORTH_COLLECTING_BYTES)
  traffic.run(QUIET_TICKS, 500)
  expect(traffic.collections).toBe(2)
})

test("what trickles adds up to a collection now and then, and a proxy that never had traffic does nothing", () => {
  const traffic = new Traffic()
  traffic.run(600, 0)
  expect(traffic.collections).toBe(0)
  const seconds = WORTH_COLLECTING_BYTES / QUIET_BYTES_PER_TICK
  traffic.run(10 * seconds, QUIET_BYTES_PER_TICK)
  expect(traffic.collections).toBe(10)
})
