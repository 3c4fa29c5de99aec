// Conversations with a session: what is malformed ends a stream, what breaks framing ends the connection, floods end
// with ENHANCE_YOUR_CALM, and windows are kept.
import { describe, expect, test } from "bun:test"
import { FieldTable } from "./field_table.ts"
import { EARLY_RESET_MS, MAX_EARLY_RESETS, MAX_IDLE_FRAMES } from "./flood_guard.ts"
import * as frame from "./frame.ts"
import { MAX_CONTINUATIONS } from "./header_block.ts"
import { MAX_HEADER_FIELDS, MAX_HEADER_LIST_BYTES } from "./hpack_decoder.ts"
import {
  CLIENT_HELLO,
  frameBytes,
  headersFrame,
  joined,
  literalBlock,
  ownFields,
  type Pairs,
  REQUEST,
  SERVER_HELLO,
  settingsFrame,
  TestSession,
  word,
} from "./session_fixture.ts"
import { MAX_CONCURRENT_STREAMS } from "./session_output.ts"
import { Stream } from "./stream.ts"

function server(): TestSession {
  const peer = new TestSession(true).receive(CLIENT_HELLO)
  peer.sent()
  return peer
}

function client(...extra: Pairs): { peer: TestSession; stream: Stream } {
  const table = new FieldTable()
  const peer = new TestSession(false, table).receive(SERVER_HELLO)
  const stream = new Stream()
  peer.session.open(stream, ownFields(table, [...REQUEST, ...extra]), true)
  peer.sent()
  return { peer, stream }
}

test("a request with body and trailers becomes events", () => {
  const peer = server().receive(
    headersFrame(1, [...REQUEST, ["content-length", "3"]]),
    frameBytes(frame.FRAME_DATA, 0, 1, [1, 2]),
    frameBytes(frame.FRAME_DATA, 0, 1, [3]),
    headersFrame(1, [["x-sum", "6"]], frame.FLAG_END_STREAM),
  )
  expect(peer.events).toEqual([
    "request 1 :method=POST :scheme=http :path=/a :authority=web content-length=3",
    "trailers 1 x-sum=6",
    "end 1",
  ])
})

const without = (name: string): Pairs => REQUEST.filter(([n]) => n !== name)
const withValue = (name: string, value: string): Pairs => REQUEST.map(([n, v]) => [n, n === name ? value : v])

describe("a malformed request is reset with PROTOCOL_ERROR and never forwarded", () => {
  const cases: Record<string, Pairs> = {
    connection: [...REQUEST, ["connection", "close"]],
    "keep-alive": [...REQUEST, ["keep-alive", "5"]],
    "proxy-connection": [...REQUEST, ["proxy-connection", "close"]],
    "transfer-encoding": [...REQUEST, ["transfer-encoding", "chunked"]],
    upgrade: [...REQUEST, ["upgrade", "websocket"]],
    "te other than trailers": [...REQUEST, ["te", "gzip"]],
    "an upper-case name": [...REQUEST, ["X-Upper", "1"]],
    "a name with a blank": [...REQUEST, ["x y", "1"]],
    "a name with a colon inside": [...REQUEST, ["x:y", "1"]],
    "an empty name": [...REQUEST, ["", "1"]],
    "a line end in a value": [...REQUEST, ["x", "a\r\nb: c"]],
    "NUL in a value": [...REQUEST, ["x", "a\0b"]],
    "a control character in a value": [...REQUEST, ["x", "a\x01b"]],
    "a blank before a value": [...REQUEST, ["x", " a"]],
    "a blank after a value": [...REQUEST, ["x", "a\t"]],
    "no :method": without(":method"),
    "no :scheme": without(":scheme"),
    "no :path": without(":path"),
    "an empty :path": withValue(":path", ""),
    "a :path that is no path": withValue(":path", "a"),
    "a blank in :path": withValue(":path", "/a b HTTP/1.1"),
    ":path * without OPTIONS": withValue(":path", "*"),
    "a blank in :method": withValue(":method", "GET /"),
    "credentials in :authority": withValue(":authority", "me@web"),
    "a path in :authority": withValue(":authority", "web/x"),
    "two :path": [...REQUEST, [":path", "/b"]],
    "two :method": [...REQUEST, [":method", "GET"]],
    "an unknown pseudo-header": [[":foo", "1"], ...REQUEST],
    ":status in a request": [[":status", "200"], ...REQUEST],
    "a pseudo-header after others": [["x", "1"], ...REQUEST],
    ":protocol without CONNECT": [...REQUEST, [":protocol", "websocket"]],
    "CONNECT with :path": withValue(":method", "CONNECT"),
    "CONNECT without :authority": [[":method", "CONNECT"]],
    "host unlike :authority": [...REQUEST, ["host", "other"]],
    "two hosts": [...without(":authority"), ["host", "web"], ["host", "web"]],
    "a content-length with a sign": [...REQUEST, ["content-length", "+1"]],
    "a list of content-lengths": [...REQUEST, ["content-length", "1, 1"]],
    "two content-lengths": [...REQUEST, ["content-length", "1"], ["content-length", "1"]],
  }
  for (const name in cases) {
    test(name, () => {
      // Three times on one table: as a stranger, at second sight, and interned.
      const peer = server()
      for (const id of [1, 3, 5]) {
        peer.receive(headersFrame(id, cases[name] ?? []))
        expect(peer.sent()).toEqual([`RST_STREAM ${id} PROTOCOL_ERROR`])
      }
      expect(peer.events.filter(line => line.startsWith("request"))).toEqual([])
      // The connection lives on.
      peer.receive(headersFrame(7, REQUEST, frame.FLAG_END_STREAM))
      expect(peer.events.at(-1)).toStartWith("request 7")
    })
  }
})

describe("DATA that does not agree with content-length resets the stream", () => {
  const head = headersFrame(1, [...REQUEST, ["content-length", "3"]])
  const cases: Record<string, Uint8Array[]> = {
    "too much": [head, frameBytes(frame.FRAME_DATA, 0, 1, [1, 2, 3, 4])],
    "too little": [head, frameBytes(frame.FRAME_DATA, frame.FLAG_END_STREAM, 1, [1, 2])],
    "too little before trailers": [head, headersFrame(1, [["x", "1"]], frame.FLAG_END_STREAM)],
    none: [headersFrame(1, [...REQUEST, ["content-length", "3"]], frame.FLAG_END_STREAM)],
  }
  for (const name in cases) {
    test(name, () => {
      expect(
        server()
          .receive(...(cases[name] ?? []))
          .sent(),
      ).toEqual(["RST_STREAM 1 PROTOCOL_ERROR"])
    })
  }
})

test("accepted: te: trailers, host equal to :authority, CONNECT, extended CONNECT, OPTIONS *, obs-text", () => {
  const peer = server().receive(
    headersFrame(1, [...REQUEST, ["te", "trailers"], ["host", "web"], ["x", "caf\xe9"]]),
    headersFrame(3, [
      [":method", "CONNECT"],
      [":authority", "db:5432"],
    ]),
    headersFrame(5, [...withValue(":method", "CONNECT"), [":protocol", "websocket"]]),
    headersFrame(7, [
      [":method", "OPTIONS"],
      [":scheme", "http"],
      [":path", "*"],
    ]),
  )
  expect(peer.events.length).toBe(4)
  expect(peer.sent()).toEqual([])
})

describe("what breaks the protocol of the connection ends it with the right code", () => {
  const cases: Record<string, [string, Uint8Array[]]> = {
    "a frame over the limit": [
      "FRAME_SIZE_ERROR",
      [frameBytes(frame.FRAME_DATA, 0, 1, new Uint8Array(16_385))],
    ],
    "PING of seven octets": ["FRAME_SIZE_ERROR", [frameBytes(frame.FRAME_PING, 0, 0, new Uint8Array(7))]],
    "PING on a stream": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_PING, 0, 1, new Uint8Array(8))]],
    "SETTINGS on a stream": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_SETTINGS, 0, 1)]],
    "SETTINGS of five octets": [
      "FRAME_SIZE_ERROR",
      [frameBytes(frame.FRAME_SETTINGS, 0, 0, new Uint8Array(5))],
    ],
    "an acknowledgement with a payload": [
      "FRAME_SIZE_ERROR",
      [frameBytes(frame.FRAME_SETTINGS, 1, 0, new Uint8Array(6))],
    ],
    "a window setting over 2^31-1": ["FLOW_CONTROL_ERROR", [settingsFrame([4, 0x80000000])]],
    "a frame size setting too small": ["PROTOCOL_ERROR", [settingsFrame([5, 16_383])]],
    "ENABLE_PUSH of 2": ["PROTOCOL_ERROR", [settingsFrame([2, 2])]],
    "DATA on stream 0": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_DATA, 0, 0, [1])]],
    "DATA on an idle stream": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_DATA, 0, 1, [1])]],
    "RST_STREAM on an idle stream": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_RST_STREAM, 0, 1, word(8))]],
    "WINDOW_UPDATE on an idle stream": [
      "PROTOCOL_ERROR",
      [frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 1, word(1))],
    ],
    "WINDOW_UPDATE by 0": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 0, word(0))]],
    "a connection window over 2^31-1": [
      "FLOW_CONTROL_ERROR",
      [frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 0, word(0x7fffffff))],
    ],
    "HEADERS on stream 2": ["PROTOCOL_ERROR", [headersFrame(2, REQUEST)]],
    "HEADERS on stream 0": ["PROTOCOL_ERROR", [headersFrame(0, REQUEST)]],
    "a closed stream opened again": [
      "STREAM_CLOSED",
      [headersFrame(3, REQUEST), frameBytes(frame.FRAME_RST_STREAM, 0, 3, word(8)), headersFrame(3, REQUEST)],
    ],
    PUSH_PROMISE: ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_PUSH_PROMISE, 4, 1, word(2))]],
    "CONTINUATION out of the blue": ["PROTOCOL_ERROR", [frameBytes(frame.FRAME_CONTINUATION, 4, 1)]],
    "a header block interrupted": [
      "PROTOCOL_ERROR",
      [
        frameBytes(frame.FRAME_HEADERS, 0, 1, literalBlock(REQUEST)),
        frameBytes(frame.FRAME_PING, 0, 0, new Uint8Array(8)),
      ],
    ],
    "a header block interrupted by DATA": [
      "PROTOCOL_ERROR",
      [frameBytes(frame.FRAME_HEADERS, 0, 1, literalBlock(REQUEST)), frameBytes(frame.FRAME_DATA, 0, 1, [1])],
    ],
    "padding longer than its frame": [
      "PROTOCOL_ERROR",
      [headersFrame(1, REQUEST), frameBytes(frame.FRAME_DATA, frame.FLAG_PADDED, 1, [3, 1, 2])],
    ],
    "an index beyond the tables": [
      "COMPRESSION_ERROR",
      [frameBytes(frame.FRAME_HEADERS, 4, 1, [0xff, 0x20])],
    ],
    "a literal beyond its block": ["COMPRESSION_ERROR", [frameBytes(frame.FRAME_HEADERS, 4, 1, [0, 9, 65])]],
    "Huffman padding of zeros": [
      "COMPRESSION_ERROR",
      [frameBytes(frame.FRAME_HEADERS, 4, 1, [0, 0x81, 0x00, 1, 65])],
    ],
    "a table size over our setting": [
      "COMPRESSION_ERROR",
      [frameBytes(frame.FRAME_HEADERS, 4, 1, [0x3f, 0xe2, 0x1f])],
    ],
    "a table size after a field": [
      "COMPRESSION_ERROR",
      [frameBytes(frame.FRAME_HEADERS, 4, 1, [0x82, 0x20])],
    ],
    "GOAWAY of seven octets": ["FRAME_SIZE_ERROR", [frameBytes(frame.FRAME_GOAWAY, 0, 0, new Uint8Array(7))]],
  }
  for (const name in cases) {
    test(name, () => {
      const [code, frames] = cases[name] ?? ["", []]
      const peer = server().receive(...frames)
      expect(peer.sent().at(-1)).toMatch(new RegExp(`^GOAWAY \\d+ ${code}$`))
      expect(peer.session.dead).toBe(true)
    })
  }

  test("another first frame than SETTINGS", () => {
    const peer = new TestSession(true).receive(joined(frame.CLIENT_PREFACE, headersFrame(1, REQUEST)))
    expect(peer.sent()).toEqual(["GOAWAY 0 PROTOCOL_ERROR"])
  })

  test("no preface", () => {
    expect(new TestSession(true).receive(Buffer.from("GET / HTTP/1.1\r\n\r\n")).sent()).toEqual([
      "GOAWAY 0 PROTOCOL_ERROR",
    ])
  })
})

describe("a malformed response is reset", () => {
  const cases: Record<string, Uint8Array[]> = {
    "no :status": [headersFrame(1, [["x", "1"]])],
    ":status of two digits": [headersFrame(1, [[":status", "20"]])],
    "status 101": [headersFrame(1, [[":status", "101"]])],
    "a request's pseudo-header": [
      headersFrame(1, [
        [":status", "200"],
        [":path", "/"],
      ]),
    ],
    "an interim head that ends": [headersFrame(1, [[":status", "103"]], frame.FLAG_END_STREAM)],
    "DATA before the head": [frameBytes(frame.FRAME_DATA, 0, 1, [1])],
    "transfer-encoding": [
      headersFrame(1, [
        [":status", "200"],
        ["transfer-encoding", "chunked"],
      ]),
    ],
    "trailers that do not end": [headersFrame(1, [[":status", "200"]]), headersFrame(1, [["x", "1"]])],
    "a pseudo-header in trailers": [
      headersFrame(1, [[":status", "200"]]),
      headersFrame(1, [[":status", "200"]], frame.FLAG_END_STREAM),
    ],
    "less than content-length": [
      headersFrame(1, [
        [":status", "200"],
        ["content-length", "2"],
      ]),
      frameBytes(frame.FRAME_DATA, frame.FLAG_END_STREAM, 1, [1]),
    ],
  }
  for (const name in cases) {
    test(name, () => {
      const { peer } = client()
      expect(peer.receive(...(cases[name] ?? [])).sent()).toEqual(["RST_STREAM 1 PROTOCOL_ERROR"])
    })
  }
})

test("interim responses come before the final one", () => {
  const { peer } = client()
  peer.receive(
    headersFrame(1, [[":status", "100"]]),
    headersFrame(1, [[":status", "103"]]),
    headersFrame(1, [[":status", "204"]], 1),
  )
  expect(peer.events).toEqual([
    "response 1 :status=100",
    "response 1 :status=103",
    "response 1 :status=204 END",
    "end 1",
  ])
})

describe("limits", () => {
  test("more streams than allowed are refused, and may be tried again", () => {
    const peer = server()
    for (let i = 0; i <= MAX_CONCURRENT_STREAMS; i++) peer.receive(headersFrame(2 * i + 1, REQUEST))
    expect(peer.sent()).toEqual([`RST_STREAM ${2 * MAX_CONCURRENT_STREAMS + 1} REFUSED_STREAM`])
  })

  test("a list with too many fields is answered, not forwarded, and later ones decode", () => {
    const peer = server()
    const many: Pairs = Array.from({ length: MAX_HEADER_FIELDS }, (_, i) => [`x${i}`, "1"])
    peer.receive(headersFrame(1, [...REQUEST, ...many]), headersFrame(3, REQUEST))
    expect(peer.events[0]).toBe("too large 1")
    expect(peer.events[1]).toStartWith("request 3")
  })

  test("an expansion bomb of one-octet indexes is answered, and kept no longer than the limit", () => {
    const peer = server()
    const big = "x".repeat(3000)
    const insert = [
      0x40,
      1,
      120,
      127,
      ...[((big.length - 127) & 127) | 128, (big.length - 127) >> 7],
      ...Buffer.from(big),
    ]
    peer.receive(frameBytes(frame.FRAME_HEADERS, 4, 1, [...insert, ...new Array(10_000).fill(0xbe)]))
    expect(peer.events).toEqual(["too large 1"])
  })

  test("a head of 120 KiB in several frames passes", () => {
    const peer = server()
    const block = Uint8Array.from(
      literalBlock([
        ...REQUEST,
        ...Array.from({ length: 120 }, (_, i): [string, string] => [`x${i}`, "v".repeat(980)]),
      ]),
    )
    const frames: Uint8Array[] = []
    for (let at = 0; at < block.length; at += 16_384) {
      const last = at + 16_384 >= block.length
      frames.push(
        frameBytes(
          at === 0 ? frame.FRAME_HEADERS : frame.FRAME_CONTINUATION,
          last ? 4 : 0,
          1,
          block.subarray(at, at + 16_384),
        ),
      )
    }
    expect(peer.receive(...frames).events[0]).toStartWith("request 1")
    expect(block.length).toBeLessThan(MAX_HEADER_LIST_BYTES)
  })

  test("a flood of CONTINUATION frames ends the connection (CVE-2024-27316)", () => {
    const peer = server().receive(frameBytes(frame.FRAME_HEADERS, 0, 1, literalBlock(REQUEST)))
    for (let i = 0; i <= MAX_CONTINUATIONS; i++) peer.receive(frameBytes(frame.FRAME_CONTINUATION, 0, 1))
    expect(peer.sent()).toEqual(["GOAWAY 0 ENHANCE_YOUR_CALM"])
  })

  test("rapid reset ends the connection (CVE-2023-44487)", () => {
    const peer = server()
    for (let i = 0; i <= MAX_EARLY_RESETS && !peer.session.dead; i++) {
      peer.receive(
        headersFrame(2 * i + 1, REQUEST),
        frameBytes(frame.FRAME_RST_STREAM, 0, 2 * i + 1, word(frame.CANCEL)),
      )
    }
    expect(peer.sent().at(-1)).toEndWith("ENHANCE_YOUR_CALM")
  })

  test("resets provoked by faulty frames count as well (CVE-2025-8671)", () => {
    const peer = server()
    for (let i = 0; i <= MAX_EARLY_RESETS && !peer.session.dead; i++) {
      peer.receive(
        headersFrame(2 * i + 1, REQUEST),
        frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 2 * i + 1, word(0)),
      )
    }
    expect(peer.sent().at(-1)).toEndWith("ENHANCE_YOUR_CALM")
  })

  test("streams that lived before they were reset cost nobody the connection", () => {
    const peer = server()
    for (let i = 0; i < 2 * MAX_EARLY_RESETS; i++) {
      peer.session.nowMs += EARLY_RESET_MS + 1
      peer.receive(headersFrame(2 * i + 1, REQUEST))
      peer.session.nowMs += EARLY_RESET_MS + 1
      peer.receive(frameBytes(frame.FRAME_RST_STREAM, 0, 2 * i + 1, word(frame.CANCEL)))
    }
    expect(peer.session.dead).toBe(false)
  })

  const floods: Record<string, Uint8Array> = {
    "PING (CVE-2019-9512)": frameBytes(frame.FRAME_PING, 0, 0, new Uint8Array(8)),
    "SETTINGS (CVE-2019-9515)": settingsFrame(),
    PRIORITY: frameBytes(frame.FRAME_PRIORITY, 0, 1, [0, 0, 0, 0, 1]),
    "empty DATA (CVE-2019-9518)": frameBytes(frame.FRAME_DATA, 0, 1),
    WINDOW_UPDATE: frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 1, word(1)),
    "unknown frames": frameBytes(0xbe, 0, 0),
  }
  for (const name in floods) {
    test(`a flood of ${name} ends the connection`, () => {
      const peer = server().receive(headersFrame(1, REQUEST))
      const flood = joined(...new Array(100).fill(floods[name] ?? []))
      let frames = 0
      for (; frames <= MAX_IDLE_FRAMES + 100 && !peer.session.dead; frames += 100) peer.receive(flood)
      expect(peer.events.at(-1)).toStartWith("connection error ENHANCE_YOUR_CALM")
    })
  }

  test("a peer that asks and does not read loses its connection", () => {
    const peer = server()
    peer.sink.queuedBytes = 3 * 1_048_576
    peer.receive(frameBytes(frame.FRAME_PING, 0, 0, new Uint8Array(8)))
    expect(peer.sent().at(-1)).toEndWith("ENHANCE_YOUR_CALM")
  })
})

/** A client's and a server's session, with the client's stream 1 bridged to the server's stream 1. */
function bridged(): { down: TestSession; up: TestSession; from: Stream; to: Stream } {
  const table = new FieldTable()
  const down = new TestSession(true, table).receive(CLIENT_HELLO, headersFrame(1, REQUEST))
  const up = new TestSession(false, table).receive(SERVER_HELLO)
  // Opened by the request above.
  const from = down.opened[0]!
  const to = new Stream()
  from.peer = to
  to.peer = from
  up.session.open(to, ownFields(table, REQUEST), false)
  up.sent()
  down.sent()
  return { down, up, from, to }
}

const data = (length: number, flags = 0, id = 1): Uint8Array =>
  frameBytes(frame.FRAME_DATA, flags, id, new Uint8Array(length).fill(7))

describe("flow control", () => {
  test("adjacent DATA frames are passed on with their borders", () => {
    const { down, up } = bridged()
    down.receive(joined(data(100), data(200), data(0, frame.FLAG_END_STREAM)))
    expect(up.sent()).toEqual(["DATA 1 100", "DATA 1 200", "DATA 1 0 END"])
  })

  test("DATA of another stream in between stays out of what is passed on", () => {
    const { down, up } = bridged()
    // Stream 3 has no peer: what comes on it is dropped.
    down.receive(headersFrame(3, REQUEST), joined(data(100), data(70, 0, 3), data(50)))
    expect(up.sent()).toEqual(["DATA 1 100", "DATA 1 50"])
  })

  test("a frame cut anywhere is passed on in pieces that add up", () => {
    const whole = joined(data(300), data(50, frame.FLAG_END_STREAM))
    for (let cut = 1; cut < whole.length; cut++) {
      const { down, up } = bridged()
      down.receive(whole.subarray(0, cut), whole.subarray(cut))
      const lines = up.sent()
      expect(lines.reduce((sum, line) => sum + Number(line.split(" ")[2]), 0)).toBe(350)
      expect(lines.filter(line => line.endsWith("END")).length).toBe(1)
      expect(lines.at(-1)).toEndWith("END")
    }
  })

  test("padding is taken off and given back", () => {
    const { down, up } = bridged()
    down.receive(frameBytes(frame.FRAME_DATA, frame.FLAG_PADDED, 1, [3, 1, 2, 0, 0, 0]))
    expect(up.sent()).toEqual(["DATA 1 2"])
  })

  test("windows are given back as bytes are passed on, and not before", () => {
    const { down, up } = bridged()
    // The peer's window shuts after 65,535 octets.
    for (let i = 0; i < 3; i++) down.receive(data(16_384))
    expect(down.sent()).toEqual(["WINDOW_UPDATE 1 32768"])
    down.receive(data(16_384), data(16_384))
    expect(up.sent()).toEqual(["DATA 1 16384", "DATA 1 16384", "DATA 1 16384", "DATA 1 16383"])
    expect(down.sent()).toEqual(["WINDOW_UPDATE 1 32767"])
    for (const id of [0, 1]) up.receive(frameBytes(frame.FRAME_WINDOW_UPDATE, 0, id, word(65_535)))
    expect(up.sent()).toEqual(["DATA 1 1", "DATA 1 16384"])
    expect(down.sent()).toEqual([])
  })

  test("a sender that ignores the stream's window is reset, one that ignores the connection's loses it", () => {
    const { down } = bridged()
    // Nothing is passed on, so nothing is given back.
    down.opened[0]!.peer!.sendWindow = 0
    for (let i = 0; i < 5; i++) down.receive(data(16_384))
    expect(down.sent()).toContain("RST_STREAM 1 FLOW_CONTROL_ERROR")
  })

  test("a full socket holds DATA back until it drains; trailers keep their place", () => {
    const { down, up } = bridged()
    up.sink.room = false
    down.receive(data(10_000), data(10_000), headersFrame(1, [["x", "1"]], frame.FLAG_END_STREAM))
    expect(up.sent()).toEqual(["DATA 1 10000"])
    const trailers = down.events.at(-2)
    expect(trailers).toBe("trailers 1 x=1")
    up.session.sendTrailers(down.opened[0]!.peer!, ownFields(new FieldTable(), [["x", "1"]]))
    expect(up.sent()).toEqual([])
    up.sink.room = true
    up.session.pump()
    expect(up.sent()).toEqual(["DATA 1 10000", "HEADERS 1 x=1 END"])
  })

  test("SETTINGS_INITIAL_WINDOW_SIZE moves the windows of open streams, below zero too", () => {
    const { down, up } = bridged()
    down.receive(data(1000))
    up.receive(settingsFrame([4, 500]))
    down.receive(data(100))
    expect(up.sent()).toEqual(["DATA 1 1000", "SETTINGS 0 ACK"])
    up.receive(settingsFrame([4, 1050]))
    expect(up.sent()).toEqual(["DATA 1 50", "SETTINGS 0 ACK"].reverse())
  })

  test("a stalled stream does not hold up another of the same connection", () => {
    const { down, up, to } = bridged()
    down.receive(headersFrame(3, REQUEST))
    const table = new FieldTable()
    const other = new Stream()
    const from = down.opened[1]!
    from.peer = other
    other.peer = from
    up.session.open(other, ownFields(table, REQUEST), false)
    up.sent()
    to.sendWindow = 0
    down.receive(data(16_384), data(16_384), data(16_384), data(16_384 - 1))
    expect(up.sent()).toEqual([])
    for (let i = 0; i < 40; i++) {
      down.receive(data(16_384, 0, 3))
      up.receive(
        frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 3, word(16_384)),
        frameBytes(frame.FRAME_WINDOW_UPDATE, 0, 0, word(16_384)),
      )
    }
    const passed = up
      .sent()
      .reduce((sum, line) => sum + (line.startsWith("DATA 3") ? Number(line.split(" ")[2]) : 0), 0)
    expect(passed).toBe(40 * 16_384)
    expect(down.session.dead).toBe(false)
  })
})

test("PING and SETTINGS are acknowledged", () => {
  const peer = server().receive(
    frameBytes(frame.FRAME_PING, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]),
    settingsFrame([1, 100]),
  )
  expect(peer.sent()).toEqual(["PING 0 ACK", "SETTINGS 0 ACK"])
})
