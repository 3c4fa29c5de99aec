// TLS of the application end to end: openssl on both ends, both proxies between, which read the server name out of
// the ClientHello (RFC 6066 section 3) and nothing else.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { Mesh, type MeshedPod, metric, type Result } from "../lab/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const SPLITTER = new URL("../lab/hello_splitter.ts", import.meta.url).pathname
const SERVICE = "10.96.0.30"
const PORT = 8443
const REPLY_MS = 2_000

let mesh: Mesh
let client: MeshedPod
let server: MeshedPod
let folder = ""

beforeAll(async () => {
  folder = tempFolder("tls-name")
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client", { env: { CONDUIT_PROXY_ACCESS_LOG: "json" } })
  server = await mesh.meshedPod("server", { env: { CONDUIT_PROXY_ACCESS_LOG: "json" } })
  const endpoint = { ip: server.pod.ipv4, port: PORT, pod: "server", workload: "server", meshed: true }
  await mesh.setTable({
    outbound: { [`${SERVICE}:443`]: { service: "server", port: 443, endpoints: [endpoint] } },
  })
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
  const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")]
  const made = await server.pod.run(["openssl", "req", "-x509", ...key, "-subj", "/CN=any", ...files])
  if (made.code !== 0) throw new Error(`openssl made no certificate: ${made.stderr}`)
  const pair = ["-cert", join(folder, "cert.pem"), "-key", join(folder, "key.pem")]
  await server.pod
    .start(["openssl", "s_server", "-accept", String(PORT), ...pair, "-rev", "-alpn", "h2,other"])
    .saw("ACCEPT")
}, 30_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** Says a line to a server that turns it round, over TLS. */
async function handshake(address: string, ...flags: string[]): Promise<Result> {
  const words = ["openssl", "s_client", "-connect", address, "-quiet", "-no_ign_eof", ...flags]
  const trust = ["-CAfile", join(folder, "cert.pem"), "-verify_return_error"]
  const speak = `(echo mesh; sleep 0.5) | exec timeout ${REPLY_MS / 1000} "$@"`
  return await client.pod.run(["sh", "-c", speak, "sh", ...words, ...trust])
}

async function opened(pod: MeshedPod, direction: string, peer: string, authority: string): Promise<number> {
  const labels = [`direction="${direction}"`, `peer="${peer}"`, `authority="${authority}"`]
  return await metric(pod.pod, "tcp_open_total", ...labels)
}

async function everywhere(authority: string): Promise<number[]> {
  return [
    await opened(client, "outbound", "src", authority),
    await opened(client, "outbound", "dst", authority),
    await opened(server, "inbound", "src", authority),
    await opened(server, "inbound", "dst", authority),
  ]
}

test.each(["-tls1_2", "-tls1_3"])(
  "with %s the server's own certificate and the bytes come whole, and the name is known on both sides",
  async version => {
    const name = `web${version.slice(1).replace("_", "-")}.shop`
    const answer = await handshake(
      `${SERVICE}:443`,
      version,
      "-servername",
      name.toUpperCase(),
      "-alpn",
      "h2",
    )
    expect(answer).toMatchObject({ code: 0, stdout: "hsem\n" })
    expect(await everywhere(name)).toEqual([1, 1, 1, 1])
    for (const { proxy } of [client, server]) {
      expect(proxy.stderr).toMatch(new RegExp(`TLS of the application.*sni=${name}.*alpn=h2`))
      await proxy.saw("connection ended")
      expect(proxy.stderr).toMatch(new RegExp(`connection ended.*sni=${name}`))
    }
  },
)

test("bytes are counted under the name", async () => {
  expect(await metric(client.pod, "tcp_read_bytes_total", 'authority="webtls1-3.shop"')).toBeGreaterThan(100)
  expect(await metric(server.pod, "tcp_open_connections", 'authority="webtls1-3.shop"')).toBe(0)
})

test("a client that names no server is served, and counted without a name", async () => {
  const before = await metric(client.pod, "tcp_open_total", "authority=")
  expect(await handshake(`${SERVICE}:443`, "-noservername")).toMatchObject({ code: 0, stdout: "hsem\n" })
  expect(await metric(client.pod, "tcp_open_total", "authority=")).toBe(before)
})

test.each([
  ["packets", "packet.shop", 9443],
  ["records", "record.shop", 9444],
])("a ClientHello in many %s is read and passes", async (how, name, local) => {
  const splitter = client.pod.start([process.execPath, SPLITTER, how, String(local), SERVICE, "443"])
  await splitter.saw("listening")
  const answer = await handshake(`127.0.0.1:${local}`, "-servername", name)
  expect(answer).toMatchObject({ code: 0, stdout: "hsem\n" })
  expect(await everywhere(name)).toEqual([1, 1, 1, 1])
  await splitter.stop()
})

test("a malformed ClientHello reaches the server, whose own answer comes back at once", async () => {
  // A record of a handshake whose session id is longer than the message.
  const hello =
    "16030100290100002503030000000000000000000000000000000000000000000000000000000000000000ff13010100"
  const begunMs = performance.now()
  const { stdout } = await client.pod.script(`
    const chunks = []
    const socket = await Bun.connect({ hostname: "${SERVICE}", port: 443, socket: {
      data(_, chunk) { chunks.push(chunk) },
      close() { console.log(Buffer.concat(chunks).toString("hex")); process.exit(0) },
    } })
    socket.write(Buffer.from("${hello}", "hex"))
  `)
  // A TLS alert of the server: record type 21, fatal.
  expect(stdout).toMatch(/^15030[0-9]000202/)
  expect(performance.now() - begunMs).toBeLessThan(2_000)
})
