// Peak EWMA on a clock that tests drive.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { COLD_SAMPLES, DECAY_MS, FIRST_GUESS_MS, PeakEwma } from "./peak_ewma.ts"

/** An estimate whose first samples, at the first guess, are behind it. */
function warm(): PeakEwma {
  const ewma = new PeakEwma(0)
  for (let i = 0; i < COLD_SAMPLES; i++) ewma.observe(FIRST_GUESS_MS, 0)
  return ewma
}

test("an endpoint never measured is guessed at 30 ms", () => {
  expect(new PeakEwma(0).valueAt(0)).toBe(FIRST_GUESS_MS)
})

test("the first answers, which pay for connections and caches, do not count as slow", () => {
  const ewma = new PeakEwma(0)
  for (let i = 0; i < COLD_SAMPLES; i++) ewma.observe(80, 0)
  expect(ewma.valueAt(0)).toBe(FIRST_GUESS_MS)
  ewma.observe(80, 0)
  expect(ewma.valueAt(0)).toBe(80)
  const stuck = new PeakEwma(0)
  stuck.observe(900, 0)
  expect(stuck.valueAt(0)).toBe(900)
})

test("a slow sample is believed at once", () => {
  const ewma = warm()
  ewma.observe(500, 1)
  expect(ewma.valueAt(1)).toBe(500)
})

test("a fast sample is believed by the time that passed", () => {
  const ewma = warm()
  ewma.observe(1000, 0)
  ewma.observe(0, DECAY_MS)
  expect(ewma.valueAt(DECAY_MS)).toBeCloseTo(1000 / Math.E, 6)
})

test("silence makes an endpoint look cheaper, so that one that was slow is tried again", () => {
  const ewma = warm()
  ewma.observe(1000, 0)
  expect(ewma.valueAt(5 * DECAY_MS)).toBeLessThan(10)
})

test("the estimate is never above the slowest sample or the first guess, and never negative", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.double({ min: 0, max: 1e5, noNaN: true }), fc.nat(20_000)), { maxLength: 50 }),
      steps => {
        const ewma = new PeakEwma(0)
        let now = 0
        let peak = FIRST_GUESS_MS
        for (const [sample, wait] of steps) {
          now += wait
          ewma.observe(sample, now)
          peak = Math.max(peak, sample)
          const value = ewma.valueAt(now)
          expect(value).toBeGreaterThanOrEqual(0)
          expect(value).toBeLessThanOrEqual(peak)
        }
      },
    ),
  )
})
