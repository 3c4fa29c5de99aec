// A gRPC server and a client of it, run by Node for http2_grpc_test.ts: prints the server's port, reads the proxy's
// port from stdin, plays every case through it, and prints one JSON line for each.
import { createInterface } from "node:readline"
import grpc from "@grpc/grpc-js"

const raw = {
  requestSerialize: b => b,
  requestDeserialize: b => b,
  responseSerialize: b => b,
  responseDeserialize: b => b,
}
const method = (name, requestStream, responseStream) => ({
  path: `/test.Echo/${name}`,
  requestStream,
  responseStream,
  ...raw,
})
const service = {
  unary: method("Unary", false, false),
  fail: method("Fail", false, false),
  collect: method("Collect", true, false),
  split: method("Split", false, true),
  chat: method("Chat", true, true),
  hang: method("Hang", false, true),
  late: method("Late", false, true),
}

let cancelled = 0
const server = new grpc.Server({ "grpc.max_receive_message_length": -1 })
server.addService(service, {
  unary(call, done) {
    const trailer = new grpc.Metadata()
    trailer.set("x-trailer", "end")
    const head = new grpc.Metadata()
    head.set("x-head", call.metadata.get("x-request")[0] ?? "none")
    call.sendMetadata(head)
    done(null, call.request, trailer)
  },
  fail(_call, done) {
    done({ code: grpc.status.NOT_FOUND, details: "no such thing" })
  },
  collect(call, done) {
    let bytes = 0
    call.on("data", b => {
      bytes += b.length
    })
    call.on("end", () => done(null, Buffer.from(String(bytes))))
  },
  split(call) {
    for (let i = 0; i < 100; i++) call.write(Buffer.concat([call.request, Buffer.from(String(i))]))
    call.end()
  },
  chat(call) {
    call.on("data", b => call.write(b))
    call.on("end", () => call.end())
  },
  hang(call) {
    call.on("cancelled", () => {
      cancelled++
    })
    call.write(Buffer.from("first"))
  },
  late(call) {
    call.write(Buffer.from("first"))
    setTimeout(() => call.emit("error", { code: grpc.status.DATA_LOSS, details: "lost" }), 20)
  },
})

const result = (name, value) => process.stdout.write(`${JSON.stringify({ name, ...value })}\n`)

function collectStream(call) {
  return new Promise(resolve => {
    const got = []
    let code = null
    call.on("data", b => got.push(b))
    call.on("error", e => {
      code = e.code
    })
    call.on("status", s => setImmediate(() => resolve({ got, code: code ?? s.code })))
  })
}

async function play(proxyPort) {
  const client = new grpc.Client(`127.0.0.1:${proxyPort}`, grpc.credentials.createInsecure(), {
    "grpc.max_receive_message_length": -1,
  })
  const id = b => b
  const unary = (name, body, options = {}) =>
    new Promise(resolve => {
      const metadata = new grpc.Metadata()
      metadata.set("x-request", "seen")
      let head = null
      let trailer = null
      const call = client.makeUnaryRequest(
        `/test.Echo/${name}`,
        id,
        id,
        body,
        metadata,
        options,
        (error, value) =>
          setImmediate(() =>
            resolve({ code: error?.code ?? 0, details: error?.details ?? "", value, head, trailer }),
          ),
      )
      call.on("metadata", m => {
        head = m.get("x-head")[0]
      })
      call.on("status", s => {
        trailer = s.metadata.get("x-trailer")[0]
      })
    })

  const small = await unary("Unary", Buffer.from("hello"))
  result("unary", { code: small.code, value: String(small.value), head: small.head, trailer: small.trailer })
  const large = Buffer.alloc(4 * 1024 * 1024)
  for (let i = 0; i < large.length; i++) large[i] = (i * 31) & 0xff
  const echoed = await unary("Unary", large)
  result("4 MiB", { code: echoed.code, same: echoed.value?.equals(large) ?? false })
  const failed = await unary("Fail", Buffer.from("x"))
  result("trailers-only", { code: failed.code, details: failed.details })
  const missing = await unary("Missing", Buffer.from("x"))
  result("unimplemented", { code: missing.code })

  const collected = await new Promise(resolve => {
    const call = client.makeClientStreamRequest("/test.Echo/Collect", id, id, (error, value) =>
      resolve({ error, value }),
    )
    for (let i = 0; i < 200; i++) call.write(Buffer.alloc(5000, i))
    call.end()
  })
  result("client stream", { value: String(collected.value) })

  const split = await collectStream(
    client.makeServerStreamRequest("/test.Echo/Split", id, id, Buffer.alloc(3000, 65)),
  )
  result("server stream", {
    code: split.code,
    count: split.got.length,
    last: String(split.got.at(-1)?.subarray(3000)),
  })

  const chat = client.makeBidiStreamRequest("/test.Echo/Chat", id, id)
  const answers = []
  await new Promise(resolve => {
    chat.on("data", b => {
      answers.push(Number(b.toString()))
      if (answers.length < 50) chat.write(Buffer.from(String(answers.length)))
      else chat.end()
    })
    chat.on("status", resolve)
    chat.write(Buffer.from("0"))
  })
  result("bidi", { inOrder: answers.length === 50 && answers.every((n, i) => n === i) })

  const before = Date.now()
  const deadline = await collectStream(
    client.makeServerStreamRequest("/test.Echo/Hang", id, id, Buffer.from("x"), {
      deadline: Date.now() + 150,
    }),
  )
  result("deadline", { code: deadline.code, inTime: Date.now() - before < 2000 })

  const hanging = client.makeServerStreamRequest("/test.Echo/Hang", id, id, Buffer.from("x"))
  hanging.on("data", () => hanging.cancel())
  const hung = await collectStream(hanging)
  for (let i = 0; i < 100 && cancelled < 2; i++) await new Promise(r => setTimeout(r, 10))
  result("cancellation", { code: hung.code, seenByServer: cancelled })

  const late = await collectStream(
    client.makeServerStreamRequest("/test.Echo/Late", id, id, Buffer.from("x")),
  )
  result("late error", { code: late.code, count: late.got.length })

  const many = await Promise.all(
    Array.from({ length: 500 }, (_, i) => unary("Unary", Buffer.from(`message ${i}`))),
  )
  result("500 at once", {
    good: many.filter((m, i) => m.code === 0 && String(m.value) === `message ${i}`).length,
  })
  client.close()
  server.forceShutdown()
  process.exit(0)
}

server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error
  result("listening", { port })
})
createInterface({ input: process.stdin }).once("line", line => void play(Number(line)))
