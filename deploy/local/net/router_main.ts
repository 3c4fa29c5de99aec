// The process in the router's network namespace: name server of the pods, way in for the host, and the eye
// that probes pods. It holds no state of its own: the runner tells it everything over standard input.
import { DNS_ADDRESS } from "./addresses.ts"
import { chased, EMPTY_ZONE, failure, resolve, targetQuery } from "./dns_zone.ts"
import { probeGrpc } from "./grpc_probe.ts"
import { type FromRouter, type ProbeRequest, readMessages, type ToRouter } from "./router_protocol.ts"
import { newTunnel, pushTo, type Tunnel, tunnelHandlers } from "./tunnel.ts"

/** A client of the way in must say where to within this many bytes. */
const MAX_CONNECT_LINE_BYTES = 256
/** An HTTP probe reads no more of an answer than this. */
const MAX_PROBE_ANSWER_BYTES = 64 * 1024

const waiting = new Map<number, (packet: Buffer | null) => void>()
let zone = EMPTY_ZONE
let queries = 0

function say(message: FromRouter): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

function forward(packet: Buffer): Promise<Buffer | null> {
  const id = ++queries
  return new Promise(resolve => {
    waiting.set(id, resolve)
    say({ dnsQuery: { id, packet: packet.toString("base64") } })
  })
}

async function answerQuery(message: Buffer): Promise<Buffer | null> {
  const verdict = resolve(message, zone, ++queries)
  if (verdict.kind === "drop") return null
  if (verdict.kind === "answer") return verdict.packet
  if (verdict.kind === "forward") return (await forward(message)) ?? failure(message)
  return chased(verdict.query, verdict.alias, await forward(targetQuery(verdict.query, verdict.target)))
}

async function serveDns(): Promise<void> {
  const socket = await Bun.udpSocket({
    hostname: DNS_ADDRESS,
    port: 53,
    socket: {
      data(socket, message, port, address) {
        void answerQuery(Buffer.from(message)).then(reply => {
          if (reply !== null) socket.send(reply, port, address)
        })
      },
    },
  })
  void socket
  Bun.listen<{ rest: Buffer }>({
    hostname: DNS_ADDRESS,
    port: 53,
    socket: {
      open(socket) {
        socket.data = { rest: Buffer.alloc(0) }
      },
      data(socket, chunk) {
        // RFC 1035 section 4.2.2: two bytes of length before each message.
        let rest = Buffer.concat([socket.data.rest, chunk])
        while (rest.length >= 2 && rest.length >= 2 + rest.readUInt16BE(0)) {
          const message = rest.subarray(2, 2 + rest.readUInt16BE(0))
          rest = rest.subarray(2 + message.length)
          void answerQuery(message).then(reply => {
            if (reply === null) return
            const framed = Buffer.alloc(2 + reply.length)
            framed.writeUInt16BE(reply.length, 0)
            reply.copy(framed, 2)
            socket.write(framed)
          })
        }
        socket.data.rest = rest
      },
    },
  })
}

function serveRelay(path: string): void {
  Bun.listen<Tunnel>({
    unix: path,
    allowHalfOpen: true,
    socket: {
      ...tunnelHandlers,
      open(socket) {
        socket.data = newTunnel()
      },
      data(socket, chunk) {
        const tunnel = socket.data
        if (tunnel.peer !== null) return tunnelHandlers.data(socket, chunk)
        tunnel.head += Buffer.from(chunk).toString("latin1")
        const end = tunnel.head.indexOf("\n")
        if (end < 0) {
          if (tunnel.head.length > MAX_CONNECT_LINE_BYTES) socket.end()
          return
        }
        const match = /^CONNECT (\S+) (\d+)\s*$/.exec(tunnel.head.slice(0, end))
        if (match?.[1] === undefined) return void socket.end("ERROR expected: CONNECT ADDRESS PORT\n")
        const early = Buffer.from(tunnel.head.slice(end + 1), "latin1")
        socket.pause()
        Bun.connect<Tunnel>({
          hostname: match[1],
          port: Number(match[2]),
          allowHalfOpen: true,
          socket: {
            ...tunnelHandlers,
            open(peer) {
              peer.data = newTunnel(socket)
              tunnel.peer = peer
              socket.write("OK\n")
              if (early.length > 0) pushTo(peer, early)
              socket.resume()
            },
          },
        }).catch((error: unknown) => {
          socket.end(`ERROR ${error instanceof Error ? error.message : String(error)}\n`)
        })
      },
    },
  })
}

async function probe(request: ProbeRequest): Promise<void> {
  const outcome = await ask(request).catch((error: unknown) => ({ ok: false, reason: reasonOf(error) }))
  say({ probed: { id: request.id, ...outcome } })
}

function ask(request: ProbeRequest): Promise<{ ok: boolean; reason: string }> {
  const { kind, host, port, path, timeoutMs } = request
  if (kind === "grpc") return probeGrpc(host, port, path, timeoutMs)
  return kind === "tcp" ? probeTcp(request) : probeHttp(request)
}

function probeTcp(request: ProbeRequest): Promise<{ ok: boolean; reason: string }> {
  return new Promise(resolve => {
    const late = setTimeout(() => resolve({ ok: false, reason: "connection timed out" }), request.timeoutMs)
    const done = (ok: boolean, reason: string) => {
      clearTimeout(late)
      resolve({ ok, reason })
    }
    Bun.connect({
      hostname: request.host,
      port: request.port,
      socket: {
        open(socket) {
          done(true, "")
          socket.end()
        },
        data() {},
        error() {},
      },
    }).catch((error: unknown) => done(false, reasonOf(error)))
  })
}

async function probeHttp(request: ProbeRequest): Promise<{ ok: boolean; reason: string }> {
  const host = request.host.includes(":") ? `[${request.host}]` : request.host
  const response = await fetch(`${request.kind}://${host}:${request.port}${request.path}`, {
    headers: [...request.headers.map(([name, value]) => [name, value] as [string, string])],
    redirect: "manual",
    keepalive: false,
    signal: AbortSignal.timeout(request.timeoutMs),
    tls: { rejectUnauthorized: false },
  })
  let left = MAX_PROBE_ANSWER_BYTES
  for await (const chunk of response.body ?? []) {
    left -= (chunk as Uint8Array).length
    if (left < 0) break
  }
  const ok = response.status >= 200 && response.status < 400
  return { ok, reason: ok ? "" : `HTTP status ${response.status}` }
}

/** The runtime's errors end with advice to programmers. */
function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error)
  if (error instanceof Error && error.name === "TimeoutError") return "no answer in time"
  return text.replace(/ For more information, pass.*$|: Was there a typo in the url or port\?.*$/s, "")
}

async function main(): Promise<void> {
  const relay = process.argv[2]
  if (relay === undefined) throw new Error("the router needs the path of its socket")
  await serveDns()
  serveRelay(relay)
  say({ ready: true })
  await readMessages<ToRouter>(Bun.stdin.stream(), message => {
    if ("zone" in message) zone = message.zone
    else if ("probe" in message) void probe(message.probe)
    else {
      const { id, packet } = message.dnsReply
      const settle = waiting.get(id)
      waiting.delete(id)
      settle?.(packet === null ? null : Buffer.from(packet, "base64"))
    }
  })
  process.exit(0)
}

main().catch((error: unknown) => {
  say({ failed: error instanceof Error ? error.message : String(error) })
  process.exit(1)
})
