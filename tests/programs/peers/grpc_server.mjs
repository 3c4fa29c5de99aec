// A server made of @grpc/grpc-js alone, for tests/programs.
import { Metadata, Server, ServerCredentials, status } from "@grpc/grpc-js"
import { service } from "./grpc_service.mjs"

const text = value => Buffer.from(String(value))
let cancels = 0

const server = new Server()
server.addService(service, {
  unary(call, reply) {
    const metadata = new Metadata()
    metadata.set("x-initial", `seen-${call.metadata.get("x-sent")[0] ?? ""}`)
    call.sendMetadata(metadata)
    const trailer = new Metadata()
    trailer.set("x-trailer-bin", Buffer.from([0, 1, 254, 255]))
    reply(null, call.request, trailer)
  },
  clientStream(call, reply) {
    let sum = 0
    call.on("data", message => {
      sum += Number(message)
    })
    call.on("end", () => reply(null, text(sum)))
  },
  serverStream(call) {
    const [count, size] = String(call.request).split(" ").map(Number)
    let sent = 0
    const more = () => {
      while (sent < count) {
        const message = Buffer.alloc(Math.max(8, size || 0), 0x20)
        message.write(String(sent++))
        if (!call.write(message)) return call.once("drain", more)
      }
      call.end()
    }
    more()
  },
  bidi(call) {
    call.on("data", message => call.write(text(Number(message) + 1)))
    call.on("end", () => call.end())
  },
  hang(call) {
    call.on("cancelled", () => cancels++)
  },
  endless(call) {
    const timer = setInterval(() => call.write(text("tick")), 20)
    call.on("cancelled", () => {
      clearInterval(timer)
      cancels++
    })
  },
  cancels(_call, reply) {
    reply(null, text(cancels))
  },
  fail(_call, reply) {
    const metadata = new Metadata()
    metadata.set("x-reason", "because")
    reply({ code: status.NOT_FOUND, details: "no such thing: ü", metadata })
  },
  lateError(call) {
    for (let n = 0; n < 3; n++) call.write(text(n))
    call.emit("error", { code: status.ABORTED, details: "changed my mind" })
  },
})

server.bindAsync(`0.0.0.0:${process.argv[2]}`, ServerCredentials.createInsecure(), error => {
  if (error === null) return
  console.error(error.message)
  process.exit(1)
})
