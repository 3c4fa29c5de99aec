// The HTTP/1 codec under arbitrary chunk boundaries and damage: same events, no throw, no hang, bounded memory.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { HEAD_BYTES_MAX, LEADING_EMPTY_LINES_MAX } from "./limits.ts"
import { Transcript } from "./transcript.ts"

type Direction = "requests" | "responses"

const SEEDS: readonly (readonly [Direction, string])[] = [
  ["requests", "GET /a?b HTTP/1.1\r\nHost: web\r\nAccept: */*\r\n\r\nHEAD / HTTP/1.0\r\n\r\n"],
  [
    "requests",
    "POST /u HTTP/1.1\r\nHost: web\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\nhello worldGET / HTTP/1.1\r\nHost: a\r\n\r\n",
  ],
  [
    "requests",
    "PUT /c HTTP/1.1\r\nhost: web\r\nTransfer-Encoding: chunked\r\n\r\n5;x=1\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nSum: 1\r\n\r\n\r\nDELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
  ],
  ["requests", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"],
  ["requests", "GET http://a/b HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: h2c\r\n\r\n"],
  [
    "requests",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  ],
  [
    "responses",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n",
  ],
  [
    "responses",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: A\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nHTTP/1.1 304 x\r\nETag: y\r\n\r\n",
  ],
  ["responses", "HTTP/1.0 200 OK\r\nServer: s\r\n\r\neverything until the end"],
]

/** A small generator with a printable seed: xorshift32. */
function random(seed: number): (below: number) => number {
  let state = seed | 1
  return below => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

function whole(direction: Direction, bytes: Uint8Array): Transcript {
  const transcript = new Transcript(direction)
  transcript.feed(bytes.slice())
  return transcript
}

/** Chunk lengths come from `next`; 0 ends with the rest in one piece. */
function cut(direction: Direction, bytes: Uint8Array, next: () => number): Transcript {
  const transcript = new Transcript(direction)
  let at = 0
  while (at < bytes.length) {
    const length = next()
    const end = length === 0 ? bytes.length : Math.min(bytes.length, at + length)
    transcript.feed(bytes.slice(at, end))
    at = end
  }
  return transcript
}

function expectSame(actual: Transcript, expected: Transcript): void {
  expect(actual.events).toEqual(expected.events)
  expect(actual.body).toBe(expected.body)
}

test("chunk boundaries change nothing", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...SEEDS),
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 200 }),
      ([direction, text], lengths) => {
        const bytes = Buffer.from(text, "latin1")
        let index = 0
        expectSame(
          cut(direction, bytes, () => lengths[index++] ?? 0),
          whole(direction, bytes),
        )
      },
    ),
    { numRuns: 1000 },
  )
})

test("byte by byte is the same as at once", () => {
  for (const [direction, text] of SEEDS) {
    const bytes = Buffer.from(text, "latin1")
    expectSame(
      cut(direction, bytes, () => 1),
      whole(direction, bytes),
    )
  }
})

test("arbitrary well-formed requests are read back as they were written, cut anywhere", () => {
  const token = fc.stringMatching(/^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,20}$/)
  const value = fc.stringMatching(/^[!-~]([ -~\x80-\xff]{0,30}[!-~])?$/)
  const taken = /^(host|content.?length|transfer.?encoding|connection|upgrade)$/i
  fc.assert(
    fc.property(
      token.filter(name => name !== "CONNECT"),
      fc.array(
        fc.tuple(
          token.filter(name => !taken.test(name)),
          value,
        ),
        { maxLength: 20 },
      ),
      fc.string({ unit: "binary-ascii", maxLength: 100 }),
      fc.array(fc.integer({ min: 1, max: 60 })),
      (method, fields, body, lengths) => {
        const lines = fields.map(([name, content]) => `${name}: ${content}\r\n`).join("")
        const head = `${method} /p HTTP/1.1\r\nHost: h\r\n${lines}Content-Length: ${body.length}\r\n\r\n`
        const bytes = Buffer.from(head + body, "latin1")
        let index = 0
        const transcript = cut("requests", bytes, () => lengths[index++] ?? 0)
        expect(transcript.fault).toBe(0)
        expect(transcript.body).toBe(body)
        expect(transcript.events[0]).toStartWith(`head ${method} h /p length ${body.length}`)
        expect(transcript.events[0]).toEndWith(JSON.stringify(head))
      },
    ),
    { numRuns: 500 },
  )
})

/** Bytes that matter to the grammar come more often than others. */
const SPICE = "\r\n\r\n\t \0:;,=#/?@0123456789abcdefGHIPT\x7f\x80\xff"

function mutate(text: string, next: (below: number) => number): string {
  let result = text
  const changes = 1 + next(4)
  for (let i = 0; i < changes; i++) {
    const at = next(result.length + 1)
    const spice = SPICE[next(SPICE.length)] as string
    switch (next(5)) {
      case 0:
        result = result.slice(0, at) + spice + result.slice(at)
        break
      case 1:
        result = result.slice(0, at) + spice + result.slice(at + 1)
        break
      case 2:
        result = result.slice(0, at) + result.slice(at + 1 + next(6))
        break
      case 3: {
        const length = next(30)
        result = result.slice(0, at) + result.slice(at, at + length) + result.slice(at)
        break
      }
      default: {
        const other = (SEEDS[next(SEEDS.length)] as readonly [Direction, string])[1]
        result = result.slice(0, at) + other.slice(next(other.length))
      }
    }
  }
  return result
}

const ROUNDS = Number(process.env.CONDUIT_FUZZ_ROUNDS ?? 30_000)
const SEED = Number(process.env.CONDUIT_FUZZ_SEED ?? Date.now() % 0x7fffffff)

test(`damaged streams never throw and do not depend on how they are cut (CONDUIT_FUZZ_SEED=${SEED})`, () => {
  for (let round = 0; round < ROUNDS; round++) {
    const seed = (SEED + round * 2654435761) | 0
    const next = random(seed)
    const [direction, text] = SEEDS[next(SEEDS.length)] as readonly [Direction, string]
    const bytes = Buffer.from(mutate(text, next), "latin1")
    try {
      const expected = whole(direction, bytes)
      const largest = 1 + next(50)
      const actual = cut(direction, bytes, () => 1 + next(largest))
      // A head in pieces is judged when its end comes, so that no byte is looked at twice: bring the end.
      if (expected.fault !== 0 && actual.fault === 0) actual.feed(Buffer.from("\n\n"))
      if (actual.events.join("\n") !== expected.events.join("\n") || actual.body !== expected.body) {
        throw new Error(`cut: ${actual.events.join("; ")} whole: ${expected.events.join("; ")}`)
      }
    } catch (error) {
      throw new Error(
        `CONDUIT_FUZZ_SEED=${SEED}, round ${round}, ${direction} ${JSON.stringify(bytes.toString("latin1"))}`,
        {
          cause: error,
        },
      )
    }
  }
}, 60_000)

test("empty lines before a request are counted alike, whole or dripped", () => {
  for (let lines = 0; lines < 8; lines++) {
    const bytes = Buffer.from(`${"\r\n".repeat(lines)}GET / HTTP/1.1\r\nHost: h\r\n\r\n`)
    const expected = whole("requests", bytes)
    expect(expected.fault !== 0).toBe(lines > LEADING_EMPTY_LINES_MAX)
    for (const size of [1, 2, 3]) expect(cut("requests", bytes, () => size).events).toEqual(expected.events)
  }
})

test("an endless head, dripped, is refused at the limit with no more memory than four times that", () => {
  const transcript = new Transcript("requests")
  transcript.feed(Buffer.from("GET / HTTP/1.1\r\nX: "))
  const piece = Buffer.from("aaaaaaa")
  let fed = 0
  while (transcript.fault === 0 && fed < 2 * HEAD_BYTES_MAX) {
    transcript.feed(piece)
    fed += piece.length
    expect(transcript.keptBytes).toBeLessThanOrEqual(4 * HEAD_BYTES_MAX)
  }
  expect(transcript.fault).toBeLessThan(0)
  expect(fed).toBeLessThanOrEqual(HEAD_BYTES_MAX)
})

test("a head of 128 KiB byte by byte takes time in proportion", () => {
  const transcript = new Transcript("requests")
  const bytes = Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\nX: ${"a".repeat(HEAD_BYTES_MAX - 100)}\r\n\r\n`)
  const started = performance.now()
  for (let i = 0; i < bytes.length; i++) transcript.feed(bytes.subarray(i, i + 1))
  expect(transcript.events.length).toBe(2)
  // Quadratic work would be eight thousand million steps.
  expect(performance.now() - started).toBeLessThan(3000)
})
