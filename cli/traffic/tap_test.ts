// What `conduit tap` prints of requests, and what its flags mean.
import { expect, test } from "bun:test"
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import {
  TapConnectionClosedSchema,
  TapConnectionOpenedSchema,
  TapHeaders,
  TapPeerSchema,
  TapRequestBegunSchema,
  TapRequestEndedSchema,
  TapResponseHeadSchema,
} from "../../protos/mod.ts"
import { UsageError } from "../failure.ts"
import { jsonLine, printable } from "../printable.ts"
import { connectionJsonText, connectionLine, curlText, jsonText, momentLine } from "./tap_lines.ts"
import { share, statuses, tapQuestion } from "./tap_request.ts"
import type { FollowedRequest } from "./tap_stream.ts"

function request(begun: MessageInitShape<typeof TapRequestBegunSchema> = {}): FollowedRequest {
  return {
    id: "shop/web-1/7",
    shortId: "0:7",
    begun: create(TapRequestBegunSchema, {
      inbound: true,
      client: create(TapPeerSchema, {
        address: "10.0.0.1:4000",
        namespace: "shop",
        kind: "deployment",
        name: "load",
        pod: "load-1",
      }),
      server: create(TapPeerSchema, {
        address: "10.0.0.2:80",
        namespace: "shop",
        kind: "deployment",
        name: "web",
        pod: "web-1",
      }),
      tls: "true",
      method: "GET",
      scheme: "http",
      authority: "web.shop",
      path: "/a?b=1",
      ...begun,
    }),
    head: create(TapResponseHeadSchema, { status: 200, afterMs: 1.5 }),
    ended: create(TapRequestEndedSchema, { status: 200, afterMs: 2, responseBytes: 12n }),
  }
}

test("a request is three lines with one id", () => {
  const lines = (["begun", "head", "ended"] as const).map(moment => momentLine(request(), moment, false))
  const peers =
    "id=0:7 proxy=in src=10.0.0.1:4000 src_res=deploy/load dst=10.0.0.2:80 dst_res=deploy/web tls=true"
  expect(lines).toEqual([
    `req ${peers} :method=GET :authority=web.shop :path=/a?b=1\n`,
    `rsp ${peers} :status=200 latency=1500µs\n`,
    `end ${peers} duration=500µs response-length=12B\n`,
  ])
})

test("a raw connection is two lines with one id, and one of JSON", () => {
  const { begun } = request()
  const { client, server } = begun
  const connection = {
    id: "shop/web-1/9",
    shortId: "0:9",
    opened: create(TapConnectionOpenedSchema, {
      ...{
        inbound: true,
        ...(client === undefined ? {} : { client }),
        ...(server === undefined ? {} : { server }),
      },
      ...{ tls: "true", protocol: "tcp", timeMs: 1_000 },
    }),
    closed: create(TapConnectionClosedSchema, { afterMs: 1500, clientBytes: 7n, error: "ECONNRESET" }),
  }
  const ends =
    "id=0:9 proxy=in src=10.0.0.1:4000 src_res=deploy/load dst=10.0.0.2:80 dst_res=deploy/web tls=true protocol=tcp"
  expect(connectionLine(connection, "opened", false)).toBe(`opn ${ends}\n`)
  expect(connectionLine(connection, "closed", false)).toBe(
    `cls ${ends} duration=1.50s client-bytes=7B server-bytes=0B error=ECONNRESET\n`,
  )
  expect(JSON.parse(connectionJsonText(connection))).toMatchObject({
    ...{ id: "shop/web-1/9", time: "1970-01-01T00:00:01.000Z", direction: "inbound", protocol: "tcp" },
    ...{ from: { name: "load" }, serverName: null, durationMs: 1500, clientBytes: 7, serverBytes: 0 },
    error: "ECONNRESET",
  })
})

test("as JSON a request is one line, with null for what is not there", () => {
  const text = jsonText(request({ tls: "no_identity" }))
  expect(text.indexOf("\n")).toBe(text.length - 1)
  expect(JSON.parse(text)).toMatchObject({
    id: "shop/web-1/7",
    direction: "inbound",
    from: { kind: "deployment", name: "load", identity: null },
    tls: false,
    tlsReason: "no_identity",
    status: 200,
    grpcStatus: null,
    latencyMs: 1.5,
    durationMs: 2,
    responseBytes: 12,
    success: true,
    error: null,
  })
})

test("control characters of a path reach no terminal", () => {
  const evil = request({
    path: "/\u001b]0;owned\u0007\u009b2J",
    headers: [{ name: "x", value: "a\nend id=0:7" }],
  })
  for (const text of [momentLine(evil, "begun", true), jsonText(evil), curlText(evil)]) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
    expect(text.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f]/)
  }
  expect(momentLine(evil, "begun", false)).toContain(":path=/\\x1b]0;owned\\x07\\x9b2J")
  expect(printable("a\u202eb")).toBe("a\\u202eb")
  expect(JSON.parse(jsonLine({ path: "\u009b\u202e" }))).toEqual({ path: "\u009b\u202e" })
})

test("the command that repeats a request survives a shell, and says what it leaves out", () => {
  const headers = [
    { name: "host", value: "web.shop" },
    { name: "content-length", value: "3" },
    { name: "authorization", value: "[redacted]" },
    { name: "x-name", value: "it's" },
  ]
  const text = curlText(request({ method: "POST", path: "/$(reboot)", headers }))
  expect(text).toBe(
    "curl -X POST -H 'x-name: it'\\''s' 'http://web.shop/$(reboot)' # without authorization, the body\n",
  )
  const shell = Bun.spawnSync(["sh", "-c", text.replace("curl", "printf '%s|'")])
  expect(shell.stdout.toString()).toBe("-X|POST|-H|x-name: it's|http://web.shop/$(reboot)|")
})

test.each([
  ["5xx", { statusFrom: 500, statusTo: 599, failuresOnly: false }],
  ["404", { statusFrom: 404, statusTo: 404, failuresOnly: false }],
  ["400-499", { statusFrom: 400, statusTo: 499, failuresOnly: false }],
  ["failed", { statusFrom: 0, statusTo: 0, failuresOnly: true }],
])("--status %s is understood", (text, expected) => {
  expect(statuses(text)).toEqual(expected)
})

test("what cannot be asked is refused with what to type instead", () => {
  const ask = (args: Partial<Parameters<typeof tapQuestion>[0]>) => () =>
    tapQuestion({ _: ["deploy/web"], ...args }, 100, TapHeaders.UNSPECIFIED)("shop")
  expect(ask({ _: [] })).toThrow(UsageError)
  expect(ask({ _: ["deploy/web", "deploy/api"] })).toThrow("one resource is tapped at a time")
  expect(ask({ from: "deploy/a", to: "deploy/b" })).toThrow("--from and --to cannot be used together")
  expect(ask({ status: "6xx" })).toThrow("--status")
  expect(ask({ status: "500-400" })).toThrow("--status")
  expect(ask({ sample: "0" })).toThrow("--sample")
  expect(ask({ "max-rps": "10001" })).toThrow("--max-rps")
  expect(ask({ max: "none" })).toThrow("--max")
  expect(share("10%")).toBe(0.1)
  expect(ask({ to: "svc/cart", method: "get", "min-latency": "1s" })()).toMatchObject({
    target: { kind: "deployment", name: "web", namespace: "shop" },
    to: { kind: "service", name: "cart", namespace: "shop" },
    method: "GET",
    minLatencyMs: 1000,
    maxRps: 100,
  })
})
