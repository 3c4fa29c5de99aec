// Applications that take part in a trace, for tracing_test.ts: `serve` answers with the headers that it saw, by HTTP/1 on
// 8081, HTTP/2 on 8080 and gRPC on 8082; `call ADDRESS TRACEPARENT` makes one gRPC call and prints what the server saw.
import { createServer } from "node:http2"
import { credentials, Metadata, makeGenericClientConstructor, Server, ServerCredentials } from "@grpc/grpc-js"

const text = { serialize: value => Buffer.from(value), deserialize: value => value.toString() }
const service = {
  seen: {
    path: "/test.Trace/Seen",
    requestStream: false,
    responseStream: false,
    requestSerialize: text.serialize,
    requestDeserialize: text.deserialize,
    responseSerialize: text.serialize,
    responseDeserialize: text.deserialize,
  },
}

const [, , mode, address, traceparent] = process.argv
if (mode === "serve") {
  Bun.serve({ hostname: "::", port: 8081, fetch: request => Response.json(request.headers.toJSON()) })
  createServer()
    .on("stream", (stream, headers) => {
      stream.respond({ ":status": 200 })
      stream.end(JSON.stringify(headers))
    })
    .listen(8080, "::")
  const server = new Server()
  server.addService(service, {
    seen: (call, callback) => callback(null, JSON.stringify(call.metadata.getMap())),
  })
  server.bindAsync("0.0.0.0:8082", ServerCredentials.createInsecure(), error => {
    if (error !== null) throw error
    process.stdout.write("listening\n")
  })
} else {
  const metadata = new Metadata()
  metadata.set("traceparent", traceparent)
  const client = new (makeGenericClientConstructor(service, "Trace"))(address, credentials.createInsecure())
  client.seen("?", metadata, (error, seen) => {
    process.stdout.write(error === null ? seen : String(error))
    client.close()
  })
}
