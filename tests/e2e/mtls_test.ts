// Mutual TLS between meshed pods, seen from the wire: what tcpdump catches bears no plaintext, what cannot prove itself
// is turned away on either side, and what was served before (unmeshed peers, the application's own TLS) still is.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import {
  LabCa,
  type LabProcess,
  Mesh,
  type MeshedPod,
  metric,
  type Pod,
  type Result,
  ready,
  type TableEndpoint,
} from "../lab/mod.ts"
import { anonymousBytes } from "../lab/proxy_memory.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const lab = (file: string) => new URL(`../lab/${file}`, import.meta.url).pathname
const BULK_PEER = new URL("./bulk_peer.mjs", import.meta.url).pathname
const SERVICE = "10.96.0.40"
const MARK = "plaintext-that-must-not-show"
const SUFFIX = "serviceaccount.identity.conduit.cluster.local"
const SERVER_NAME = `server.lab.${SUFFIX}`
const CLIENT_NAME = `client.lab.${SUFFIX}`
/** What a proxy may hold at most while 1 GiB waits for slow readers: 37 to 51 MB were seen, more between two collections. */
const ANONYMOUS_LIMIT_BYTES = 96_000_000

let mesh: Mesh
let client: MeshedPod
let server: MeshedPod
let plain: Pod
/** A pod that sends nothing in plaintext; there once a test has made it. */
let strict: MeshedPod | null = null
let folder = ""

const PORTS = { 80: 8081, 82: 8080, 25: 2525, 90: 9000, 91: 9001, 443: 8443, 70: 7000, 71: 7001 } as const

function endpoint(pod: Pod, port: number, serviceAccount: string | undefined): TableEndpoint {
  return {
    ip: pod.ipv4,
    port,
    pod: pod.name,
    workload: pod.name,
    ...(serviceAccount === undefined ? {} : { meshed: true, serviceAccount }),
  }
}

/** The service's ports lead to the server under a name; beside them an unmeshed service and an outside address. */
async function serverIs(serviceAccount: string): Promise<void> {
  const services = Object.entries(PORTS).map(([port, target]) => [
    `${SERVICE}:${port}`,
    { service: "server", port: Number(port), endpoints: [endpoint(server.pod, target, serviceAccount)] },
  ])
  const bare = { service: "plain", port: 81, endpoints: [endpoint(plain, 8081, undefined)] }
  const itself = {
    service: "itself",
    port: 80,
    endpoints: strict ? [endpoint(strict.pod, 8081, "strict")] : [],
  }
  await mesh.setTable({
    outbound: Object.fromEntries([...services, [`${SERVICE}:81`, bare], ["10.96.0.41:80", itself]]),
  })
  await Bun.sleep(100)
}

beforeAll(async () => {
  folder = tempFolder("mtls")
  mesh = await Mesh.createWithIdentity()
  client = await mesh.meshedPod("client")
  server = await mesh.meshedPod("server")
  plain = mesh.lab.pod("plain")
  await serverIs("server")
  const bun = process.execPath
  for (const pod of [server.pod, plain]) {
    await pod.start([bun, lab("http_peer.ts"), pod.name]).saw("listening")
    await pod.start([bun, lab("tcp_peer.ts"), "serve", "::", "2525", "greet"]).saw("listening")
    await pod.start([bun, lab("tcp_peer.ts"), "serve", "::", "9000", "half-close"]).saw("listening")
    await pod.start([bun, lab("tcp_peer.ts"), "serve", "::", "9001", "echo"]).saw("listening")
  }
  const app = await (await LabCa.create("application")).issue("app", "app")
  writeFileSync(join(folder, "app.pem"), app.certPem + app.keyPem)
  await server.pod
    .start(["openssl", "s_server", "-accept", "8443", "-cert", join(folder, "app.pem"), "-rev"])
    .saw("ACCEPT")
  await Promise.all([ready(client.pod), ready(server.pod)])
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** Everything that crosses a pod's interface while `during` runs. */
async function wire(pod: Pod, during: () => Promise<void>): Promise<Buffer> {
  const file = join(folder, `${crypto.randomUUID()}.pcap`)
  const dump = pod.start([
    "tcpdump",
    "-i",
    "eth0",
    "-U",
    "--immediate-mode",
    "-s",
    "0",
    "-Z",
    "root",
    "-w",
    file,
  ])
  while (!dump.stderr.includes("listening on")) await Bun.sleep(10)
  await during()
  await Bun.sleep(200)
  await dump.stop("SIGINT")
  return readFileSync(file)
}

async function curl(...args: string[]): Promise<Result> {
  return await client.pod.run(["curl", "-sS", "-m", "10", ...args])
}

async function call(
  pod: Pod,
  address: string,
  port: number,
  text: string,
): Promise<{ received: string; ended: string }> {
  const { stdout, stderr } = await pod.run([
    process.execPath,
    lab("tcp_peer.ts"),
    "call",
    address,
    String(port),
    text,
  ])
  if (stdout === "") throw new Error(stderr)
  return JSON.parse(stdout)
}

/** Says a line of HTTP to the server's port through TLS of openssl's, with the mesh's name and protocol. */
async function handshake(
  pair: { certPem: string; keyPem: string } | null,
  ...flags: string[]
): Promise<string> {
  const ca = join(folder, "ca.pem")
  writeFileSync(ca, mesh.ca?.pem ?? "")
  const own: string[] = []
  if (pair !== null) {
    const file = join(folder, `${crypto.randomUUID()}.pem`)
    writeFileSync(file, pair.certPem + pair.keyPem)
    own.push("-cert", file, "-key", file)
  }
  const words = ["openssl", "s_client", "-connect", `${server.pod.ipv4}:8081`, "-servername", SERVER_NAME]
  const speak = `(printf 'GET /by-hand HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n'; sleep 0.6) | exec timeout 4 "$@"`
  const all = [...words, "-CAfile", ca, "-alpn", "conduit.http1", ...own, ...flags]
  const { stdout, stderr } = await plain.run(["sh", "-c", speak, "sh", ...all])
  return stdout + stderr
}

test("no byte of plaintext crosses the wire, over HTTP/1, HTTP/2, gRPC and raw TCP, both ways", async () => {
  const caught = await wire(server.pod, async () => {
    const body = join(folder, "body")
    writeFileSync(body, MARK.repeat(1000))
    expect((await curl(`http://${SERVICE}/${MARK}`)).stdout).toContain(`server GET /${MARK}`)
    const h2 = ["--http2-prior-knowledge", `http://${SERVICE}:82/${MARK}`]
    expect((await curl("-T", body, ...h2)).stdout).toContain(`server PUT /${MARK}`)
    const grpc = ["-H", "content-type: application/grpc", "-H", "te: trailers", "--data", MARK]
    expect((await curl(...grpc, ...h2)).stdout).toContain(`server POST /${MARK}`)
    const echoed = await call(client.pod, SERVICE, 91, MARK)
    expect(echoed).toMatchObject({ received: MARK, ended: "end" })
    expect(await call(client.pod, SERVICE, 25, "silent")).toMatchObject({ received: "220 ready\n" })
  })
  expect(caught.length).toBeGreaterThan(10_000)
  expect(caught.includes(MARK)).toBe(false)
  expect(caught.includes("220 ready")).toBe(false)
  expect(caught.includes("HTTP/1.1")).toBe(false)
  expect(caught.includes("PRI * HTTP/2.0")).toBe(false)
  // The server's choice of version (RFC 8446 section 4.2.1): 1.3.
  expect(caught.includes(Buffer.from([0x00, 0x2b, 0x00, 0x02, 0x03, 0x04]))).toBe(true)
  // The control: the same without TLS is seen.
  const bare = await wire(plain, async () => {
    await curl(`http://${SERVICE}:81/${MARK}`)
  })
  expect(bare.includes(MARK)).toBe(true)
})

test("both sides know each other, in the metrics of requests and connections", async () => {
  await curl(`http://${SERVICE}/`)
  const secured = `tls="true"`
  const toServer = [secured, `server_id="${SERVER_NAME}"`]
  const byClient = [secured, `client_id="${CLIENT_NAME}"`]
  expect(await metric(client.pod, "request_total", `direction="outbound"`, ...toServer)).toBeGreaterThan(0)
  expect(await metric(client.pod, "tcp_open_total", `peer="dst"`, ...toServer)).toBeGreaterThan(0)
  expect(await metric(server.pod, "request_total", `direction="inbound"`, ...byClient)).toBeGreaterThan(0)
  expect(await metric(server.pod, "tcp_open_total", `peer="src"`, ...byClient)).toBeGreaterThan(0)
  const end = await metric(server.pod, "identity_cert_expiration_timestamp_seconds")
  expect(end).toBeGreaterThan(Date.now() / 1000 + 3000)
  const shown = JSON.parse((await server.pod.run(["curl", "-s", "http://127.0.0.1:4191/identity"])).stdout)
  expect(shown).toMatchObject({
    identity: SERVER_NAME,
    spiffeId: "spiffe://cluster.local/ns/lab/sa/server",
    issuer: "CN=lab root",
    trustAnchors: 1,
  })
  expect(JSON.stringify(shown)).not.toContain("PRIVATE")
})

test("a client is served with a certificate of the mesh, and turned away without, with a foreign, or an ended one", async () => {
  const own = mesh.ca as LabCa
  const errors = (reason: string) => metric(server.pod, "inbound_tls_errors_total", `reason="${reason}"`)
  const served = await handshake(await own.issue("lab", "byhand"))
  expect(served).toContain("server GET /by-hand")
  expect(served).toContain("TLSv1.3")
  expect(served).toContain("ALPN protocol: conduit.http1")

  expect(await handshake(null)).not.toContain("server GET")
  expect(await errors("no-certificate")).toBe(1)
  const foreign = await LabCa.create("lab root")
  expect(await handshake(await foreign.issue("lab", "client"))).not.toContain("server GET")
  expect(await errors("untrusted")).toBe(1)
  expect(await handshake(await own.issue("lab", "client", Date.now() - 60_000))).not.toContain("server GET")
  expect(await errors("expired")).toBe(1)
  expect(await handshake(await own.issue("lab", "byhand"), "-tls1_2")).not.toContain("server GET")
  expect(await errors("version")).toBe(1)
  expect(await handshake(await own.issue("lab", "byhand"), "-alpn", "http/1.1")).not.toContain("server GET")
  expect(await errors("protocol")).toBe(1)
  // As the control plane calls plugins.
  expect(await handshake(await own.issue("lab", "byhand"), "-alpn", "h2")).toContain("ALPN protocol: h2")
})

test("a server with a good certificate of another workload is turned away by the client", async () => {
  const impostor = await (mesh.ca as LabCa).issue("lab", "impostor")
  const file = join(folder, "impostor.pem")
  writeFileSync(file, impostor.certPem + impostor.keyPem)
  const tls = ["openssl", "s_server", "-accept", "8089", "-cert", file, "-alpn", "conduit.http1", "-rev"]
  const fake: LabProcess = plain.start(tls)
  await fake.saw("ACCEPT")
  const one = endpoint(plain, 8089, "server")
  await mesh.setTable({ outbound: { "10.96.0.41:80": { service: "fake", port: 80, endpoints: [one] } } })
  const before = await metric(client.pod, "outbound_tls_errors_total", `reason="wrong-identity"`)
  const answer = await curl("-i", "http://10.96.0.41/")
  expect(answer.stdout).toContain("502")
  expect(answer.stdout).toContain("conduit-proxy-error: connect-failed")
  expect(await metric(client.pod, "outbound_tls_errors_total", `reason="wrong-identity"`)).toBe(before + 1)
  await fake.stop("SIGKILL")
  await serverIs("server")
})

test("an address that another identity has taken over is refused, kept connections and all", async () => {
  await Promise.all([curl(`http://${SERVICE}/`), curl("--http2-prior-knowledge", `http://${SERVICE}:82/`)])
  await serverIs("successor")
  for (const path of [[`http://${SERVICE}/`], ["--http2-prior-knowledge", `http://${SERVICE}:82/`]]) {
    const refused = await curl("-i", ...path)
    expect(refused.stdout).toContain("connect-failed")
    expect(refused.stdout).not.toContain("server GET")
  }
  expect((await call(client.pod, SERVICE, 91, "for the successor")).received).toBe("")
  await serverIs("server")
  expect((await curl(`http://${SERVICE}/`)).stdout).toContain("server GET /")
})

test("raw TCP is half-closed both ways", async () => {
  expect(await call(client.pod, SERVICE, 90, "said before the end")).toMatchObject({
    received: "heard said before the end",
    ended: "end",
  })
})

test("a server that speaks first, and WebSocket, pass", async () => {
  expect(await call(client.pod, SERVICE, 25, "silent")).toMatchObject({ received: "220 ready\n" })
  const source = `const s = new WebSocket("ws://${SERVICE}/ws"); s.onopen = () => s.send("hello"); s.onmessage = e => { console.log(e.data); process.exit(0) }`
  expect((await client.pod.script(source)).stdout).toBe("hello\n")
})

test("an unmeshed client is served, and an unmeshed server called, as such", async () => {
  const direct = await plain.run(["curl", "-sS", "-m", "5", `http://${server.pod.ipv4}:8081/plain`])
  expect(direct.stdout).toContain("server GET /plain")
  expect(await metric(server.pod, "request_total", `tls="no_identity"`)).toBeGreaterThan(0)
  expect(await call(plain, server.pod.ipv4, 2525, "silent")).toMatchObject({ received: "220 ready\n" })
  expect((await curl(`http://${SERVICE}:81/bare`)).stdout).toContain("plain GET /bare")
  expect(
    await metric(client.pod, "request_total", `dst_service="plain"`, `tls="no_identity"`),
  ).toBeGreaterThan(0)
})

test("the application's own TLS travels inside, untouched, and from outside the mesh as before", async () => {
  for (const [pod, address] of [
    [client.pod, `${SERVICE}:443`],
    [plain, `${server.pod.ipv4}:8443`],
  ] as const) {
    const words = [
      "openssl",
      "s_client",
      "-connect",
      address,
      "-quiet",
      "-no_ign_eof",
      "-servername",
      "app.shop",
    ]
    const speak = `(echo mesh; sleep 0.5) | exec timeout 3 "$@"`
    expect((await pod.run(["sh", "-c", speak, "sh", ...words])).stdout).toBe("hsem\n")
  }
  const secured = [`authority="app.shop"`, `tls="true"`]
  expect(await metric(client.pod, "tcp_open_total", `peer="dst"`, ...secured)).toBe(1)
  expect(
    await metric(server.pod, "tcp_open_total", `peer="src"`, `tls="no_identity"`, `authority="app.shop"`),
  ).toBe(1)
})

test("1 GiB arrives whole, and slow readers hold their writers back without filling the proxies", async () => {
  const node = Bun.which("node") ?? "node"
  const bulk = server.pod.start([node, BULK_PEER, "serve"])
  await bulk.saw("listening").catch(() => {})
  const count = `let n = 0; Bun.connect({ hostname: "${SERVICE}", port: 70, socket: { data(_s, d) { n += d.length }, close() { console.log(n) } } })`
  expect((await client.pod.script(count)).stdout).toBe(`${1024 ** 3}\n`)
  const slow = ["tcp up", "tcp down"].map(what => client.pod.start([node, BULK_PEER, what, SERVICE]))
  let peak = 0
  for (const end = performance.now() + 4_000; performance.now() < end; await Bun.sleep(250)) {
    for (const { proxy } of [client, server]) peak = Math.max(peak, anonymousBytes(proxy.process.pid))
  }
  for (const one of [...slow, bulk]) await one.stop("SIGKILL")
  expect(peak).toBeLessThan(ANONYMOUS_LIMIT_BYTES)
}, 60_000)

test("outbound-mtls required: nothing of the cluster is called in plaintext, and the outside is as it was", async () => {
  strict = await mesh.meshedPod("strict", { env: { CONDUIT_PROXY_OUTBOUND_MTLS: "required" } })
  const { pod } = strict
  await ready(pod)
  await serverIs("server")
  const get = (...args: string[]) => pod.run(["curl", "-sS", "-i", "-m", "5", ...args])
  const caught = await wire(plain, async () => {
    const refused = await get(`http://${SERVICE}:81/${MARK}`)
    expect(refused.stdout).toContain("502")
    expect(refused.stdout).toContain("conduit-proxy-error: mtls-required")
  })
  expect(caught.includes(MARK)).toBe(false)
  expect(await metric(pod, "outbound_tls_errors_total", `reason="mtls-required"`)).toBe(1)
  expect((await get(`http://${SERVICE}/`)).stdout).toContain("server GET /")
  // A Service whose only endpoint is the caller: what it sends never leaves the pod, and no proxy stands before loopback.
  await pod.start([process.execPath, lab("http_peer.ts"), "strict"]).saw("listening")
  expect((await get("http://10.96.0.41/itself")).stdout).toContain("strict GET /itself")
  expect(await metric(pod, "response_total", `dst_service="itself"`, `tls="loopback"`)).toBe(1)
  // Nothing in the table stands for the outside.
  expect((await get(`http://${plain.ipv4}:8081/outside`)).stdout).toContain("plain GET /outside")
})
