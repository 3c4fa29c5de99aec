// Random bytes and random borders: HPACK round trips, chunking changes nothing, mutated conversations neither hang,
// throw, nor grow. Each failure prints its seed.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { FieldTable } from "./field_table.ts"
import * as frame from "./frame.ts"
import type { HeaderField } from "./header_field.ts"
import { DECODE_OK, HEADER_TABLE_BYTES, HpackDecoder } from "./hpack_decoder.ts"
import { HpackEncoder } from "./hpack_encoder.ts"
import { huffmanDecode, huffmanDecodedBound, huffmanEncode, huffmanEncodedLength } from "./huffman.ts"
import {
  CLIENT_HELLO,
  encodedBlock,
  frameBytes,
  headersFrame,
  joined,
  ownFields,
  REQUEST,
  settingsFrame,
  TestSession,
  word,
} from "./session_fixture.ts"

test("Huffman code decodes to what was encoded, and ends within a byte of the computed length", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
      const coded = new Uint8Array(huffmanEncodedLength(bytes))
      expect(huffmanEncode(bytes, coded, 0)).toBe(coded.length)
      const decoded = new Uint8Array(huffmanDecodedBound(coded.length))
      expect(huffmanDecode(coded, 0, coded.length, decoded)).toBe(bytes.length)
      expect(decoded.subarray(0, bytes.length)).toEqual(bytes)
    }),
  )
})

test("header lists survive encoder and decoder, over many blocks and changes of the table's size", () => {
  const name = fc.stringMatching(/^[a-z0-9-]{1,20}$/)
  const value = fc.stringMatching(/^[!-~]{0,60}$/)
  const block = fc.record({
    pairs: fc.array(
      fc.tuple(
        fc.constantFrom("x-a", "x-b", "cookie", ":path", "te").chain(n => fc.oneof(fc.constant(n), name)),
        fc.oneof(fc.constantFrom("a", "b", "/"), value),
      ),
      { maxLength: 12 },
    ),
    limit: fc.option(fc.integer({ min: 0, max: HEADER_TABLE_BYTES }), { nil: undefined }),
  })
  fc.assert(
    fc.property(fc.array(block, { maxLength: 20 }), blocks => {
      const table = new FieldTable()
      // Three hops: ours encodes what it decoded from another's.
      const first = new HpackEncoder()
      const second = new HpackEncoder()
      const firstDecoder = new HpackDecoder(table)
      const secondDecoder = new HpackDecoder(table)
      for (const { pairs, limit } of blocks) {
        if (limit !== undefined) {
          for (const encoder of [first, second]) encoder.setLimit(limit)
          for (const decoder of [firstDecoder, secondDecoder]) decoder.setLimit(limit)
        }
        const sent = encodedBlock(first, ownFields(table, pairs))
        const between: HeaderField[] = []
        expect(firstDecoder.decode(sent, 0, sent.length, between)).toBe(DECODE_OK)
        const passed = encodedBlock(second, between)
        const got: HeaderField[] = []
        expect(secondDecoder.decode(passed, 0, passed.length, got)).toBe(DECODE_OK)
        expect(got.map(field => [field.name.text, field.value])).toEqual(pairs.map(pair => [...pair]))
        expect(secondDecoder.tableBytes).toBeLessThanOrEqual(limit ?? HEADER_TABLE_BYTES)
      }
    }),
    { numRuns: 200 },
  )
})

/** A conversation with every kind of frame. */
function conversation(): Uint8Array {
  const body = new Uint8Array(3000).fill(9)
  return joined(
    CLIENT_HELLO,
    settingsFrame([1, 200], [4, 70_000]),
    headersFrame(1, [...REQUEST, ["x-a", "1"]]),
    frameBytes(frame.FRAME_DATA, 0, 1, body),
    frameBytes(frame.FRAME_DATA, frame.FLAG_PADDED, 1, [4, 1, 2, 3, 0, 0, 0, 0]),
    frameBytes(frame.FRAME_PING, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    frameBytes(
      frame.FRAME_HEADERS,
      frame.FLAG_PRIORITY | frame.FLAG_PADDED | 4,
      3,
      [2, 0, 0, 0, 0, 9, 0x82, 0x86, 0x84, 0x41, 1, 97, 0, 0],
    ),
    frameBytes(frame.FRAME_HEADERS, 0, 5, [0x82, 0x86]),
    frameBytes(frame.FRAME_CONTINUATION, 0, 5, [0x84]),
    frameBytes(frame.FRAME_CONTINUATION, 4, 5, [0xbe]),
    frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 0, word(1000)),
    frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 3, word(1000)),
    frameBytes(frame.FRAME_PRIORITY, 0, 3, [0, 0, 0, 1, 5]),
    frameBytes(0x20, 1, 3, [1, 2, 3]),
    frameBytes(frame.FRAME_RST_STREAM, 0, 3, word(frame.CANCEL)),
    frameBytes(frame.FRAME_DATA, frame.FLAG_END_STREAM, 1, [7]),
    headersFrame(7, [...REQUEST, ["content-length", "2"]]),
    frameBytes(frame.FRAME_DATA, 0, 7, [1, 2]),
    headersFrame(7, [["x-sum", "3"]], frame.FLAG_END_STREAM),
    frameBytes(frame.FRAME_GOAWAY, 0, 0, [...word(0), ...word(0)]),
  )
}

test("chunk borders change neither events nor answers", () => {
  const whole = new TestSession(true).receive(conversation())
  const sent = whole.sent()
  expect(whole.events.length).toBeGreaterThan(5)
  expect(whole.session.dead).toBe(false)
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 60 }), sizes => {
      const bytes = conversation()
      const peer = new TestSession(true)
      for (let at = 0, i = 0; at < bytes.length; i++) {
        // Sizes are used in turn, for ever.
        const size = sizes[i % sizes.length]!
        peer.receive(bytes.subarray(at, at + size))
        at += size
      }
      expect(peer.events).toEqual(whole.events)
      expect(peer.sent()).toEqual(sent)
    }),
    { numRuns: 300 },
  )
})

/** A small seeded generator (mulberry32), so that a failure replays. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

test("mutated conversations neither throw nor grow, as server and as client", () => {
  const base = Number(process.env.CONDUIT_FUZZ_SEED ?? Date.now() % 1_000_000_000)
  const rounds = Number(process.env.CONDUIT_FUZZ_ROUNDS ?? 3000)
  const table = new FieldTable()
  for (let round = 0; round < rounds; round++) {
    const seed = base + round
    try {
      mutatedRound(seed, table)
    } catch (error) {
      throw new Error(`seed ${seed} (CONDUIT_FUZZ_SEED=${seed} CONDUIT_FUZZ_ROUNDS=1 replays it): ${error}`, {
        cause: error,
      })
    }
  }
})

function mutatedRound(seed: number, table: FieldTable): void {
  const random = seeded(seed)
  const pick = (below: number): number => Math.floor(random() * below)
  const bytes = Array.from(conversation())
  for (let n = 1 + pick(8); n > 0; n--) {
    const at = 24 + pick(bytes.length - 24)
    switch (pick(4)) {
      case 0:
        bytes[at] = pick(256)
        break
      case 1:
        bytes.splice(at, pick(40))
        break
      case 2:
        bytes.splice(at, 0, ...Array.from({ length: pick(40) }, () => pick(256)))
        break
      default: {
        const from = 24 + pick(bytes.length - 24)
        bytes.splice(at, 0, ...bytes.slice(from, from + pick(400)))
      }
    }
  }
  const server = pick(2) === 0
  const peer = new TestSession(server, table)
  const stream = bytes.slice(server ? 0 : 24)
  for (let at = 0; at < stream.length; ) {
    const size = 1 + pick(2000)
    peer.receive(Uint8Array.from(stream.slice(at, at + size)))
    at += size
  }
  const sent = peer.sink.take()
  // Each frame in can cause one or two small ones out.
  if (sent.length > 40 * stream.length) throw new Error(`${stream.length} octets in, ${sent.length} out`)
  if (peer.session.streams.size > 101) throw new Error(`${peer.session.streams.size} streams`)
}
