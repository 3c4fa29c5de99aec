// The kept beginning of a request's body: its bytes, its limits, and what it takes from the budget of all.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { HELD_CHUNK_BYTES, REPLAY_BODY_BYTES, type ReplayBody, ReplayBudget } from "./replay_body.ts"

function kept(body: ReplayBody): Uint8Array {
  return Buffer.concat(Array.from({ length: body.pieces }, (_, i) => body.piece(i)))
}

test("what is kept is what was sent, from chunks of any size, and everything taken is given back", () => {
  const seed = Number(process.env.CONDUIT_FUZZ_SEED ?? Date.now() % 1_000_000)
  console.log(`  CONDUIT_FUZZ_SEED=${seed}`)
  const cut = fc.record({ chunk: fc.integer({ min: 1, max: 40_000 }), from: fc.nat(100), to: fc.nat(100) })
  fc.assert(
    fc.property(fc.array(cut, { maxLength: 12 }), fc.integer({ min: 0, max: 200_000 }), (cuts, limit) => {
      const budget = new ReplayBudget(limit)
      const body = budget.take()
      const sent: Uint8Array[] = []
      let octets = 0
      for (const { chunk, from, to } of cuts) {
        const bytes = new Uint8Array(chunk).fill(octets & 255)
        const start = Math.floor((chunk * Math.min(from, to)) / 100)
        const end = Math.floor((chunk * Math.max(from, to)) / 100)
        body.keep(bytes, start, end)
        sent.push(bytes.slice(start, end))
        octets += end - start
        expect(budget.used).toBeLessThanOrEqual(limit)
        expect(budget.used).toBeGreaterThanOrEqual(body.length)
      }
      if (body.whole) expect(kept(body)).toEqual(Buffer.concat(sent))
      else expect(body.pieces).toBe(0)
      if (octets > REPLAY_BODY_BYTES) expect(body.whole).toBe(false)
      body.release()
      expect(budget.used).toBe(0)
    }),
    { seed },
  )
})

test("a small part of a large chunk does not hold the chunk", () => {
  const budget = new ReplayBudget()
  const body = budget.take()
  const chunk = new Uint8Array(HELD_CHUNK_BYTES + 1)
  body.keep(chunk, 10, 20)
  expect(budget.used).toBe(10)
  expect(body.piece(0).buffer).not.toBe(chunk.buffer)
})

test("a part of a small chunk is kept where it is, until all requests together keep much", () => {
  const budget = new ReplayBudget(4000)
  const chunk = new Uint8Array(2000)
  const first = budget.take()
  first.keep(chunk, 0, 10)
  expect(first.piece(0).buffer).toBe(chunk.buffer)
  expect(budget.used).toBe(2000)
  const second = budget.take()
  second.keep(chunk, 0, 10)
  expect(second.piece(0).buffer).not.toBe(chunk.buffer)
  expect(budget.used).toBe(2010)
})

test("after a rewind it begins anew; after a part that was too much it keeps nothing", () => {
  const budget = new ReplayBudget()
  const body = budget.take()
  body.keep(new Uint8Array([1, 2, 3]), 0, 3)
  body.rewind()
  expect([body.whole, body.pieces, budget.used]).toEqual([true, 0, 0])
  body.keep(new Uint8Array([4]), 0, 1)
  expect([...kept(body)]).toEqual([4])
  body.keep(new Uint8Array(REPLAY_BODY_BYTES), 0, REPLAY_BODY_BYTES)
  body.keep(new Uint8Array([5]), 0, 1)
  expect([body.whole, body.pieces, budget.used]).toEqual([false, 0, 0])
})

test("one that was released is as new for the next request", () => {
  const budget = new ReplayBudget()
  const first = budget.take()
  first.keep(new Uint8Array(REPLAY_BODY_BYTES + 1), 0, REPLAY_BODY_BYTES + 1)
  first.release()
  const next = budget.take()
  expect(next).toBe(first)
  expect([next.whole, next.pieces, next.length, budget.used]).toEqual([true, 0, 0, 0])
})
