// SNI and ALPN out of ClientHellos: a real one, cut anywhere, and damaged ones.
import { expect, test } from "bun:test"
import { createServer, type Socket } from "node:net"
import { connect } from "node:tls"
import fc from "fast-check"
import {
  CLIENT_HELLO_COMPLETE,
  CLIENT_HELLO_MALFORMED,
  CLIENT_HELLO_NEED_MORE,
  isHostName,
  readClientHello,
} from "./client_hello.ts"

function vector(width: number, content: Uint8Array): Buffer {
  const length = Buffer.alloc(width)
  length.writeUIntBE(content.length, 0, width)
  return Buffer.concat([length, content])
}

function extension(type: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([type >> 8, type & 255]), vector(2, content)])
}

function serverName(name: string): Buffer {
  return extension(0, vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))])))
}

function alpn(names: readonly string[]): Buffer {
  return extension(16, vector(2, Buffer.concat(names.map(name => vector(1, Buffer.from(name))))))
}

function message(extensions: readonly Uint8Array[] | null): Buffer {
  const parts: Uint8Array[] = [
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    vector(1, Buffer.alloc(32, 9)),
    vector(2, Buffer.from([0x13, 1])),
    vector(1, Buffer.from([0])),
  ]
  if (extensions !== null) parts.push(vector(2, Buffer.concat(extensions)))
  return Buffer.concat([Buffer.from([1]), vector(3, Buffer.concat(parts))])
}

function records(content: Uint8Array, size: number): Buffer {
  const parts: Uint8Array[] = []
  for (let at = 0; at < content.length; at += size) {
    parts.push(Buffer.from([22, 3, 1]), vector(2, content.subarray(at, at + size)))
  }
  return Buffer.concat(parts)
}

function read(bytes: Uint8Array) {
  return readClientHello(bytes, bytes.length)
}

const HELLO = message([
  extension(43, Buffer.from([2, 3, 4])),
  serverName("Web.Example"),
  alpn(["h2", "http/1.1"]),
])

test("name and protocols are read, the name in lower case", () => {
  expect(read(records(HELLO, 16_000))).toEqual({
    state: CLIENT_HELLO_COMPLETE,
    serverName: "web.example",
    protocols: ["h2", "http/1.1"],
  })
})

test("a ClientHello without extensions is complete and asks for nothing", () => {
  expect(read(records(message(null), 16_000))).toEqual({
    state: CLIENT_HELLO_COMPLETE,
    serverName: "",
    protocols: [],
  })
})

test("it may be split over records of any size, and be followed by other bytes", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: HELLO.length }), fc.uint8Array({ maxLength: 20 }), (size, rest) => {
      expect(read(Buffer.concat([records(HELLO, size), rest])).serverName).toBe("web.example")
    }),
  )
})

test("every true prefix needs more", () => {
  const bytes = records(HELLO, 50)
  for (let length = 0; length < bytes.length; length++) {
    expect(readClientHello(bytes, length).state).toBe(CLIENT_HELLO_NEED_MORE)
  }
})

const MALFORMED: readonly (readonly [what: string, bytes: Uint8Array])[] = [
  ["a record that is no handshake", Buffer.from([23, 3, 1, 0, 5, 1, 0, 0, 0, 0])],
  ["another handshake message", records(Buffer.from([2, 0, 0, 0]), 100)],
  ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
  ["a record beyond the maximum", Buffer.from([22, 3, 1, 0xff, 0xff])],
  ["a message beyond our limit", records(Buffer.from([1, 0xff, 0, 0, 3, 3]), 100)],
  [
    "a session id beyond the message",
    records(Buffer.concat([Buffer.from([1, 0, 0, 35, 3, 3]), Buffer.alloc(33, 255)]), 100),
  ],
  ["an empty name", records(message([serverName("")]), 1000)],
  ["a name beyond its list", records(message([extension(0, Buffer.from([0, 3, 0, 0, 9]))]), 1000)],
  ["an empty protocol", records(message([alpn([""])]), 1000)],
  ["an extension beyond its list", records(message([Buffer.from([0, 0, 0, 9, 1])]), 1000)],
]

for (const [what, bytes] of MALFORMED) {
  test(`${what} is malformed`, () => {
    expect(read(bytes).state).toBe(CLIENT_HELLO_MALFORMED)
  })
}

test("a real client's ClientHello is understood", async () => {
  const bytes = await new Promise<Uint8Array>(resolve => {
    const server = createServer((socket: Socket) => {
      socket.on("error", () => {})
      socket.once("data", (data: Uint8Array) => {
        socket.destroy()
        server.close()
        resolve(data)
      })
    })
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      const client = connect({ host: "127.0.0.1", port, servername: "shop.example", ALPNProtocols: ["h2"] })
      client.on("error", () => {})
    })
  })
  const hello = read(bytes)
  expect(hello.serverName).toBe("shop.example")
  expect(hello.protocols).toEqual(["h2"])
})

test("damaged bytes never throw, and the result does not depend on what lies behind", () => {
  const bytes = records(HELLO, 60)
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      changes => {
        const damaged = Buffer.from(bytes)
        for (const [at, value] of changes) damaged[at] = value
        expect([0, 1, 2]).toContain(read(damaged).state)
      },
    ),
    { numRuns: 2000 },
  )
})

test.each([
  ["web.shop.svc.cluster.local", true],
  ["a", true],
  ["my_db-0.db", true],
  ["xn--bcher-kva.example", true],
  [`${"a".repeat(63)}.example`, true],
  ["", false],
  [".", false],
  ["a..b", false],
  [".a", false],
  ["a.", false],
  ["10.0.0.1", false],
  ["fd00::1", false],
  ["a b", false],
  ['a"}', false],
  ["a\n", false],
  ["Web", false],
  ["b\u00fccher.example", false],
  [`${"a".repeat(64)}.example`, false],
  [`${"a.".repeat(126)}bc`, false],
])("%p is a host name: %p", (name, expected) => {
  expect(isHostName(name)).toBe(expected)
})
