// Stands before a TLS client and cuts its ClientHello into pieces: `hello_splitter.ts packets|records LISTEN ADDRESS
// PORT`. Packets: the same bytes, a few at a time. Records: the same handshake message in many records (RFC 8446
// section 5.1). What comes after is passed on as it is.
import { connect, createServer, type Socket } from "node:net"

/** Bytes of the ClientHello in one piece. */
const PIECE_BYTES = 20

const [how = "", listen = "", address = "", port = ""] = process.argv.slice(2)

/** The first record as records of a piece each. */
function manyRecords(bytes: Buffer): Buffer[] {
  const end = 5 + bytes.readUInt16BE(3)
  const records: Buffer[] = []
  for (let at = 5; at < end; at += PIECE_BYTES) {
    const piece = bytes.subarray(at, Math.min(at + PIECE_BYTES, end))
    const head = Buffer.from([22, 3, 1, 0, 0])
    head.writeUInt16BE(piece.length, 3)
    records.push(Buffer.concat([head, piece]))
  }
  return [Buffer.concat(records), bytes.subarray(end)]
}

function pieces(bytes: Buffer): Buffer[] {
  if (how === "records") return manyRecords(bytes)
  const cut: Buffer[] = []
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) cut.push(bytes.subarray(at, at + PIECE_BYTES))
  return cut
}

async function splice(client: Socket, hello: Buffer): Promise<void> {
  const server = connect({ host: address, port: Number(port), noDelay: true })
  server.on("error", () => client.destroy())
  server.pipe(client)
  for (const piece of pieces(hello)) {
    server.write(piece)
    await Bun.sleep(2)
  }
  client.pipe(server)
}

createServer({ noDelay: true }, client => {
  client.on("error", () => {})
  client.once("data", (hello: Buffer) => {
    client.pause()
    void splice(client, hello)
  })
}).listen(Number(listen), "127.0.0.1", () => console.log("listening"))
