// The dashboard's server on loopback, before an API of the test's own.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gunzipSync, gzipSync } from "node:zlib"
import { fromBinary } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { connectNodeAdapter, createConnectTransport } from "@connectrpc/connect-node"
import {
  ApiService,
  createApiClient,
  createTapClient,
  RoutesResponseSchema,
  TapService,
} from "../../protos/mod.ts"
import { serveWeb, type WebServer } from "./service.ts"

const folder = mkdtempSync(join(tmpdir(), "conduit-web-"))
let api: Server
let web: WebServer
let base = ""
const calls = { routes: 0 }

beforeAll(async () => {
  mkdirSync(join(folder, "assets"))
  writeFileSync(join(folder, "index.html"), "<!doctype html><title>Conduit</title>")
  writeFileSync(join(folder, "assets/index-1.js"), "code()")
  writeFileSync(join(folder, "assets/index-1.js.gz"), gzipSync("code()"))
  writeFileSync(join(folder, "secret.key"), "not of a kind that pages have")
  api = createServer(
    connectNodeAdapter({
      routes: router =>
        router
          .service(TapService, {
            async *tap(_request, { requestHeader }) {
              // More than one, and the second only once the first has been read: it is passed on as it comes.
              yield { state: { failures: [requestHeader.get("authorization") ?? "nobody"] } }
              yield { state: { proxies: 2 } }
            },
          })
          .service(ApiService, {
            version: () => ({ controlPlane: "1.2.3", proxies: [] }),
            routes: () => {
              calls.routes++
              const rows = Array.from({ length: 200 }, (_, index) => ({
                ...{ route: `GET /${index}`, http: { responses: BigInt(index) } },
              }))
              return { rows }
            },
            stat: () => {
              throw new ConnectError("window_ms must be from 1000", Code.InvalidArgument)
            },
            // biome-ignore lint/correctness/useYield: it fails before it has anything to say
            async *proxyMetrics() {
              throw new Error("must not be asked")
            },
            async *identities() {
              yield { pod: "a" }
              yield { pod: "b" }
            },
          }),
    }),
  )
  await new Promise<void>(resolve => api.listen(0, "127.0.0.1", resolve))
  const address = `127.0.0.1:${(api.address() as AddressInfo).port}`
  const transport = createConnectTransport({ baseUrl: `http://${address}`, httpVersion: "1.1" })
  web = await serveWeb({
    ...{ files: folder, apiAddress: address, viewers: "forwarded", hosts: new Set<string>() },
    ...{ host: "127.0.0.1", port: 0, transport: () => transport },
  })
  base = `http://127.0.0.1:${web.port}`
})

afterAll(() => {
  web.close()
  api.close()
  rmSync(folder, { recursive: true })
})

test("the page is asked for again each time, and sent again only when it changed", async () => {
  const first = await fetch(`${base}/`)
  expect(first.headers.get("cache-control")).toBe("no-cache")
  expect(first.headers.get("content-security-policy")).toContain("script-src 'self';")
  expect(first.headers.get("content-security-policy")).not.toContain("unsafe")
  const etag = first.headers.get("etag") ?? ""
  expect((await fetch(`${base}/`, { headers: { "if-none-match": etag } })).status).toBe(304)
})

test("a file that is named by its content is kept for good, and comes compressed", async () => {
  const file = await fetch(`${base}/assets/index-1.js`, { headers: { "accept-encoding": "br, gzip;q=1.0" } })
  expect(file.headers.get("cache-control")).toContain("immutable")
  expect(file.headers.get("content-encoding")).toBe("gzip")
  expect(await file.text()).toBe("code()")
  expect((await fetch(`${base}/assets/index-0.js`)).status).toBe(404)
})

test("every place of the page is the page; other files of the folder are none", async () => {
  const place = await fetch(`${base}/deployments/shop/web.v1?window=60`)
  expect(await place.text()).toContain("<title>Conduit")
  expect(await (await fetch(`${base}/secret.key`)).text()).toContain("<title>Conduit")
  expect(await (await fetch(`${base}/..%2fsecret.key`)).text()).toContain("<title>Conduit")
  expect((await fetch(`${base}/`, { method: "POST" })).status).toBe(405)
})

test("calls go on to the API, and its answers come back as they are", async () => {
  const client = createApiClient(createConnectTransport({ baseUrl: base, httpVersion: "1.1" }))
  expect((await client.version({})).controlPlane).toBe("1.2.3")
  const pods: string[] = []
  for await (const { pod } of client.identities({})) pods.push(pod)
  expect(pods).toEqual(["a", "b"])
  const error = await client.stat({}).catch((error: unknown) => ConnectError.from(error))
  expect(error).toMatchObject({ code: Code.InvalidArgument, rawMessage: "window_ms must be from 1000" })
})

test("pages that ask the same are told the same bytes, compressed for those who take it, by one call of the API", async () => {
  const before = calls.routes
  const ask = async (encoding: string) => {
    const url = `${base}/conduit.api.v1.ApiService/Routes`
    const headers = { "content-type": "application/proto", "accept-encoding": encoding }
    // windowMs, 60000.
    const body = new Uint8Array([0x10, 0xe0, 0xd4, 0x03])
    const answer = await fetch(url, { method: "POST", body, headers, decompress: false })
    return { encoding: answer.headers.get("content-encoding"), bytes: await answer.bytes() }
  }
  const [one, other, plain] = await Promise.all([ask("gzip, br"), ask("gzip"), ask("identity")])
  expect([one.encoding, other.encoding, plain.encoding]).toEqual(["gzip", "gzip", null])
  expect(one.bytes).toEqual(other.bytes)
  expect(Buffer.from(plain.bytes).equals(gunzipSync(new Uint8Array(one.bytes)))).toBe(true)
  const { rows } = fromBinary(RoutesResponseSchema, plain.bytes)
  expect(rows.map(({ route }) => route)).toEqual(Array.from({ length: 200 }, (_, index) => `GET /${index}`))
  expect(rows[7]?.http?.responses).toBe(7n)
  expect(calls.routes).toBe(before + 1)
})

test("a question that is no message, or longer than is shared, is answered by what the API says of it", async () => {
  const ask = async (body: Uint8Array<ArrayBuffer>) => {
    const url = `${base}/conduit.api.v1.ApiService/Routes`
    const answer = await fetch(url, {
      method: "POST",
      body,
      headers: { "content-type": "application/proto" },
    })
    return [answer.status, answer.headers.get("content-type")]
  }
  expect(await ask(new Uint8Array([0x0a, 0xff]))).toEqual([400, "application/json"])
  // Field 100, of 2,000 bytes, which no version of it has.
  expect(await ask(new Uint8Array([0xa2, 0x06, 0xd0, 0x0f, ...Array(2000).fill(0)]))).toEqual([
    200,
    "application/proto",
  ])
})

test("a call that is not the dashboard's to make is not there", async () => {
  const client = createApiClient(createConnectTransport({ baseUrl: base, httpVersion: "1.1" }))
  const ask = async (): Promise<void> => {
    for await (const _ of client.proxyMetrics({}));
  }
  expect(await ask().catch((error: unknown) => ConnectError.from(error).code)).toBe(Code.Unimplemented)
})

test("live calls go on by the token of who looks, and by nothing of the dashboard's own", async () => {
  const client = createTapClient(createConnectTransport({ baseUrl: base, httpVersion: "1.1" }))
  const tapped = async (headers: Record<string, string>) => {
    const heard = []
    for await (const { state } of client.tap({}, { headers }))
      heard.push(state?.failures[0] ?? state?.proxies)
    return heard
  }
  expect(await tapped({ authorization: "Bearer mine" })).toEqual(["Bearer mine", 2])
  expect(await tapped({}).catch((error: unknown) => ConnectError.from(error).code)).toBe(Code.Unauthenticated)
})

test("a foreign Host or Origin is refused with a sentence, before anything is asked", async () => {
  const { calls } = web.counts
  const asked = async (headers: Record<string, string>) => {
    const url = `${base}/conduit.api.v1.ApiService/Version`
    const body = { method: "POST", body: "{}" }
    return await fetch(url, { ...body, headers: { "content-type": "application/json", ...headers } })
  }
  expect((await asked({ origin: base })).status).toBe(200)
  for (const headers of [{ host: "evil.example" }, { origin: "http://evil.example" }]) {
    const answer = await asked(headers)
    expect([answer.status, await answer.text()]).toEqual([403, expect.stringContaining("conduit: ")])
    expect(answer.headers.get("access-control-allow-origin")).toBe(null)
  }
  expect(web.counts.calls).toBe(calls + 1)
})
