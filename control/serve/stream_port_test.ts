// A port of one gRPC method: its streams are begun, and whatever else is asked for is not there.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { connect } from "node:http2"
import type { Listening } from "./listener.ts"
import { listenForStreams } from "./stream_port.ts"

const PATH = "/conduit.test.v1.TestService/Watch"
const peers: unknown[] = []
let served: Listening

beforeAll(async () => {
  served = await listenForStreams({
    host: "127.0.0.1",
    port: 0,
    methods: {
      [PATH]: (stream, peer) => {
        peers.push(peer)
        return { onMessage: message => void stream.sendMessage(message), onClose() {} }
      },
    },
  })
})
afterAll(() => served.close())

/** Sends one message of one byte. @returns status, and what came as the first chunk */
async function ask(path: string, type: string): Promise<{ status: number; first: Buffer | null }> {
  const session = connect(`http://127.0.0.1:${served.port}`)
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": type })
  try {
    return await new Promise((resolve, reject) => {
      let status = 0
      session.on("error", reject)
      stream.on("error", reject)
      stream.on("response", fields => {
        status = Number(fields[":status"])
      })
      stream.on("data", (first: Buffer) => resolve({ status, first }))
      stream.on("end", () => resolve({ status, first: null }))
      stream.write(Buffer.from([0, 0, 0, 0, 1, 42]))
    })
  } finally {
    session.destroy()
  }
}

test("the method's streams are begun, by whoever asks where nobody has to prove anything", async () => {
  const { status, first } = await ask(PATH, "application/grpc+proto")
  expect([status, first?.at(-1)]).toEqual([200, 42])
  expect(peers).toEqual([undefined])
})

test.each([
  ["/conduit.test.v1.TestService/Other", "application/grpc"],
  [PATH, "application/json"],
  ["/", "text/plain"],
])("%s as %s is not there", async (path, type) => {
  const begun = peers.length
  expect(await ask(path, type)).toEqual({ status: 404, first: null })
  expect(peers).toHaveLength(begun)
})

test("over HTTP/1.1 nothing is there", async () => {
  expect((await fetch(`http://127.0.0.1:${served.port}${PATH}`)).status).toBe(404)
})
