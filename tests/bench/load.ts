// The load of the benchmarks: backend and generator in one process on one core, cheap enough that the proxy
// between them is what is measured. Answers and requests are canned bytes; only frame and head boundaries are
// read. Closed loop (every slot asks again at once) or open loop (a fixed rate; latency counts from the time a
// request was due, so that waiting for a slot is not hidden).
//
// usage: bun load.ts '<LoadOptions as JSON>'  ->  one line of LoadResult as JSON on stdout
import type { Socket } from "bun"

/** What to send, and where. */
export interface LoadOptions {
  /** Wire protocol between generator, proxy and backend. */
  readonly protocol: "http1" | "http2" | "tcp"
  /** Address that the generator connects to (the proxy's, or the backend's own for a control). */
  readonly target: { readonly host: string; readonly port: number }
  /** Address that the backend listens on. */
  readonly backend: { readonly host: string; readonly port: number }
  /** Connections. */
  readonly connections: number
  /** Streams at a time on each connection (HTTP/2 only; 1 elsewhere). */
  readonly streams: number
  /** Bytes of each answer's body. */
  readonly bodyBytes: number
  /** Requests a second over all connections; 0 for a closed loop. */
  readonly ratePerSecond: number
  /** Calls at a time, beside the others, that the backend never answers: each is made again once it was timed out. */
  readonly hanging?: number
  /** Time before counting starts, milliseconds. */
  readonly warmupMs: number
  /** Time that is counted, milliseconds. */
  readonly durationMs: number
}

/** What came of it. */
export interface LoadResult {
  /** Answers within the counted time. */
  readonly requests: number
  /** Connections that broke, streams that were reset, answers other than 200. */
  readonly failures: number
  /** Length of the counted time, milliseconds. */
  readonly elapsedMs: number
  /** Quantiles of latency, milliseconds. */
  readonly p50: number
  readonly p99: number
  readonly p999: number
  /** How long calls that the backend never answers took until they were: milliseconds, shortest first. */
  readonly hung: readonly number[]
}

const CRLF_CRLF = 0x0d0a0d0a
const H2_PREFACE_BYTES = 24
const FRAME_HEAD_BYTES = 9
const FRAME_DATA = 0
const FRAME_HEADERS = 1
const FRAME_RST_STREAM = 3
const FRAME_SETTINGS = 4
const FRAME_PING = 6
const FRAME_GOAWAY = 7
const FRAME_WINDOW_UPDATE = 8
const FLAG_END_STREAM = 1
const FLAG_ACK = 1
const WINDOW_BYTES = 0x3fffffff
const MAX_SAMPLES = 4_000_000
const JOIN_BYTES = 65_536

/** Bytes waiting for a socket; flushed in one write per turn of the loop. */
class Output {
  private chunks: Uint8Array[] = []
  private dirty = false
  socket: Socket<unknown> | null = null

  push(chunk: Uint8Array): void {
    this.chunks.push(chunk)
    if (this.dirty) return
    this.dirty = true
    setImmediate(() => this.flush())
  }

  flush(): void {
    this.dirty = false
    const socket = this.socket
    if (socket === null) return
    while (this.chunks.length > 0) {
      // Small chunks are joined into one write; a large one goes alone, by reference.
      let joined = 0
      let bytes = 0
      while (joined < this.chunks.length && bytes < JOIN_BYTES) bytes += this.chunks[joined++]?.length ?? 0
      const next = joined === 1 ? this.chunks[0] : Buffer.concat(this.chunks.slice(0, joined), bytes)
      if (next === undefined) return
      const written = Math.max(0, socket.write(next, 0, next.length))
      if (written < next.length) {
        this.chunks.splice(0, joined, next.subarray(written))
        return
      }
      this.chunks.splice(0, joined)
    }
  }
}

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Uint8Array {
  const out = Buffer.alloc(FRAME_HEAD_BYTES + payload.length)
  out.writeUIntBE(payload.length, 0, 3)
  out[3] = type
  out[4] = flags
  out.writeUInt32BE(stream, 5)
  out.set(payload, FRAME_HEAD_BYTES)
  return out
}

function literal(name: string, value: string): Uint8Array {
  return Buffer.concat([
    Buffer.from([0x40, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ])
}

const SETTINGS = (() => {
  const payload = Buffer.alloc(12)
  payload.writeUInt16BE(3, 0) // SETTINGS_MAX_CONCURRENT_STREAMS
  payload.writeUInt32BE(1000, 2)
  payload.writeUInt16BE(4, 6) // SETTINGS_INITIAL_WINDOW_SIZE
  payload.writeUInt32BE(WINDOW_BYTES, 8)
  return frame(FRAME_SETTINGS, 0, 0, payload)
})()
const SETTINGS_ACK = frame(FRAME_SETTINGS, FLAG_ACK, 0, new Uint8Array(0))
const CONNECTION_WINDOW = (() => {
  const payload = Buffer.alloc(4)
  payload.writeUInt32BE(WINDOW_BYTES - 65_535, 0)
  return frame(FRAME_WINDOW_UPDATE, 0, 0, payload)
})()

// The eight fields of a gRPC call. The first request of a connection puts them into the dynamic table, the
// later ones name them by index (newest is 62), as gRPC clients do.
const GRPC_FIELDS: readonly (readonly [string, string])[] = [
  [":authority", "orders.shop.svc.cluster.local"],
  [":path", "/shop.v1.Orders/Place"],
  ["content-type", "application/grpc"],
  ["te", "trailers"],
  ["user-agent", "grpc-node-js/1.14.7"],
  ["grpc-accept-encoding", "identity,deflate,gzip"],
]
const H2_FIRST = Buffer.concat([Buffer.from([0x83, 0x86]), ...GRPC_FIELDS.map(([n, v]) => literal(n, v))])
const H2_NEXT = Buffer.from([0x83, 0x86, ...GRPC_FIELDS.map((_, i) => 0x80 | (61 + GRPC_FIELDS.length - i))])
const H1_REQUEST = Buffer.from(
  "GET /catalog/items?page=3 HTTP/1.1\r\nHost: catalog.shop.svc.cluster.local\r\nUser-Agent: bench/1\r\n" +
    "Accept: */*\r\nX-Request-Id: 4f8c3e2a-77aa-4d0e-9a53-0c8f3f5f7e11\r\n\r\n",
)

/** A request without an answer: what tells the backend is its first letter, and in HTTP/2 that it has no body. */
const H1_HANGING = Buffer.from(
  "PUT /catalog HTTP/1.1\r\nHost: catalog.shop.svc.cluster.local\r\nContent-Length: 0\r\n\r\n",
)
const HANGING_LETTER = 0x50
const HANGING_APART_MS = 7
const TIMED_OUT = "HTTP/1.1 504"

/** Reads frames, whatever the chunks. Payloads are skipped, but for those of up to 64 bytes, which are handed up. */
class FrameReader {
  private readonly head = new Uint8Array(FRAME_HEAD_BYTES)
  private readonly payload = Buffer.alloc(64)
  private have = 0
  private length = 0
  private skip = 0
  private readonly onFrame: (type: number, flags: number, stream: number, payload: Buffer) => void

  constructor(
    onFrame: (type: number, flags: number, stream: number, payload: Buffer) => void,
    prefaceBytes: number,
  ) {
    this.onFrame = onFrame
    this.skip = prefaceBytes
  }

  feed(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      if (this.skip > 0) {
        const n = Math.min(this.skip, chunk.length - at)
        if (this.length <= 64 && this.have === FRAME_HEAD_BYTES) {
          this.payload.set(chunk.subarray(at, at + n), this.length - this.skip)
        }
        this.skip -= n
        at += n
        if (this.skip > 0 || this.have < FRAME_HEAD_BYTES) continue
        this.emit()
        continue
      }
      this.head[this.have++] = chunk[at++] ?? 0
      if (this.have < FRAME_HEAD_BYTES) continue
      const h = this.head
      this.length = ((h[0] ?? 0) << 16) | ((h[1] ?? 0) << 8) | (h[2] ?? 0)
      this.skip = this.length
      if (this.skip === 0) this.emit()
    }
  }

  private emit(): void {
    const h = this.head
    this.have = 0
    const stream = (((h[5] ?? 0) & 0x7f) << 24) | ((h[6] ?? 0) << 16) | ((h[7] ?? 0) << 8) | (h[8] ?? 0)
    this.onFrame(h[3] ?? 0, h[4] ?? 0, stream, this.payload)
  }
}

/** A body on its way, as far as the peer's windows let it. */
interface Sending {
  readonly stream: number
  left: number
  window: number
}

interface Peer {
  output: Output
  data(chunk: Uint8Array): void
  lost(): void
}

function backendPeer(options: LoadOptions): Peer {
  const output = new Output()
  const body = Buffer.alloc(options.bodyBytes, "x")
  if (options.protocol !== "http2") {
    const head = Buffer.from(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n`,
    )
    const answer = Buffer.concat([head, body])
    let window = 0
    let letter = 0
    return {
      output,
      data(chunk) {
        for (let i = 0; i < chunk.length; i++) {
          if (letter === 0) letter = chunk[i] ?? 0
          window = ((window << 8) | (chunk[i] ?? 0)) >>> 0
          if (window !== CRLF_CRLF) continue
          if (letter !== HANGING_LETTER) output.push(answer)
          letter = 0
        }
      },
      lost() {},
    }
  }
  const headFirst = Buffer.concat([
    Buffer.from([0x88]),
    literal("content-type", "application/grpc"),
    literal("grpc-encoding", "identity"),
  ])
  const trailersFirst = literal("grpc-status", "0")
  // Newest first: grpc-status 62, grpc-encoding 63, content-type 64.
  const headAfterTrailers = Buffer.from([0x88, 0x80 | 64, 0x80 | 63])
  const trailersNext = Buffer.from([0x80 | 62])
  let answered = 0
  let connectionWindow = 65_535
  let initialWindow = 65_535
  const sending = new Map<number, Sending>()
  const dataFrame = frame(FRAME_DATA, 0, 0, Buffer.alloc(16_384, "x"))
  const pump = (one: Sending) => {
    while (one.left > 0) {
      const n = Math.min(one.left, 16_384, one.window, connectionWindow)
      if (n <= 0) return
      one.left -= n
      one.window -= n
      connectionWindow -= n
      const data = Buffer.from(dataFrame.subarray(0, FRAME_HEAD_BYTES + n))
      data.writeUIntBE(n, 0, 3)
      data.writeUInt32BE(one.stream, 5)
      output.push(data)
    }
    sending.delete(one.stream)
    output.push(frame(FRAME_HEADERS, 5, one.stream, answered === 0 ? trailersFirst : trailersNext))
    answered++
  }
  output.push(SETTINGS)
  output.push(CONNECTION_WINDOW)
  const reader = new FrameReader((type, flags, stream, payload) => {
    if (type === FRAME_SETTINGS && (flags & FLAG_ACK) === 0) {
      output.push(SETTINGS_ACK)
      for (let at = 0; at < 60; at += 6) {
        if (payload.readUInt16BE(at) === 4) {
          const value = payload.readUInt32BE(at + 2)
          for (const one of sending.values()) one.window += value - initialWindow
          initialWindow = value
          break
        }
      }
      payload.fill(0)
      return
    }
    if (type === FRAME_WINDOW_UPDATE) {
      const more = payload.readUInt32BE(0)
      if (stream !== 0) {
        const one = sending.get(stream)
        if (one !== undefined) {
          one.window += more
          pump(one)
        }
        return
      }
      connectionWindow += more
      for (const one of [...sending.values()]) pump(one)
      return
    }
    if (type === FRAME_RST_STREAM) sending.delete(stream)
    if (type !== FRAME_DATA || (flags & FLAG_END_STREAM) === 0) return
    output.push(frame(FRAME_HEADERS, 4, stream, answered === 0 ? headFirst : headAfterTrailers))
    const one = { stream, left: body.length, window: initialWindow }
    sending.set(stream, one)
    pump(one)
  }, H2_PREFACE_BYTES)
  return { output, data: chunk => reader.feed(chunk), lost() {} }
}

/** Runs the load and returns what came of it. */
export async function runLoad(options: LoadOptions): Promise<LoadResult> {
  const socket = {
    open(s: Socket<Peer>) {
      s.data.output.socket = s
      s.data.output.flush()
      s.setNoDelay(true)
    },
    data: (s: Socket<Peer>, chunk: Uint8Array) => s.data.data(chunk),
    drain: (s: Socket<Peer>) => s.data.output.flush(),
    close(s: Socket<Peer>) {
      s.data.output.socket = null
      s.data.lost()
    },
    error() {},
  }
  const server = Bun.listen<Peer>({
    hostname: options.backend.host,
    port: options.backend.port,
    socket: {
      ...socket,
      open(s) {
        s.data = backendPeer(options)
        s.data.output.socket = s
        s.setNoDelay(true)
        s.data.output.flush()
      },
    },
  })

  const samples = new Float64Array(MAX_SAMPLES)
  let requests = 0
  let failures = 0
  let counting = false
  let stopped = false
  const hung: number[] = []
  const hanging: Slot[] = []
  const idle: Slot[] = []
  const due: number[] = []
  let dueAt = 0

  class Slot {
    since = 0
    readonly begin: () => void
    readonly hangs: boolean
    constructor(begin: (slot: Slot) => void, hangs: boolean) {
      this.begin = () => begin(this)
      this.hangs = hangs
    }
    start(at: number): void {
      this.since = at
      this.begin()
    }
    done(ok: boolean): void {
      const now = performance.now()
      if (counting) {
        if (!ok) failures++
        else if (this.hangs) hung.push(now - this.since)
        else if (requests < MAX_SAMPLES) samples[requests++] = now - this.since
      }
      if (stopped) return
      if (this.hangs || options.ratePerSecond === 0) this.start(now)
      else if (dueAt < due.length) this.start(due[dueAt++] ?? now)
      else idle.push(this)
    }
  }

  const connected: Promise<Socket<Peer>>[] = []
  const hangingCalls = options.hanging ?? 0
  const hangingConnections = options.protocol === "http2" ? Math.min(1, hangingCalls) : hangingCalls
  for (let c = 0; c < options.connections + hangingConnections; c++) {
    const hangs = c >= options.connections
    const slots = hangs ? hanging : idle
    const output = new Output()
    let peer: Peer
    if (options.protocol === "http2") {
      let nextStream = 1
      let first = true
      const running = new Map<number, Slot>()
      output.push(Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
      output.push(SETTINGS)
      output.push(CONNECTION_WINDOW)
      const reader = new FrameReader((type, flags, stream) => {
        if (type === FRAME_SETTINGS && (flags & FLAG_ACK) === 0) output.push(SETTINGS_ACK)
        else if (type === FRAME_PING && (flags & FLAG_ACK) === 0) {
          output.push(frame(FRAME_PING, FLAG_ACK, 0, new Uint8Array(8)))
        } else if (type === FRAME_GOAWAY) failures++
        const ended = (type === FRAME_HEADERS || type === FRAME_DATA) && (flags & FLAG_END_STREAM) !== 0
        if (!ended && type !== FRAME_RST_STREAM) return
        const slot = running.get(stream)
        running.delete(stream)
        slot?.done(type !== FRAME_RST_STREAM && (!hangs || type === FRAME_HEADERS))
      }, 0)
      const message = frame(FRAME_DATA, FLAG_END_STREAM, 0, Buffer.alloc(100, "m"))
      const begin = (slot: Slot) => {
        const stream = nextStream
        nextStream += 2
        running.set(stream, slot)
        const head = frame(FRAME_HEADERS, hangs ? 5 : 4, stream, first ? H2_FIRST : H2_NEXT)
        first = false
        if (hangs) {
          output.push(head)
          return
        }
        const data = Buffer.from(message)
        data.writeUInt32BE(stream, 5)
        output.push(head)
        output.push(data)
      }
      peer = {
        output,
        data: chunk => reader.feed(chunk),
        lost() {
          for (const slot of running.values()) slot.done(false)
          if (!stopped) failures++
        },
      }
      const count = hangs ? hangingCalls : options.streams
      for (let s = 0; s < count; s++) slots.push(new Slot(begin, hangs))
    } else {
      let window = 0
      let inBody = 0
      const slot = new Slot(() => output.push(hangs ? H1_HANGING : H1_REQUEST), hangs)
      peer = {
        output,
        data(chunk) {
          if (hangs) {
            slot.done(Buffer.from(chunk).toString("latin1", 0, TIMED_OUT.length) === TIMED_OUT)
            return
          }
          let at = 0
          while (at < chunk.length) {
            if (inBody > 0) {
              const n = Math.min(inBody, chunk.length - at)
              inBody -= n
              at += n
              if (inBody === 0) slot.done(true)
              continue
            }
            window = ((window << 8) | (chunk[at++] ?? 0)) >>> 0
            if (window === CRLF_CRLF) {
              inBody = options.bodyBytes
              window = 0
            }
          }
        },
        lost() {
          if (!stopped) {
            failures++
            slot.done(false)
          }
        },
      }
      slots.push(slot)
    }
    connected.push(
      Bun.connect<Peer>({ hostname: options.target.host, port: options.target.port, data: peer, socket }),
    )
  }
  const clients = await Promise.all(connected)

  // One after the other, so that they are not timed out together.
  for (const [i, slot] of hanging.entries()) {
    setTimeout(() => slot.start(performance.now()), (i * HANGING_APART_MS) % options.warmupMs)
  }
  if (options.ratePerSecond === 0) {
    const now = performance.now()
    for (const slot of idle.splice(0)) slot.start(now)
  } else {
    const gapMs = 1000 / options.ratePerSecond
    let next = performance.now()
    const tick = () => {
      if (stopped) return
      const now = performance.now()
      while (next <= now) {
        const slot = idle.pop()
        if (slot === undefined) due.push(next)
        else slot.start(next)
        next += gapMs
      }
      if (dueAt > 100_000) {
        due.splice(0, dueAt)
        dueAt = 0
      }
      setImmediate(tick)
    }
    tick()
  }
  await Bun.sleep(options.warmupMs)
  counting = true
  process.send?.("counting")
  const startedAt = performance.now()
  await Bun.sleep(options.durationMs)
  counting = false
  const elapsedMs = performance.now() - startedAt
  process.send?.("counted")
  stopped = true
  for (const client of clients) client.terminate()
  server.stop(true)
  const sorted = samples.subarray(0, requests).sort()
  const at = (share: number) => sorted[Math.min(requests - 1, Math.floor(requests * share))] ?? Number.NaN
  hung.sort((a, b) => a - b)
  return { requests, failures, elapsedMs, p50: at(0.5), p99: at(0.99), p999: at(0.999), hung }
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? "{}") as LoadOptions
  console.log(JSON.stringify(await runLoad(options)))
  process.exit(0)
}
