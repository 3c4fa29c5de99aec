// What the destination service needs for a large cluster: processor, memory, and the time from a pod's change to the
// proxies that watch it. Proxies are simulated down to the wire: one HTTP/2 connection with mutual TLS and one stream each.
//
// usage: bun tests/bench/destination_bench.ts [--proxies N] [--services N] [--pods N] [--seconds N] [--plaintext]
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { create, toBinary } from "@bufbuild/protobuf"
import { WATCH_PATH } from "../../control/destination/mod.ts"
import { spiffeId, workloadDnsName } from "../../control/tls/mod.ts"
import { makeAuthority, x509 } from "../../deploy/identity/mod.ts"
import { destinationV1 } from "../../protos/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import type { ServerOptions } from "./destination_server.ts"
import {
  clusterIp,
  NAMES,
  namespaceOf,
  podName,
  SERVICE_PORT,
  type SimulatedCluster,
} from "./simulated_cluster.ts"

const TARGET_RESIDENT_BYTES = 512 * 1024 * 1024
const TARGET_P99_MS = 1000
const CHANGES_PER_SECOND = 10
const DESTINATIONS_PER_PROXY = 20
const DIALS_AT_ONCE = 64
const SETTLE_MS = 5000

const { values } = parseArgs({
  options: {
    proxies: { type: "string", default: "10000" },
    services: { type: "string", default: "1000" },
    pods: { type: "string", default: "10000" },
    seconds: { type: "string", default: "60" },
    plaintext: { type: "boolean", default: false },
  },
})
const proxies = Number(values.proxies)
const services = Number(values.services)
const seconds = Number(values.seconds)
const cluster: SimulatedCluster = {
  services,
  podsPerService: Math.ceil(Number(values.pods) / services),
  namespaces: Math.min(100, services),
}

interface Keys {
  readonly cert: string
  readonly key: string
}

interface ServerFigures {
  readonly cpuMicros: number
  readonly residentBytes: number
  readonly updates: number
  readonly open: number
  readonly watches: number
  readonly refused: number
  readonly dropped: number
}

// ---- HTTP/2 by hand: ten thousand full clients would cost more than what is measured ----

const DATA = 0
const HEADERS = 1
const SETTINGS = 4
const PING = 6
const GOAWAY = 7
const WINDOW_UPDATE = 8
const ACK = 1
const END_HEADERS = 4
const FRAME_HEAD = 9
/** Told to the server once this much has come, as a proxy does. */
const WINDOW_STEP = 16_384

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(FRAME_HEAD + payload.length)
  bytes.writeUIntBE(payload.length, 0, 3)
  bytes[3] = type
  bytes[4] = flags
  bytes.writeUInt32BE(stream, 5)
  bytes.set(payload, FRAME_HEAD)
  return bytes
}

function literal(text: string): Buffer {
  return Buffer.concat([Buffer.from([text.length]), Buffer.from(text)])
}

/** POST to the Watch method in HPACK (RFC 7541) without indexing. */
const REQUEST_HEAD = frame(
  HEADERS,
  END_HEADERS,
  1,
  Buffer.concat([
    Buffer.from([0x83, 0x86, 0x04]),
    literal(WATCH_PATH),
    Buffer.from([0x01]),
    literal("destination"),
    Buffer.from([0x0f, 0x10]),
    literal("application/grpc"),
  ]),
)
/** In wire form, as Bun takes it. */
const ALPN_H2 = literal("h2")
const OPENING = Buffer.concat([
  Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
  frame(SETTINGS, 0, 0, new Uint8Array()),
  REQUEST_HEAD,
])

function grpcMessage(request: destinationV1.WatchRequest): Buffer {
  const message = toBinary(destinationV1.WatchRequestSchema, request)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** When each Service was changed last; NaN for never. */
const changedAtMs = new Float64Array(services).fill(Number.NaN)
const delaysMs: number[] = []
let lost = 0

/** One proxy: which Services it watches, and the bytes that have come but make no frame yet. */
class SimulatedProxy {
  readonly watched: readonly number[]
  private readonly hello: { readonly namespace: string; readonly pod: string }
  private rest: Buffer = Buffer.alloc(0)
  private data: Buffer = Buffer.alloc(0)
  private unacknowledged = 0
  readonly answered = Promise.withResolvers<void>()
  private missing: number

  constructor(number: number, watched: readonly number[]) {
    const service = number % services
    const pod = Math.floor(number / services) % cluster.podsPerService
    this.hello = { namespace: namespaceOf(cluster, service), pod: podName(service, pod) }
    this.watched = watched
    this.missing = watched.length
  }

  get namespace(): string {
    return this.hello.namespace
  }

  begin(socket: Bun.Socket): void {
    const hello = { ...this.hello, node: "node", proxyVersion: "bench" }
    const messages = [
      grpcMessage(create(destinationV1.WatchRequestSchema, { request: { case: "hello", value: hello } })),
      ...this.watched.map((service, index) => {
        const outbound = { ip: Uint8Array.from(clusterIp(service)), port: SERVICE_PORT }
        const value = { watchId: BigInt(index + 1), target: { case: "outbound" as const, value: outbound } }
        return grpcMessage(
          create(destinationV1.WatchRequestSchema, { request: { case: "subscribe", value } }),
        )
      }),
    ]
    socket.write(Buffer.concat([OPENING, frame(DATA, 0, 1, Buffer.concat(messages))]))
  }

  take(socket: Bun.Socket, chunk: Buffer): void {
    const nowMs = performance.now()
    this.rest = this.rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.rest, chunk])
    while (this.rest.length >= FRAME_HEAD) {
      const length = this.rest.readUIntBE(0, 3)
      if (this.rest.length < FRAME_HEAD + length) return
      const type = this.rest[3]
      const flags = this.rest[4] ?? 0
      const payload = this.rest.subarray(FRAME_HEAD, FRAME_HEAD + length)
      this.rest = this.rest.subarray(FRAME_HEAD + length)
      if (type === SETTINGS && (flags & ACK) === 0) socket.write(frame(SETTINGS, ACK, 0, new Uint8Array()))
      else if (type === PING && (flags & ACK) === 0) socket.write(frame(PING, ACK, 0, payload))
      else if (type === DATA) this.takeData(socket, payload, nowMs)
      else if (type === GOAWAY) lost++
    }
  }

  private takeData(socket: Bun.Socket, payload: Buffer, nowMs: number): void {
    this.unacknowledged += payload.length
    if (this.unacknowledged >= WINDOW_STEP) {
      const step = Buffer.alloc(4)
      step.writeUInt32BE(this.unacknowledged)
      socket.write(Buffer.concat([frame(WINDOW_UPDATE, 0, 0, step), frame(WINDOW_UPDATE, 0, 1, step)]))
      this.unacknowledged = 0
    }
    this.data = this.data.length === 0 ? Buffer.from(payload) : Buffer.concat([this.data, payload])
    while (this.data.length >= 5) {
      const length = this.data.readUInt32BE(1)
      if (this.data.length < 5 + length) break
      // A message begins with field 1, the watch's number; there are fewer than 128.
      this.told(this.watched[(this.data[6] ?? 0) - 1] ?? -1, nowMs)
      this.data = this.data.subarray(5 + length)
    }
  }

  private told(service: number, nowMs: number): void {
    if (service < 0) throw new Error("an answer to no watch")
    if (this.missing > 0) {
      this.missing--
      if (this.missing === 0) this.answered.resolve()
      return
    }
    delaysMs.push(nowMs - (changedAtMs[service] ?? Number.NaN))
  }
}

async function keysOf(issuerPem: string, issuerKeyPem: string, namespace: string): Promise<Keys> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256" }
  const above = new x509.X509Certificate(issuerPem)
  const [der = new ArrayBuffer(0)] = x509.PemConverter.decode(issuerKeyPem)
  const signingKey = await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"])
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"])
  const workload = { namespace, serviceAccount: "default" }
  const leaf = await x509.X509CertificateGenerator.create({
    issuer: above.subjectName,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
    extensions: [
      new x509.SubjectAlternativeNameExtension(
        [
          { type: "url", value: spiffeId(workload, NAMES) },
          { type: "dns", value: workloadDnsName(workload, NAMES) },
        ],
        true,
      ),
    ],
  })
  const key = await crypto.subtle.exportKey("pkcs8", keys.privateKey)
  return {
    cert: `${leaf.toString("pem")}\n${issuerPem}`,
    key: `${x509.PemConverter.encode(key, "PRIVATE KEY")}\n`,
  }
}

class Server {
  private readonly child: Bun.Subprocess<"pipe", "pipe", "inherit">
  private readonly lines: AsyncIterator<string>

  constructor(options: ServerOptions) {
    const script = join(import.meta.dir, "destination_server.ts")
    this.child = Bun.spawn([process.execPath, script, JSON.stringify(options)], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    })
    this.lines = linesOf(this.child.stdout)[Symbol.asyncIterator]()
  }

  async answer<T>(): Promise<T> {
    const { value, done } = await this.lines.next()
    if (done === true) throw new Error("the destination service ended")
    return JSON.parse(value) as T
  }

  say(line: string): void {
    this.child.stdin.write(`${line}\n`)
    this.child.stdin.flush()
  }

  async figures(): Promise<ServerFigures> {
    this.say("figures")
    return await this.answer<ServerFigures>()
  }

  async end(): Promise<void> {
    this.child.kill()
    await this.child.exited
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = parts.pop() ?? ""
    yield* parts
  }
}

/** Small numbers that look like chance and are the same in every run. */
function* spread(seed: number): Generator<number> {
  let state = seed * 2_654_435_761 + 1
  while (true) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    yield state >>> 8
  }
}

function watchedBy(number: number): number[] {
  const found = new Set<number>()
  for (const value of spread(number)) {
    found.add(value % services)
    if (found.size >= Math.min(DESTINATIONS_PER_PROXY, services)) break
  }
  return [...found]
}

const folder = tempFolder("destination-bench")
const open: Bun.Socket[] = []
let server: Server | null = null
try {
  const keys = new Map<string, Keys>()
  let tls: ServerOptions["tls"] = null
  let anchor = ""
  if (!values.plaintext) {
    const authority = await makeAuthority({ ...NAMES, nowMs: Date.now() })
    anchor = authority.anchor
    const own = await keysOf(authority.issuer, authority.issuerKey, NAMES.controlNamespace)
    for (let one = 0; one < cluster.namespaces; one++) {
      const namespace = `team-${one}`
      keys.set(namespace, await keysOf(authority.issuer, authority.issuerKey, namespace))
    }
    tls = { cert: join(folder, "tls.crt"), key: join(folder, "tls.key"), ca: join(folder, "ca.crt") }
    writeFileSync(tls.cert, own.cert)
    writeFileSync(tls.key, own.key, { mode: 0o600 })
    writeFileSync(tls.ca, anchor)
  }
  server = new Server({ cluster, tls })
  const { port } = await server.answer<{ port: number }>()
  const empty = await server.figures()
  console.log(
    `${services} Services, ${services * cluster.podsPerService} pods, ${values.plaintext ? "plaintext" : "mutual TLS"}: ` +
      `${mib(empty.residentBytes)} before the first proxy`,
  )

  const startMs = performance.now()
  let next = 0
  const dialer = async (): Promise<void> => {
    while (next < proxies) {
      const number = next++
      const proxy = new SimulatedProxy(number, watchedBy(number))
      const own = keys.get(proxy.namespace)
      const socket = await Bun.connect<undefined>({
        hostname: "127.0.0.1",
        port,
        ...(own === undefined
          ? {}
          : {
              tls: {
                ...own,
                ca: anchor,
                serverName: "localhost",
                ALPNProtocols: ALPN_H2,
                rejectUnauthorized: false,
              },
            }),
        socket: {
          open: opened => {
            if (own === undefined) proxy.begin(opened)
          },
          handshake: secured => proxy.begin(secured),
          data: (from, chunk) => proxy.take(from, chunk),
          close: () => {
            lost++
          },
        },
      })
      open.push(socket)
      await proxy.answered.promise
    }
  }
  await Promise.all(Array.from({ length: DIALS_AT_ONCE }, dialer))
  const connectedMs = performance.now() - startMs
  const connected = await server.figures()
  console.log(
    `${connected.open} proxies with ${connected.watches} watches: all answered after ${(connectedMs / 1000).toFixed(1)} s, ` +
      `${((connected.cpuMicros - empty.cpuMicros) / 1e6).toFixed(1)} s of processor, ${mib(connected.residentBytes)}`,
  )
  await Bun.sleep(SETTLE_MS)

  const before = await server.figures()
  const beginMs = performance.now()
  const chance = spread(7)
  for (let change = 0; change < seconds * CHANGES_PER_SECOND; change++) {
    const service = (chance.next().value ?? 0) % services
    const pod = (chance.next().value ?? 0) % cluster.podsPerService
    changedAtMs[service] = performance.now()
    server.say(`change ${namespaceOf(cluster, service)} ${podName(service, pod)}`)
    const waitMs = beginMs + ((change + 1) * 1000) / CHANGES_PER_SECOND - performance.now()
    if (waitMs > 0) await Bun.sleep(waitMs)
  }
  await Bun.sleep(1000)
  const after = await server.figures()
  const wallMicros = (performance.now() - beginMs) * 1000
  delaysMs.sort((a, b) => a - b)
  const at = (share: number): number => delaysMs[Math.floor(delaysMs.length * share)] ?? Number.NaN
  const p99 = at(0.99)
  console.log(
    `${CHANGES_PER_SECOND} pod changes/s for ${seconds} s: ${after.updates - before.updates} updates sent, ${delaysMs.length} seen, ` +
      `${lost} connections lost, ${after.dropped} dropped, ${after.refused} refused`,
  )
  console.log(
    `from a change to the proxy: p50 ${at(0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, longest ${at(1 - 1e-9).toFixed(1)} ms ` +
      verdict(p99 < TARGET_P99_MS, `${TARGET_P99_MS} ms`),
  )
  const share = (after.cpuMicros - before.cpuMicros) / wallMicros
  console.log(`processor: ${(share * 100).toFixed(1)} % of one core ${verdict(share <= 1, "one core")}`)
  console.log(
    `memory: ${mib(after.residentBytes)} ${verdict(after.residentBytes <= TARGET_RESIDENT_BYTES, mib(TARGET_RESIDENT_BYTES))}`,
  )
} finally {
  for (const socket of open) socket.terminate()
  await server?.end()
  rmSync(folder, { recursive: true, force: true })
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 1024 / 1024)} MiB`
}

function verdict(holds: boolean, target: string): string {
  return holds ? `(target ${target}: held)` : `(target ${target}: MISSED)`
}
