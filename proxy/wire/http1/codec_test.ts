// The HTTP/1 codec, case by case: what is understood, what is refused and with which status.
import { expect, test } from "bun:test"
import { BODY_CHUNKED, BODY_LENGTH, BODY_NONE, BODY_TUNNEL, BODY_UNTIL_CLOSE } from "./body_scanner.ts"
import { describeFault } from "./fault.ts"
import {
  CHUNK_EXTENSION_BYTES_MAX,
  HEAD_BYTES_MAX,
  HEAD_FIELDS_MAX,
  METHOD_BYTES_MAX,
  TRAILER_BYTES_MAX,
} from "./limits.ts"
import {
  isIdempotent,
  METHOD_CONNECT,
  METHOD_GET,
  METHOD_HEAD,
  METHOD_POST,
  RequestHead,
} from "./request_head.ts"
import { ResponseHead } from "./response_head.ts"
import { spliceHead } from "./splice_head.ts"
import { TextCache } from "./text_cache.ts"
import { Transcript } from "./transcript.ts"

function parseRequest(text: string): { head: RequestHead; result: number } {
  const bytes = Buffer.from(text, "latin1")
  const head = new RequestHead(new TextCache())
  return { head, result: head.parse(bytes, 0, bytes.length) }
}

function parseResponse(text: string): { head: ResponseHead; result: number } {
  const bytes = Buffer.from(text, "latin1")
  const head = new ResponseHead()
  return { head, result: head.parse(bytes, 0, bytes.length) }
}

function read(direction: "requests" | "responses", text: string): Transcript {
  const transcript = new Transcript(direction)
  transcript.feed(Buffer.from(text, "latin1"))
  return transcript
}

const HOST = "Host: a\r\n"

test("a request head tells method, authority, path and fields as they were sent", () => {
  const text =
    "GET /x?y=Z HTTP/1.1\r\nHOST: Web.Shop:80\r\nX-Id:  a b\t\r\nContent-Type: application/grpc+json\r\n\r\nrest"
  const { head, result } = parseRequest(text)
  expect(result).toBe(text.length - 4)
  expect([head.method, head.authority, head.path]).toEqual(["GET", "Web.Shop:80", "/x?y=Z"])
  expect(head.header("x-id")).toBe("a b")
  expect(head.header("x-other")).toBeUndefined()
  expect(head.isGrpc).toBe(true)
  expect(head.keepsAlive).toBe(true)
})

test("equal authorities are the same string however many heads name them", () => {
  const texts = new TextCache()
  const seen = new Set<string>()
  for (let i = 0; i < 5; i++) {
    const bytes = Buffer.from(`GET /${i} HTTP/1.1\r\nHost: web\r\n\r\n`)
    const head = new RequestHead(texts)
    head.parse(bytes, 0, bytes.length)
    seen.add(head.authority)
  }
  expect([...seen]).toEqual(["web"])
})

test("an absolute target's authority and path count, and the bytes stay", () => {
  const { head } = parseRequest("GET http://Web:80/p?q HTTP/1.1\r\nHost: web:80\r\n\r\n")
  expect([head.authority, head.path]).toEqual(["Web:80", "/p?q"])
  expect(parseRequest("GET http://web HTTP/1.1\r\nHost: web\r\n\r\n").head.path).toBe("/")
})

test("CONNECT's target is the authority, whatever Host says", () => {
  const { head } = parseRequest("CONNECT db:5432 HTTP/1.1\r\nHost: proxy\r\n\r\n")
  expect([head.methodNumber, head.authority, head.path]).toEqual([METHOD_CONNECT, "db:5432", "db:5432"])
})

test("HTTP/1.0 needs no Host and keeps the connection only when asked", () => {
  expect(parseRequest("GET / HTTP/1.0\r\n\r\n").head.keepsAlive).toBe(false)
  expect(parseRequest("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").head.keepsAlive).toBe(true)
  expect(parseRequest(`GET / HTTP/1.1\r\n${HOST}Connection: foo , Close\r\n\r\n`).head.keepsAlive).toBe(false)
})

test("an upgrade is one only with the Connection option", () => {
  const head = (fields: string) => parseRequest(`GET / HTTP/1.1\r\n${HOST}${fields}\r\n`).head
  expect(head("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n").wantsUpgrade).toBe(true)
  expect(head("Upgrade: websocket\r\n").wantsUpgrade).toBe(false)
})

test("empty lines before a request are skipped, a few of them", () => {
  const { head, result } = parseRequest(`\r\n\r\nGET / HTTP/1.1\r\n${HOST}\r\n`)
  expect(head.start).toBe(4)
  expect(result).toBeGreaterThan(0)
  expect(parseRequest(`${"\r\n".repeat(5)}GET / HTTP/1.1\r\n${HOST}\r\n`).result).toBeLessThan(0)
})

test("a body where a method has no use for one is marked", () => {
  expect(parseRequest(`GET / HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\n`).head.hasSuspectBody).toBe(true)
  expect(parseRequest(`GET / HTTP/1.1\r\n${HOST}Content-Length: 0\r\n\r\n`).head.hasSuspectBody).toBe(false)
  expect(parseRequest(`DELETE / HTTP/1.1\r\n${HOST}Content-Length: 3\r\n\r\n`).head.hasSuspectBody).toBe(
    false,
  )
})

test("idempotent are the methods that RFC 9110 names", () => {
  const names = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "POST", "PATCH", "CONNECT", "FOO"]
  const target = (name: string) => (name === "CONNECT" ? "a:1" : "/")
  const idempotent = names.filter(name =>
    isIdempotent(parseRequest(`${name} ${target(name)} HTTP/1.1\r\n${HOST}\r\n`).head.methodNumber),
  )
  expect(idempotent).toEqual(["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
})

const REFUSED: readonly (readonly [what: string, status: number, request: string])[] = [
  ["both lengths", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ["two equal lengths", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 1\r\n\r\n`],
  ["a list of lengths", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: 1, 1\r\n\r\n`],
  ["a signed length", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: +1\r\n\r\n`],
  ["a negative length", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`],
  ["a hexadecimal length", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x10\r\n\r\n`],
  ["an empty length", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length:\r\n\r\n`],
  ["a length beyond 2^53", 400, `POST / HTTP/1.1\r\n${HOST}Content-Length: 18446744073709551617\r\n\r\n`],
  ["chunked twice", 400, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, chunked\r\n\r\n`],
  ["chunked not last", 400, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, gzip\r\n\r\n`],
  ["an unknown coding alone", 400, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n`],
  ["identity", 400, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: identity\r\n\r\n`],
  ["chunked with a parameter", 400, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked;a\r\n\r\n`],
  [
    "two coding fields",
    400,
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`,
  ],
  ["gzip, chunked", 501, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n`],
  ["a coding in HTTP/1.0", 400, `POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n`],
  ["a bare LF after the request line", 400, `GET / HTTP/1.1\n${HOST}\r\n`],
  ["a bare LF after a field", 400, `GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n`],
  ["a bare CR in a value", 400, `GET / HTTP/1.1\r\n${HOST}X: a\rb\r\n\r\n`],
  ["a bare CR before the end", 400, `GET / HTTP/1.1\r\n${HOST}\r\r\n`],
  ["a folded line", 400, `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`],
  ["a space before the first field", 400, `GET / HTTP/1.1\r\n ${HOST}\r\n`],
  ["a space before the colon", 400, `GET / HTTP/1.1\r\n${HOST}X : a\r\n\r\n`],
  ["no colon", 400, `GET / HTTP/1.1\r\n${HOST}X\r\n\r\n`],
  ["no name", 400, `GET / HTTP/1.1\r\n${HOST}: a\r\n\r\n`],
  ["a name that is no token", 400, `GET / HTTP/1.1\r\n${HOST}X(y): a\r\n\r\n`],
  ["a NUL in a name", 400, `GET / HTTP/1.1\r\n${HOST}X\0: a\r\n\r\n`],
  ["a NUL in a value", 400, `GET / HTTP/1.1\r\n${HOST}X: a\0\r\n\r\n`],
  ["a DEL in a value", 400, `GET / HTTP/1.1\r\n${HOST}X: a\x7f\r\n\r\n`],
  ["an underscored length", 400, `GET / HTTP/1.1\r\n${HOST}Content_Length: 1\r\n\r\n`],
  ["no Host", 400, "GET / HTTP/1.1\r\n\r\n"],
  ["two Hosts", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"],
  ["a Host with a path", 400, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"],
  ["a Host with a space", 400, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"],
  ["a Host that contradicts the target", 400, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a userinfo in the target", 400, "GET http://u@a/ HTTP/1.1\r\nHost: u@a\r\n\r\n"],
  ["a fragment in the target", 400, `GET /admin#x HTTP/1.1\r\n${HOST}\r\n`],
  ["a relative target", 400, `GET x HTTP/1.1\r\n${HOST}\r\n`],
  ["an asterisk for GET", 400, `GET * HTTP/1.1\r\n${HOST}\r\n`],
  ["an empty target", 400, `GET  HTTP/1.1\r\n${HOST}\r\n`],
  ["two spaces before the version", 400, `GET /  HTTP/1.1\r\n${HOST}\r\n`],
  ["a space behind the version", 400, `GET / HTTP/1.1 \r\n${HOST}\r\n`],
  ["a tab for a space", 400, `GET\t/ HTTP/1.1\r\n${HOST}\r\n`],
  ["HTTP/0.9", 400, "GET /\r\n"],
  ["HTTP/1.2", 505, `GET / HTTP/1.2\r\n${HOST}\r\n`],
  ["HTTP/2.0", 505, `GET / HTTP/2.0\r\n${HOST}\r\n`],
  ["a version of two digits", 400, `GET / HTTP/1.10\r\n${HOST}\r\n`],
  ["a lower-case version", 400, `GET / http/1.1\r\n${HOST}\r\n`],
  ["a method that is no token", 400, `G@T / HTTP/1.1\r\n${HOST}\r\n`],
  ["a long method", 501, `${"A".repeat(METHOD_BYTES_MAX + 1)} / HTTP/1.1\r\n${HOST}\r\n`],
  ["CONNECT with a body", 400, `CONNECT a:1 HTTP/1.1\r\n${HOST}Content-Length: 1\r\n\r\n`],
  ["CONNECT with a path", 400, `CONNECT /x HTTP/1.1\r\n${HOST}\r\n`],
  ["a large head", 431, `GET / HTTP/1.1\r\n${HOST}X: ${"a".repeat(HEAD_BYTES_MAX)}\r\n\r\n`],
  ["a long target", 431, `GET /${"a".repeat(HEAD_BYTES_MAX)} HTTP/1.1\r\n${HOST}\r\n`],
  ["too many fields", 431, `GET / HTTP/1.1\r\n${HOST}${"X: a\r\n".repeat(HEAD_FIELDS_MAX)}\r\n`],
]

for (const [what, status, request] of REFUSED) {
  test(`a request with ${what} is refused with ${status}`, () => {
    const transcript = read("requests", request)
    expect(transcript.fault).toBeLessThan(0)
    expect(describeFault(transcript.fault).status).toBe(status)
  })
}

test("a head of 100 KiB and one of 500 fields pass", () => {
  expect(
    parseRequest(`GET / HTTP/1.1\r\n${HOST}X: ${"a".repeat(100 * 1024)}\r\n\r\n`).result,
  ).toBeGreaterThan(0)
  const fields = "X: a\r\n".repeat(HEAD_FIELDS_MAX - 1)
  expect(parseRequest(`GET / HTTP/1.1\r\n${HOST}${fields}\r\n`).result).toBeGreaterThan(0)
})

const RESPONSE_REFUSED: readonly (readonly [what: string, response: string])[] = [
  ["both lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"],
  ["a coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["a coding other than chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"],
  ["HTTP/2", "HTTP/2.0 200 OK\r\n\r\n"],
  ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
  ["a status below 100", "HTTP/1.1 099 OK\r\n\r\n"],
  ["a bare LF", "HTTP/1.1 200 OK\nA: b\r\n\r\n"],
  ["a control character in the reason", "HTTP/1.1 200 O\x01K\r\n\r\n"],
  ["a folded line", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n"],
]

for (const [what, response] of RESPONSE_REFUSED) {
  test(`a response with ${what} is refused`, () => {
    expect(parseResponse(response).result).toBeLessThan(0)
  })
}

test("the framing of a response follows RFC 9112 section 6.3", () => {
  const kind = (response: string, method: number) => parseResponse(response).head.bodyKind(method)
  const sized = "Content-Length: 5\r\n\r\n"
  expect(kind(`HTTP/1.1 200 OK\r\n${sized}`, METHOD_GET)).toBe(BODY_LENGTH)
  expect(kind(`HTTP/1.1 200 OK\r\n${sized}`, METHOD_HEAD)).toBe(BODY_NONE)
  expect(kind(`HTTP/1.1 304 Not Modified\r\n${sized}`, METHOD_GET)).toBe(BODY_NONE)
  expect(kind("HTTP/1.1 204 No Content\r\n\r\n", METHOD_GET)).toBe(BODY_NONE)
  expect(kind("HTTP/1.1 103 Early Hints\r\n\r\n", METHOD_GET)).toBe(BODY_NONE)
  expect(kind("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n", METHOD_GET)).toBe(BODY_CHUNKED)
  expect(kind("HTTP/1.0 200 OK\r\n\r\n", METHOD_POST)).toBe(BODY_UNTIL_CLOSE)
  expect(kind("HTTP/1.1 101 Switching Protocols\r\n\r\n", METHOD_GET)).toBe(BODY_TUNNEL)
  expect(kind("HTTP/1.1 200\r\n\r\n", METHOD_CONNECT)).toBe(BODY_TUNNEL)
  expect(kind(`HTTP/1.1 403 No\r\n${sized}`, METHOD_CONNECT)).toBe(BODY_LENGTH)
})

const CHUNKED = `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n`

test("a chunked body ends behind its trailers, and the next request begins there", () => {
  const body = '5;a="b c"\r\nhello\r\n00a ;x\r\n0123456789\r\n0\r\nX-Sum: 1\r\nY:\r\n\r\n'
  const transcript = read("requests", `${CHUNKED}${body}GET /next HTTP/1.1\r\n${HOST}\r\n`)
  expect(transcript.body).toBe(body)
  expect(transcript.fault).toBe(0)
  expect(transcript.events.length).toBe(4)
})

const BAD_BODIES: readonly (readonly [what: string, body: string])[] = [
  ["no size", "\r\nhello"],
  ["a signed size", "+5\r\nhello\r\n0\r\n\r\n"],
  ["a prefixed size", "0x5\r\nhello\r\n0\r\n\r\n"],
  ["a space before the size", " 5\r\nhello\r\n0\r\n\r\n"],
  ["a space behind the size", "5 \r\nhello\r\n0\r\n\r\n"],
  ["a size of 14 digits", "00000000000005\r\nhello\r\n0\r\n\r\n"],
  ["a bare LF behind the size", "5\nhello\r\n0\r\n\r\n"],
  ["a bare LF in an extension", "5;a\nhello\r\n0\r\n\r\n"],
  ["a bare CR in an extension", "5;a\rb\r\nhello\r\n0\r\n\r\n"],
  ["a chunk longer than its size", "5\r\nhelloo\r\n0\r\n\r\n"],
  ["a bare LF behind a chunk", "5\r\nhello\n0\r\n\r\n"],
  ["a long extension", `5;${"a".repeat(CHUNK_EXTENSION_BYTES_MAX + 1)}\r\nhello\r\n`],
  ["extensions that outweigh the data", `1;${"a".repeat(4000)}\r\nx\r\n`.repeat(6)],
  ["a trailer without a name", "0\r\n: a\r\n\r\n"],
  ["a folded trailer", "0\r\nA: b\r\n c\r\n\r\n"],
  ["a space before a trailer's colon", "0\r\nA : b\r\n\r\n"],
  ["a length among the trailers", "0\r\nContent-LENGTH: 5\r\n\r\n"],
  ["a coding among the trailers", "0\r\nTransfer-Encoding: chunked\r\n\r\n"],
  ["endless trailers", `0\r\n${`A: ${"b".repeat(1000)}\r\n`.repeat(TRAILER_BYTES_MAX / 900)}\r\n`],
  ["a bare CR at the end", "0\r\n\rX"],
]

for (const [what, body] of BAD_BODIES) {
  test(`a chunked body with ${what} is refused`, () => {
    const transcript = read("requests", CHUNKED + body)
    expect(transcript.fault).toBeLessThan(0)
    expect(body.startsWith(transcript.body)).toBe(true)
  })
}

test("signed chunks of an upload (85 bytes of extension each) may go on for ever", () => {
  const transcript = new Transcript("requests")
  transcript.feed(Buffer.from(CHUNKED))
  const chunk = Buffer.from(`400;chunk-signature=${"0".repeat(64)}\r\n${"x".repeat(1024)}\r\n`)
  for (let i = 0; i < 2000; i++) transcript.feed(chunk)
  expect(transcript.fault).toBe(0)
})

test("a spliced head loses the named fields, gains a line, and keeps all else as sent", () => {
  const { head } = parseResponse("HTTP/1.1 200 OK\r\nA: 1\r\nConnection: keep-alive\r\nb: 2\r\nA: 3\r\n\r\n")
  expect(Buffer.from(spliceHead(head, ["connection"], "Connection: close\r\n")).toString()).toBe(
    "HTTP/1.1 200 OK\r\nA: 1\r\nb: 2\r\nA: 3\r\nConnection: close\r\n\r\n",
  )
})
