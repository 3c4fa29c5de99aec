// Who looks, for the bench of taps: asks proxies for their requests as the control plane's tap service does, and reads what they
// tell, or one message only. Ends with its input, and prints what was told.
//
// usage: bun tap_reader.ts < one line of TapReaderOptions as JSON  ->  "listening", then one line of TapReaderResult
import { connect } from "node:http2"
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { tapV1 } from "../../protos/mod.ts"

/** What to ask. */
export interface TapReaderOptions {
  readonly proxies: readonly { readonly port: number; readonly serverName: string }[]
  readonly certPem: string
  readonly keyPem: string
  readonly caPem: string
  /** `sample` and `maxRps` of a WatchRequest for requests of both directions. */
  readonly match: { readonly sample?: number; readonly maxRps?: number }
  /** Reads nothing after the first message. */
  readonly stops: boolean
}

/** What was told, of all proxies. */
export interface TapReaderResult {
  /** Requests of which the beginning was read. */
  readonly requests: number
  /** As the proxies count them, as of the last message that was read. */
  readonly limited: number
  readonly dropped: number
}

if (import.meta.main) {
  const input = console[Symbol.asyncIterator]()
  const options = JSON.parse((await input.next()).value ?? "{}") as TapReaderOptions
  let requests = 0
  const lost = options.proxies.map(() => ({ limited: 0, dropped: 0 }))
  await Promise.all(options.proxies.map((proxy, index) => watch(options, proxy, index)))
  console.log("listening")
  await input.next()
  const sum = (key: "limited" | "dropped") => lost.reduce((all, one) => all + one[key], 0)
  console.log(JSON.stringify({ requests, limited: sum("limited"), dropped: sum("dropped") }))
  process.exit(0)

  /** Back when the proxy has said that it tells. */
  function watch(
    { certPem, keyPem, caPem, match, stops }: TapReaderOptions,
    { port, serverName }: TapReaderOptions["proxies"][number],
    index: number,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      const tls = { cert: certPem, key: keyPem, ca: caPem, servername: serverName }
      const session = connect(`https://127.0.0.1:${port}`, tls).on("error", reject)
      const call = session.request({
        ":method": "POST",
        ":path": "/conduit.tap.v1.ProxyTapService/Watch",
        "content-type": "application/grpc",
        te: "trailers",
      })
      let waiting = Buffer.alloc(0)
      call.on("error", reject).on("data", (chunk: Buffer) => {
        waiting = Buffer.concat([waiting, chunk])
        while (waiting.length >= 5 && waiting.length >= 5 + waiting.readUInt32BE(1)) {
          const end = 5 + waiting.readUInt32BE(1)
          const message = fromBinary(tapV1.WatchResponseSchema, waiting.subarray(5, end))
          waiting = waiting.subarray(end)
          for (const { moment } of message.events) if (moment.case === "begun") requests++
          lost[index] = { limited: Number(message.limited), dropped: Number(message.dropped) }
          resolve()
          if (stops) call.pause()
        }
      })
      const asked: MessageInitShape<typeof tapV1.WatchRequestSchema> = {
        inbound: true,
        outbound: true,
        ...match,
      }
      const body = toBinary(tapV1.WatchRequestSchema, create(tapV1.WatchRequestSchema, asked))
      const head = Buffer.alloc(5)
      head.writeUInt32BE(body.length, 1)
      call.write(Buffer.concat([head, body]))
    })
  }
}
