// gRPC streams that pass many small messages, far more than any window, for grpc_flow_test.ts. Made of
// @grpc/grpc-js alone: `serve PORT`, or `call ADDRESS ROUNDS`, which prints one line of JSON.
import { credentials, Metadata, makeGenericClientConstructor, Server, ServerCredentials } from "@grpc/grpc-js"

const MESSAGES = 1000
const MESSAGE_BYTES = 1000
const IN_FLIGHT = 200
/** A consumer that is slow stops for this long in the middle. */
const PAUSE_MS = 150
/** A stream that takes longer has stalled: it takes some tens of milliseconds otherwise. */
const STALL_MS = 10_000

const bytes = value => value
const method = (name, requestStream, responseStream) => ({
  path: `/test.Flow/${name}`,
  requestStream,
  responseStream,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
})
const service = {
  down: method("Down", false, true),
  up: method("Up", true, false),
  echo: method("Echo", true, true),
}

function message(number) {
  const content = Buffer.alloc(MESSAGE_BYTES, number & 0xff)
  content.writeUInt32BE(number)
  return content
}

function writeAll(stream) {
  let sent = 0
  const more = () => {
    while (sent < MESSAGES) if (!stream.write(message(sent++))) return stream.once("drain", more)
    stream.end()
  }
  more()
}

/** Checks that messages come whole and in order; a slow one stops reading in the middle. */
function consume(stream, slow, onMessage = () => {}) {
  let next = 0
  stream.on("data", content => {
    if (!message(next).equals(content)) throw new Error(`message ${next} is not what was sent`)
    next++
    onMessage(next)
    if (!slow || next !== MESSAGES / 2) return
    stream.pause()
    setTimeout(() => stream.resume(), PAUSE_MS)
  })
  return () => next
}

function serve(port) {
  const server = new Server()
  server.addService(service, {
    down: call => writeAll(call),
    up(call, reply) {
      const received = consume(call, call.metadata.get("x-slow").length > 0)
      call.on("end", () => reply(null, Buffer.from(String(received()))))
    },
    echo(call) {
      call.on("data", content => call.write(content))
      call.on("end", () => call.end())
    },
  })
  server.bindAsync(`0.0.0.0:${port}`, ServerCredentials.createInsecure(), error => {
    if (error !== null) throw error
    console.log("listening")
  })
}

function streams(client) {
  const options = () => ({ deadline: Date.now() + STALL_MS })
  const settled = (stream, received) =>
    new Promise((resolve, reject) => {
      stream.on("error", error => reject(new Error(`${error.message} after ${received()} messages`)))
      stream.on("end", () => resolve(received()))
    })
  return {
    down(slow) {
      const stream = client.down(Buffer.alloc(0), options())
      return settled(stream, consume(stream, slow))
    },
    up(slow) {
      const metadata = new Metadata()
      if (slow) metadata.set("x-slow", "yes")
      return new Promise((resolve, reject) => {
        const stream = client.up(metadata, options(), (error, answer) =>
          error ? reject(error) : resolve(Number(answer)),
        )
        writeAll(stream)
      })
    },
    pingPong(slow) {
      const stream = client.echo(options())
      let sent = 0
      const ping = () => {
        if (sent < MESSAGES) stream.write(message(sent++))
        else if (sent++ === MESSAGES) stream.end()
      }
      const received = consume(stream, slow, ping)
      for (let n = 0; n < IN_FLIGHT; n++) ping()
      return settled(stream, received)
    },
  }
}

async function call(address, rounds) {
  const Client = makeGenericClientConstructor(service, "Flow")
  const client = new Client(address, credentials.createInsecure())
  const all = streams(client)
  const kinds = ["down", "up", "pingPong"]
  let whole = 0
  let slowestMs = 0
  const stalls = []
  const run = async (round, kind, slow) => {
    const begunMs = performance.now()
    const what = `round ${round}, ${kind}${slow ? " with a slow consumer" : ""}`
    try {
      const received = await all[kind](slow)
      if (received === MESSAGES) whole++
      else stalls.push(`${what}: ${received} messages`)
    } catch (error) {
      stalls.push(`${what}: ${error.message}`)
    }
    slowestMs = Math.max(slowestMs, performance.now() - begunMs)
  }
  for (let round = 1; round <= rounds; round++) {
    for (const kind of kinds) await run(round, kind, false)
    // And all at once on the one connection, where those who read slowly must not hold up the others.
    await Promise.all(kinds.flatMap(kind => [run(round, kind, false), run(round, kind, true)]))
  }
  console.log(JSON.stringify({ whole, stalls, slowestMs: Math.round(slowestMs) }))
  client.close()
}

const [, , what, target, rounds] = process.argv
if (what === "serve") serve(target)
else await call(target, Number(rounds))
