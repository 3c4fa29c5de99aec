// The webhook's port over real TLS: reviews and their answers, and whatever else somebody sends.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { connect, createSecureContext, type TLSSocket } from "node:tls"
import { makeServerCertificate, type ServerCertificatePem } from "../../deploy/identity/mod.ts"
import { KubeError } from "../../deploy/kubernetes/mod.ts"
import { MAX_REVIEW_BYTES, serveWebhook, type Webhook } from "./webhook.ts"

const NAME = "conduit-injector.conduit.svc"
let webhook: Webhook
let first: ServerCertificatePem
let served: ServerCertificatePem | null
let annotations: Record<string, string> | Error = { "conduit.io/inject": "enabled" }
const lines: string[] = []

function newCertificate(): Promise<ServerCertificatePem> {
  return makeServerCertificate({ name: "a", dnsNames: [NAME], nowMs: Date.now(), lifetimeMs: 60_000 })
}

beforeAll(async () => {
  first = await newCertificate()
  served = first
  webhook = await serve(300)
})

/** @param timeoutMs  how long a body may take */
async function serve(timeoutMs: number): Promise<Webhook> {
  return await serveWebhook({
    host: "127.0.0.1",
    port: 0,
    tls: {
      context: () =>
        served === null ? null : createSecureContext({ cert: served.certificate, key: served.key }),
      names: null,
      alpn: "http/1.1",
      client: "optional",
      plaintext: "refused",
      onRefused: () => {},
    },
    cluster: {
      annotationsOf: async () => {
        if (annotations instanceof Error) throw annotations
        return annotations
      },
      ownerOf: async () => null,
    },
    defaults: () => ({ conduitNamespace: "conduit", version: "1.2.3" }),
    log: { info: line => lines.push(line), warn: line => lines.push(line) },
    timeoutMs,
  })
}

afterAll(() => webhook.close())

const POD = { metadata: { generateName: "web-" }, spec: { containers: [{ name: "app" }] } }

function reviewOf(object: unknown = POD, request: object = {}): object {
  return {
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    request: {
      uid: "u-1",
      kind: { group: "", version: "v1", kind: "Pod" },
      operation: "CREATE",
      namespace: "shop",
      object,
      ...request,
    },
  }
}

async function post(
  body: unknown,
  options: { path?: string; type?: string; method?: string; port?: number } = {},
) {
  const {
    path = "/inject?timeout=10s",
    type = "application/json",
    method = "POST",
    port = webhook.port,
  } = options
  const response = await fetch(`https://127.0.0.1:${port}${path}`, {
    method,
    headers: { "content-type": type },
    ...(method === "GET" ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    tls: { ca: served?.certificate ?? "", serverName: NAME },
  } as RequestInit)
  return { status: response.status, text: await response.text() }
}

test("a pod gets its patch, under the uid that was asked with", async () => {
  const { status, text } = await post(reviewOf())
  expect(status).toBe(200)
  const { kind, response } = JSON.parse(text)
  expect({ kind, ...response, patch: undefined }).toMatchObject({
    kind: "AdmissionReview",
    uid: "u-1",
    allowed: true,
    patchType: "JSONPatch",
  })
  const patch = JSON.parse(Buffer.from(response.patch, "base64").toString())
  expect(patch.map((one: { path: string }) => one.path)).toContain("/spec/initContainers")
})

test("a skip is a warning, and a refusal a status with a sentence", async () => {
  const skipped = JSON.parse(
    (await post(reviewOf({ ...POD, spec: { ...POD.spec, hostNetwork: true } }))).text,
  )
  expect(skipped.response.warnings).toEqual([
    "conduit: it gets no proxy: hostNetwork: redirecting it would redirect the whole node",
  ])
  const metadata = { annotations: { "config.conduit.io/proxy-uid": "0" } }
  const { response } = JSON.parse((await post(reviewOf({ ...POD, metadata }))).text)
  expect(response).toMatchObject({ uid: "u-1", allowed: false, status: { code: 422, reason: "Invalid" } })
  expect(response.status.message).toContain('annotation config.conduit.io/proxy-uid: "0" cannot be used')
})

test.each([
  ["an update", { operation: "UPDATE" }],
  ["another kind", { kind: { group: "apps", version: "v1", kind: "Deployment" } }],
  ["a subresource", { subResource: "ephemeralcontainers" }],
])("%s is let in as it is", async (_, request) => {
  const { text } = await post(reviewOf(POD, request))
  expect(JSON.parse(text).response).toEqual({ uid: "u-1", allowed: true })
})

test.each([
  ["no JSON", "{", "the body is no JSON"],
  ["nothing", "", "the body is no JSON"],
  ["a list", "[]", "the body is missing or no object"],
  [
    "an old review",
    { apiVersion: "admission.k8s.io/v1beta1", kind: "AdmissionReview" },
    "must be AdmissionReview",
  ],
  ["no request", { apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview" }, "request is missing"],
  ["no uid", reviewOf(POD, { uid: "" }), "request.uid is missing"],
  ["a path for a namespace", reviewOf(POD, { namespace: "../../secrets" }), "not the name of a namespace"],
  ["no object", reviewOf(null), "request.object is missing"],
  ["no containers", reviewOf({ spec: {} }), "containers is no list"],
  ["containers that are none", reviewOf({ spec: { containers: [null] } }), "an item of request.object.spec"],
  ["annotations that are no text", reviewOf({ ...POD, metadata: { annotations: { a: 1 } } }), "is no text"],
  [
    "owners that are none",
    reviewOf({ ...POD, metadata: { ownerReferences: [7] } }),
    "an item of request.object",
  ],
])("%s is answered 400 with a sentence", async (_, body, sentence) => {
  const { status, text } = await post(body)
  expect(text).toContain(sentence)
  expect({ status, lines: text.split("\n").length }).toEqual({ status: 400, lines: 2 })
})

test("other paths, methods and types are told what is served", async () => {
  expect(await post(reviewOf(), { path: "/" })).toEqual({
    status: 404,
    text: "conduit: only /inject is served here\n",
  })
  expect((await post("", { method: "GET" })).status).toBe(405)
  expect((await post(reviewOf(), { type: "text/plain" })).status).toBe(415)
})

test("a body that says that it is too large is refused before it is sent", async () => {
  const socket = await dial()
  socket.write(head(`content-length: ${MAX_REVIEW_BYTES + 1}`))
  expect(await answerOf(socket)).toStartWith("HTTP/1.1 413")
})

test("a body that is too large without saying so is refused while it is sent, and its connection closed", async () => {
  const socket = await dial()
  const closed = new Promise(resolve => socket.once("close", resolve))
  const chunk = "y".repeat(1024 * 1024)
  socket.write(head("transfer-encoding: chunked"))
  const sending = setInterval(() => socket.write(`100000\r\n${chunk}\r\n`), 5)
  expect(await answerOf(socket)).toStartWith("HTTP/1.1 413")
  await closed
  clearInterval(sending)
})

test("a body that does not come is told so, and its connection closed", async () => {
  const socket = await dial()
  socket.write(`${head("content-length: 100")}{`)
  const closed = new Promise(resolve => socket.once("close", resolve))
  expect(await answerOf(socket)).toStartWith("HTTP/1.1 408")
  await closed
})

test("who sends too much at once together is asked to come again, and what is over is forgotten", async () => {
  // A busy machine takes its time to read so much.
  const patient = await serve(20_000)
  const { port } = patient
  try {
    const part = "z".repeat(MAX_REVIEW_BYTES - 1)
    const sockets = await Promise.all(Array.from({ length: 12 }, () => dial(port)))
    const answers = sockets.map(socket => {
      socket.write(`${head(`content-length: ${MAX_REVIEW_BYTES}`)}${part}`)
      return answerOf(socket)
    })
    expect(await Promise.race(answers)).toStartWith("HTTP/1.1 503")
    for (const socket of sockets) socket.destroy()
    let status = 503
    for (let tries = 0; status === 503 && tries < 100; tries++) {
      if (tries > 0) await Bun.sleep(50)
      status = (await post(reviewOf(), { port })).status
    }
    expect(status).toBe(200)
    expect(patient.counts.injected).toBe(1)
    expect(patient.counts.malformed).toBeGreaterThan(0)
  } finally {
    patient.close()
  }
})

test("a pod of two megabytes is taken", async () => {
  const metadata = { annotations: { note: "x".repeat(2 * 1024 * 1024) } }
  expect((await post(reviewOf({ ...POD, metadata }))).status).toBe(200)
})

test("a namespace that cannot be asked for is a 500, so that the failure policy decides", async () => {
  annotations = new KubeError("no answer within 4 s")
  const { status, text } = await post(reviewOf())
  expect({ status, text }).toEqual({ status: 500, text: "conduit: no answer within 4 s\n" })
  expect(lines).toContain("a pod could not be looked at: no answer within 4 s")
  annotations = { "conduit.io/inject": "enabled" }
})

test("a new certificate serves new connections while an old one goes on", async () => {
  const old = await dial()
  served = await newCertificate()
  expect((await post(reviewOf())).status).toBe(200)
  const body = JSON.stringify(reviewOf())
  old.write(`${head(`content-length: ${body.length}`)}${body}`)
  expect(await answerOf(old)).toStartWith("HTTP/1.1 200")
  old.destroy()
})

test("before there is a certificate, and in plaintext, nobody is served", async () => {
  const before = served
  served = null
  await expect(post(reviewOf())).rejects.toThrow()
  served = before
  await expect(fetch(`http://127.0.0.1:${webhook.port}/inject`)).rejects.toThrow()
})

test("each outcome is counted", () => {
  const { injected, skipped, refused, untouched, failed, malformed } = webhook.counts
  expect({ skipped, refused, untouched, failed }).toEqual({ skipped: 1, refused: 1, untouched: 3, failed: 1 })
  expect(injected).toBe(4)
  expect(malformed).toBeGreaterThan(15)
})

test("when it drains, callers are asked to connect anew", async () => {
  webhook.drain()
  const socket = await dial()
  const body = JSON.stringify(reviewOf())
  socket.write(`${head(`content-length: ${body.length}`)}${body}`)
  expect((await answerOf(socket)).toLowerCase()).toContain("connection: close")
})

function head(length: string): string {
  return `POST /inject HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n${length}\r\n\r\n`
}

async function dial(port = webhook.port): Promise<TLSSocket> {
  const socket = connect({
    host: "127.0.0.1",
    port,
    ca: served?.certificate ?? "",
    servername: NAME,
    ALPNProtocols: ["http/1.1"],
  })
  await new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject))
  socket.on("error", () => {})
  return socket
}

function answerOf(socket: TLSSocket): Promise<string> {
  return new Promise(resolve => {
    let text = ""
    socket.on("data", (chunk: Buffer) => {
      text += chunk
      if (text.includes("\r\n\r\n")) resolve(text)
    })
    socket.once("close", () => resolve(text))
  })
}
