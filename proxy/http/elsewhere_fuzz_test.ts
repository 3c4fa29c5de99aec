// Both engines with endpoints that refuse at random moments of a body that comes in random pieces: whoever takes the
// request in the end has every byte of it, once and in order. CONDUIT_FUZZ_SEED repeats a failure.
import { afterEach, expect, test } from "bun:test"
import fc from "fast-check"
import { inOrder, startHttp1Loopback } from "../http1/loopback.ts"
import { roundRobin, startLoopbackProxy } from "../http2/loopback.ts"
import { wireClient, wireServer } from "../http2/wire_peer.ts"
import * as frame from "../wire/http2/frame.ts"
import {
  CLIENT_HELLO,
  frameBytes,
  headersFrame,
  type Pairs,
  REQUEST,
  settingsFrame,
  word,
} from "../wire/http2/session_fixture.ts"
import { rawClient, rawServer } from "./raw_peer.ts"

const SEED = Number(process.env.CONDUIT_FUZZ_SEED ?? Date.now() % 1_000_000)
const RUNS = 40
const TIMEOUT_MS = 30_000
const FIELD = "connect-failed; id=0a1b2c3d"

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup()
})

/** Pieces of a body, and for each endpoint but the last after how many bytes it refuses; together within the limit. */
const story = fc.record({
  pieces: fc.array(fc.integer({ min: 1, max: 6000 }), { minLength: 1, maxLength: 10 }),
  refusals: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 3 }),
  chunked: fc.boolean(),
})

/** Text of this length that is nowhere the same. */
function text(length: number): string {
  let out = ""
  for (let n = 0; out.length < length; n++) out += `${n.toString(36)}.`
  return out.slice(0, length)
}

function cut(body: string, pieces: readonly number[]): string[] {
  let at = 0
  return pieces.map(length => {
    at += length
    return body.slice(at - length, at)
  })
}

test(
  `HTTP/1: a request that is refused midway arrives whole (CONDUIT_FUZZ_SEED=${SEED})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(story, async ({ pieces, refusals, chunked }) => {
        const servers = await Promise.all(Array.from({ length: refusals.length + 1 }, rawServer))
        const proxy = startHttp1Loopback(
          inOrder(
            servers.map(server => server.port),
            true,
          ),
        )
        const client = await rawClient(proxy.port)
        cleanups.push(...servers.map(server => () => server.close()), proxy.close, () =>
          client.socket.destroy(),
        )
        const plain = text(pieces.reduce((sum, length) => sum + length, 0))
        const parts = cut(plain, pieces).map(part =>
          chunked ? `${part.length.toString(16)}\r\n${part}\r\n` : part,
        )
        if (chunked) parts.push("0\r\n\r\n")
        const framing = chunked ? "Transfer-Encoding: chunked" : `Content-Length: ${plain.length}`
        parts.unshift(`POST / HTTP/1.1\r\nHost: web\r\n${framing}\r\n\r\n`)
        const whole = parts.join("")
        const moments = refusals.map(share => Math.floor(share * whole.length)).sort((a, b) => a - b)
        let sent = 0
        let asked = 0
        // The head as soon as it may, the rest piece by piece; each server refuses once it has seen its share.
        for (const part of parts) {
          client.send(part)
          sent += part.length
          while (asked < moments.length && (moments[asked] as number) < sent) {
            // asked < moments.length < servers.length
            const peer = await servers[asked]!.peer(0)
            const seen = sent
            await peer.until(() => peer.received.length >= seen, "what was sent")
            expect(peer.received).toBe(whole.slice(0, seen))
            peer.send(
              `HTTP/1.1 502 Bad Gateway\r\nconduit-proxy-error: ${FIELD}\r\ncontent-length: 0\r\n\r\n`,
            )
            asked++
          }
        }
        // asked is at most the number of refusals, one less than that of servers.
        const last = await servers[asked]!.peer(0)
        await last.until(() => last.received.length >= whole.length, "the whole request")
        expect(last.received).toBe(whole)
        last.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
        expect(await client.take("hi")).toStartWith("HTTP/1.1 200 OK")
        expect(proxy.admission.replay.used).toBe(0)
        for (const cleanup of cleanups.splice(0).reverse()) cleanup()
      }),
      { seed: SEED, numRuns: RUNS },
    )
  },
  TIMEOUT_MS,
)

const OK: Pairs = [[":status", "200"]]
const REFUSED: Pairs = [
  [":status", "502"],
  ["conduit-proxy-error", FIELD],
]

test(
  `HTTP/2: a request that is refused midway arrives whole (CONDUIT_FUZZ_SEED=${SEED})`,
  async () => {
    await fc.assert(
      fc.asyncProperty(story, async ({ pieces, refusals, chunked: withTrailers }) => {
        const servers = Array.from({ length: refusals.length + 1 }, () => wireServer(settingsFrame()))
        const proxy = startLoopbackProxy(
          roundRobin(
            servers.map(server => server.port),
            true,
          ),
        )
        const client = await wireClient(proxy.port, CLIENT_HELLO)
        cleanups.push(...servers.map(server => () => server.close()), proxy.close, () => client.close())
        const whole = text(pieces.reduce((sum, length) => sum + length, 0))
        const parts = cut(whole, pieces)
        const moments = refusals.map(share => Math.floor(share * whole.length)).sort((a, b) => a - b)
        client.send(headersFrame(1, REQUEST))
        let sent = 0
        let asked = 0
        for (const [n, part] of parts.entries()) {
          const ends = n === parts.length - 1 && !withTrailers
          client.send(
            frameBytes(frame.FRAME_DATA, ends ? 1 : 0, 1, new Uint8Array(Buffer.from(part, "latin1"))),
          )
          if (n === parts.length - 1 && withTrailers) client.send(headersFrame(1, [["x-sum", "1"]], 1))
          sent += part.length
          while (asked < moments.length && (moments[asked] as number) < sent) {
            // asked < moments.length < servers.length
            const peer = await servers[asked]!.peer(0)
            while (peer.body(1).length < sent) await peer.line("DATA 1")
            expect(peer.body(1)).toBe(whole.slice(0, sent))
            // Both ways in which a request is known not to have been looked at.
            if (asked % 2 === 0) peer.send(headersFrame(1, REFUSED, 1))
            else peer.send(frameBytes(frame.FRAME_RST_STREAM, 0, 1, word(frame.REFUSED_STREAM)))
            asked++
          }
        }
        const last = await servers[asked]!.peer(0)
        while (last.body(1).length < whole.length) await last.line("DATA 1")
        expect(last.body(1)).toBe(whole)
        if (withTrailers) await last.line("HEADERS 1 x-sum=1 END")
        last.send(headersFrame(1, OK, 1))
        expect(await client.line("HEADERS 1")).toBe("HEADERS 1 :status=200 END")
        expect(proxy.admission.replay.used).toBe(0)
        for (const cleanup of cleanups.splice(0).reverse()) cleanup()
      }),
      { seed: SEED, numRuns: RUNS },
    )
  },
  TIMEOUT_MS,
)
