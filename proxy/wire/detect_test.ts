// Detection: every protocol by its first bytes, at the earliest byte that is safe.
import { expect, test } from "bun:test"
import fc from "fast-check"
import {
  DETECT_HTTP1,
  DETECT_HTTP2,
  DETECT_LOOKAHEAD_BYTES,
  DETECT_NEED_MORE,
  DETECT_OPAQUE,
  DETECT_TLS,
  type Detection,
  detect,
} from "./detect.ts"

function judge(text: string): Detection {
  const bytes = Buffer.from(text, "latin1")
  return detect(bytes, bytes.length)
}

const CASES: readonly (readonly [what: string, bytes: string, expected: Detection])[] = [
  ["nothing yet", "", DETECT_NEED_MORE],
  ["a whole request", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", DETECT_HTTP1],
  ["HTTP/1.0", "GET /x HTTP/1.0\r\n", DETECT_HTTP1],
  ["a request line up to its version", "POST /a?b=c HTTP/", DETECT_HTTP1],
  ["CONNECT", "CONNECT db.example:5432 HTTP/1.1\r\n", DETECT_HTTP1],
  ["OPTIONS *", "OPTIONS * HTTP/1.1\r\n", DETECT_HTTP1],
  ["an absolute target", "GET http://a/b HTTP/1.1\r\n", DETECT_HTTP1],
  ["a lower-case method", "get / HTTP/1.1\r\n", DETECT_HTTP1],
  ["a WebDAV method", "PROPFIND /x HTTP/1.1\r\n", DETECT_HTTP1],
  ["an unsupported version, to be refused as HTTP", "GET / HTTP/3.0\r\n", DETECT_HTTP1],
  ["a space in the path, to be refused as HTTP", "GET /a b HTTP/1.1\r\n", DETECT_HTTP1],
  ["a tab in the path, to be refused as HTTP", "GET /a\tHTTP/1.1\r\n", DETECT_HTTP1],
  ["half a method", "DEL", DETECT_NEED_MORE],
  ["half a target", "GET /abc", DETECT_NEED_MORE],
  ["half a version", "GET / HT", DETECT_NEED_MORE],
  ["the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", DETECT_HTTP2],
  ["half the preface", "PRI * HTTP/2.0\r\n\r", DETECT_NEED_MORE],
  ["a broken preface", "PRI * HTTP/2.0\r\n\r\nXX", DETECT_OPAQUE],
  ["a method that begins like the preface", "PRINT /x HTTP/1.1\r\n", DETECT_HTTP1],
  ["a ClientHello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", DETECT_TLS],
  ["half a record header", "\x16\x03", DETECT_NEED_MORE],
  ["a ServerHello", "\x16\x03\x03\x00\x40\x02", DETECT_OPAQUE],
  ["a record of no TLS version", "\x16\x04", DETECT_OPAQUE],
  ["an oversized record", "\x16\x03\x01\xff\xff", DETECT_OPAQUE],
  ["Redis", "*1\r\n$4\r\nPING\r\n", DETECT_OPAQUE],
  ["Redis inline", "PING\r\n", DETECT_OPAQUE],
  ["Redis inline GET of a path", "GET /key\r\n", DETECT_OPAQUE],
  ["PostgreSQL SSLRequest", "\x00\x00\x00\x08\x04\xd2\x16\x2f", DETECT_OPAQUE],
  ["SMTP", "EHLO client.example\r\n", DETECT_OPAQUE],
  ["SMTP MAIL", "MAIL FROM:<a@b> SIZE=1\r\n", DETECT_OPAQUE],
  ["memcached get", "get foo\r\n", DETECT_OPAQUE],
  ["memcached set", "set foo 0 0 3\r\nabc\r\n", DETECT_OPAQUE],
  ["IRC NICK", "NICK me\r\n", DETECT_OPAQUE],
  ["IRC USER", "USER me 0 * :Me\r\n", DETECT_OPAQUE],
  ["FTP", "USER anonymous\r\n", DETECT_OPAQUE],
  ["SSH", "SSH-2.0-OpenSSH_9.2\r\n", DETECT_OPAQUE],
  ["MQTT", "\x10\x16\x00\x04MQTT", DETECT_OPAQUE],
  ["RTSP", "OPTIONS rtsp://a/b RTSP/1.0\r\n", DETECT_OPAQUE],
  ["SIP", "INVITE sip:a@b SIP/2.0\r\n", DETECT_OPAQUE],
  ["NATS", 'CONNECT {"verbose":false}\r\n', DETECT_OPAQUE],
  ["beanstalkd", "put 0 0 10 3\r\n", DETECT_OPAQUE],
  ["a binary byte", "\x80", DETECT_OPAQUE],
  ["a word that is too long for a method", "A".repeat(40), DETECT_OPAQUE],
  ["a known method and an endless path", `GET /${"a".repeat(DETECT_LOOKAHEAD_BYTES)}`, DETECT_HTTP1],
  ["an unknown method and an endless target", `FETCH ${"a".repeat(DETECT_LOOKAHEAD_BYTES)}`, DETECT_OPAQUE],
]

for (const [what, bytes, expected] of CASES) {
  test(`detection of ${what}`, () => {
    expect(judge(bytes)).toBe(expected)
  })
}

test("a verdict never changes when more bytes come", () => {
  const texts = CASES.map(([, bytes]) => bytes).filter(bytes => bytes.length < 200)
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.string({ unit: "binary-ascii", maxLength: 20 }),
      (start, rest) => {
        const bytes = Buffer.from(start + rest, "latin1")
        let verdict: Detection = DETECT_NEED_MORE
        for (let length = 0; length <= bytes.length; length++) {
          const next = detect(bytes, length)
          if (verdict !== DETECT_NEED_MORE) expect(next).toBe(verdict)
          verdict = next
        }
      },
    ),
  )
})

test("any bytes get a verdict", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), bytes => {
      expect([0, 1, 2, 3, 4]).toContain(detect(bytes, bytes.length))
    }),
  )
})
