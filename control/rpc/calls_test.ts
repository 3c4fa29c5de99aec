// Calls of the public API as any client makes them: JSON by plain HTTP, pages, field masks, deadlines, errors.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { createClient, type Transport } from "@connectrpc/connect"
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node"
import {
  ApiService,
  createApiClient,
  ErrorDetailSchema,
  MAX_PAGE_ROWS,
  rowsOf,
  wholeLists,
} from "../../protos/mod.ts"
import { grpcHealthV1 } from "../../protos/grpc/mod.ts"
import { serveApi } from "../api/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import type { Listening } from "../serve/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"

const NAMES = ["cart", "db", "mail", "stock", "web"]
const mistakes: string[] = []
let server: Listening
let base = ""
let store: ClusterStore
/** What the telemetry of the test waits for, or throws. */
let asked: () => Promise<void> = async () => {}

beforeAll(async () => {
  store = new ClusterStore()
  const yaml = NAMES.map(
    name =>
      `{ apiVersion: apps/v1, kind: Deployment, metadata: { name: ${name}, namespace: shop }, spec: { template: {} } }`,
  )
  const { objects } = readManifestFile("shop.yml", yaml.join("\n---\n"))
  store.apply([...objects.values()].map(put => ({ put })))
  const local = localQueries(new TelemetryStore(0), () => 0)
  const queries = {
    ...local,
    traffic: async (...of: Parameters<typeof local.traffic>) => {
      await asked()
      return local.traffic(...of)
    },
  }
  server = await serveApi(store, queries, {
    ...{ host: "127.0.0.1", port: 0, version: "1" },
    onMistake: call => mistakes.push(call),
  })
  base = `http://127.0.0.1:${server.port}`
})

afterAll(() => server.close())

const DEPLOYMENTS = { target: { kind: "deployment", namespace: "shop" } }

async function post(call: string, body: string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${base}/conduit.api.v1.ApiService/${call}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
  })
  const json = (await answer.json()) as {
    code?: string
    message?: string
    rows?: unknown[]
    details?: { debug: unknown }[]
  }
  return { status: answer.status, json, detail: json.details?.[0]?.debug }
}

const transports: [string, () => Transport][] = [
  ["Connect", () => createConnectTransport({ baseUrl: base, httpVersion: "1.1" })],
  ["gRPC", () => createGrpcTransport({ baseUrl: base })],
]

test("health says not serving until the cluster is read, and tells who watches", async () => {
  const health = createClient(grpcHealthV1.Health, createGrpcTransport({ baseUrl: base }))
  const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpcHealthV1.HealthCheckResponse_ServingStatus
  expect((await health.check({})).status).toBe(NOT_SERVING)
  const plain = createClient(
    grpcHealthV1.Health,
    createConnectTransport({ baseUrl: base, httpVersion: "1.1" }),
  )
  await expect(plain.check({ service: "nobody" })).rejects.toThrow('no service "nobody" is served here')
  const end = new AbortController()
  const watch = (service: string) => health.watch({ service }, { signal: end.signal })[Symbol.asyncIterator]()
  const api = watch(ApiService.typeName)
  expect(await api.next()).toMatchObject({ value: { status: NOT_SERVING } })
  store.markSynced()
  expect(await api.next()).toMatchObject({ value: { status: SERVING } })
  expect(await watch("nobody").next()).toMatchObject({ value: { status: SERVICE_UNKNOWN } })
  end.abort()
  await expect(api.next()).rejects.toThrow("[canceled]")
})

test("JSON is taken by POST, and by GET where nothing changes", async () => {
  const { status, json } = await post(
    "Stat",
    JSON.stringify({ ...DEPLOYMENTS, pageSize: 1, fields: "resource.name" }),
  )
  expect({ status, rows: json.rows }).toEqual({ status: 200, rows: [{ resource: { name: "cart" } }] })
  const query = new URLSearchParams({ encoding: "json", message: JSON.stringify(DEPLOYMENTS) })
  const got = await fetch(`${base}/conduit.api.v1.ApiService/Stat?${query}`)
  expect(((await got.json()) as { rows: unknown[] }).rows).toHaveLength(5)
})

test.each([
  [
    "an unknown field",
    '{"wnd":1}',
    { reason: "UNKNOWN_FIELD", field: "wnd", hint: expect.stringContaining("windowMs") },
  ],
  [
    "an unknown field within",
    '{"target":{"kin":1}}',
    { reason: "UNKNOWN_FIELD", field: "kin", hint: expect.stringContaining("kind") },
  ],
  ["a value of another type", '{"windowMs":"x"}', { reason: "BAD_VALUE", field: "window_ms" }],
  ["no JSON", "{", { reason: "BAD_JSON" }],
  ["an unknown kind", '{"target":{"kind":"x"}}', { reason: "UNKNOWN_KIND", field: "target.kind" }],
  [
    "a window out of range",
    '{"windowMs":5,"target":{"kind":"pod"}}',
    { reason: "WINDOW_OUT_OF_RANGE", field: "window_ms" },
  ],
  ["a bad selector", '{"target":{"kind":"pod","labelSelector":"a in"}}', { reason: "BAD_LABEL_SELECTOR" }],
  [
    "a field mask that leads nowhere",
    '{"fields":"http.rpz"}',
    { reason: "UNKNOWN_FIELD", field: "fields", hint: expect.stringContaining("rps") },
  ],
  ["a field mask into a number", '{"fields":"http.rps.x"}', { reason: "UNKNOWN_FIELD", field: "fields" }],
  ["a page too large", '{"pageSize":5001}', { reason: "PAGE_SIZE_TOO_LARGE", field: "page_size" }],
  [
    "a page token of our making",
    '{"pageToken":"2-0123456789ab"}',
    { reason: "PAGE_TOKEN_INVALID", field: "page_token" },
  ],
])("%s is an error in JSON with a stable code, a reason and the field", async (_what, body, detail) => {
  const answer = await post("Stat", body)
  expect(answer).toMatchObject({ status: 400, json: { code: "invalid_argument" }, detail })
})

test.each(transports)("over %s too an error bears a detail", async (_name, transport) => {
  const api = createApiClient(transport())
  const error = await api.stat({ target: { kind: "deployment", name: "nobody" } }).catch(thrown => thrown)
  expect(error.findDetails(ErrorDetailSchema)).toMatchObject([{ reason: "NOT_KNOWN", field: "target.name" }])
})

test("a mistake of the control plane's own is told to its log, and to its caller without its text", async () => {
  asked = async () => {
    throw new TypeError("secret of the house")
  }
  const { status, json, detail } = await post("Stat", JSON.stringify(DEPLOYMENTS))
  asked = async () => {}
  expect({ status, code: json.code, detail }).toMatchObject({
    status: 500,
    code: "internal",
    detail: { reason: "INTERNAL" },
  })
  expect(JSON.stringify(json)).not.toContain("secret")
  expect(mistakes).toEqual(["/conduit.api.v1.ApiService/Stat"])
})

test("pages follow each other to the end, and a token holds for its question only", async () => {
  const api = createApiClient(createConnectTransport({ baseUrl: base, httpVersion: "1.1" }))
  const pages: string[][] = []
  let pageToken = ""
  do {
    const page = await api.stat({ ...DEPLOYMENTS, pageSize: 2, pageToken })
    pages.push(page.rows.map(row => row.resource?.name ?? ""))
    pageToken = page.nextPageToken
  } while (pageToken !== "")
  expect(pages).toEqual([["cart", "db"], ["mail", "stock"], ["web"]])
  const { nextPageToken } = await api.stat({ ...DEPLOYMENTS, pageSize: 2 })
  const other = api.stat({ target: { kind: "deployment" }, pageToken: nextPageToken })
  await expect(other).rejects.toThrow("the page_token was given for another request")
})

test("a client that wants whole lists fetches all pages", async () => {
  let calls = 0
  const transport = createConnectTransport({
    ...{ baseUrl: base, httpVersion: "1.1" },
    interceptors: [
      wholeLists,
      // A server whose pages are small.
      next => request => {
        calls++
        const { pageToken } = request.message as { pageToken?: string }
        const message = { ...request.message, pageSize: 2, pageToken }
        return next({ ...request, message } as typeof request)
      },
    ],
  })
  const { rows, nextPageToken } = await createApiClient(transport).stat(DEPLOYMENTS)
  expect(rows.map(row => row.resource?.name)).toEqual(NAMES)
  expect({ calls, nextPageToken }).toEqual({ calls: 3, nextPageToken: "" })
})

test.each(transports)(
  "a deadline over %s is kept, whatever the answer waits for",
  async (_name, transport) => {
    const { promise: never } = Promise.withResolvers<void>()
    asked = () => never
    const begun = performance.now()
    // The client's own timer would hide the server's answer: it is asked to wait longer than it says.
    const api = createApiClient(transport())
    const name = _name === "gRPC" ? "grpc-timeout" : "connect-timeout-ms"
    const headers = { [name]: _name === "gRPC" ? "50m" : "50" }
    await expect(api.stat(DEPLOYMENTS, { headers })).rejects.toThrow("[deadline_exceeded]")
    asked = async () => {}
    expect(performance.now() - begun).toBeLessThan(5_000)
  },
)

test("every call whose answer is a list of rows says so in full: pages and field mask go together", () => {
  const paged = ApiService.methods.filter(method => rowsOf(method) !== null)
  expect(paged.map(method => method.name)).toEqual(
    expect.arrayContaining(["Stat", "Routes", "Edges", "Endpoints", "Policies"]),
  )
  for (const { input } of paged) {
    expect(input.field.fields?.message?.typeName).toBe("google.protobuf.FieldMask")
    const said = input.field.pageSize?.name
    expect(said).toBe("page_size")
  }
  for (const { input, output, methodKind } of ApiService.methods) {
    const half = [input.field.pageSize, input.field.pageToken, output.field.nextPageToken]
    const present = half.filter(field => field !== undefined).length
    expect(methodKind === "unary" && present > 0 ? present : 3).toBe(3)
  }
  expect(MAX_PAGE_ROWS).toBe(5000)
})
