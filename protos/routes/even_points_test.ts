// What evenly spread points promise: shares that hold at once, from whichever subset of the requests one looks.
import { expect, test } from "bun:test"
import { EvenPoints } from "./even_points.ts"

test("a share of the first hundred points is within 2 of what it should be, and of ten thousand within 4", () => {
  for (let run = 0; run < 50; run++) {
    const points = new EvenPoints()
    const taken = Array.from({ length: 10_000 }, () => points.next(run / 50))
    for (const share of [0.01, 0.1, 0.3, 0.5, 0.7, 0.99]) {
      const below = (count: number) => taken.slice(0, count).filter(point => point < share).length
      expect(Math.abs(below(100) - 100 * share)).toBeLessThan(2.5)
      expect(Math.abs(below(10_000) - 10_000 * share)).toBeLessThan(4)
    }
  }
})

test("requests that alternate, or come in rounds, are each spread evenly too", () => {
  for (const round of [2, 3, 5, 8, 13]) {
    const points = new EvenPoints()
    const taken = Array.from({ length: 1000 * round }, () => points.next(0.2))
    for (let turn = 0; turn < round; turn++) {
      const own = taken.filter((_, i) => i % round === turn)
      expect(Math.abs(own.filter(point => point < 0.5).length - 500)).toBeLessThan(30)
    }
  }
})

test("every point is at least 0 and below 1", () => {
  for (const start of [0, 0.5, 1 - Number.EPSILON, 1]) {
    const points = new EvenPoints()
    for (let i = 0; i < 1000; i++) {
      const point = points.next(start)
      expect(point >= 0 && point < 1).toBe(true)
    }
  }
})
