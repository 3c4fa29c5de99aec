// A node that dies without a word: its packets vanish in the middle of everything. Requests go elsewhere, what was on
// its way is given up within the bounds of PING and TCP_USER_TIMEOUT, and no connection to it stays for good.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod, metric, type Pod } from "../lab/mod.ts"

const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const TCP_PEER = new URL("../lab/tcp_peer.ts", import.meta.url).pathname
const SERVICE = "10.96.5.1"
/** 10 s of silence until the PING, 3 s for its answer; the rest is for a machine that is busy. */
const HTTP2_LIMIT_MS = 20_000
/** 30 s of unanswered data or probes (TCP_USER_TIMEOUT), and a turn of the kernel's timers. */
const TCP_LIMIT_MS = 50_000
const CALLERS = 4

let mesh: Mesh
let client: MeshedPod
let dying: MeshedPod
let living: MeshedPod

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client")
  dying = await mesh.meshedPod("dying", { workload: "web" })
  living = await mesh.meshedPod("living", { workload: "web" })
  const at = (port: number, ...pods: MeshedPod[]) =>
    pods.map(({ pod }) => ({ ip: pod.ipv4, port, pod: pod.name, workload: "web", meshed: true }))
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: { service: "web", port: 80, endpoints: at(8081, dying, living) },
      [`${SERVICE}:82`]: { service: "web", port: 82, endpoints: at(8080, dying, living) },
      [`${SERVICE}:7`]: { service: "echo", port: 7, endpoints: at(7007, dying) },
    },
  })
  for (const { pod } of [dying, living]) await pod.start([process.execPath, PEER, pod.name]).saw("listening")
  await dying.pod.start([process.execPath, TCP_PEER, "serve", "::", "7007", "echo"]).saw("listening")
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** From now on nothing gets in or out, not even a RST. */
async function die(pod: Pod): Promise<void> {
  const rules = [
    ["INPUT", "-i"],
    ["OUTPUT", "-o"],
  ].map(([chain = "", flag = ""]) => ["iptables", "-I", chain, flag, "eth0", "-j", "DROP"])
  for (const rule of rules) {
    const { code, stderr } = await pod.run(rule)
    if (code !== 0) throw new Error(`${rule.join(" ")}: ${stderr}`)
  }
}

interface Calls {
  readonly statuses: Readonly<Record<string, number>>
  readonly slowestMs: number
  /** Answers by pod in the second half of the time. */
  readonly late: Readonly<Record<string, number>>
}

/** GETs one after the other by several callers, over HTTP/1 (fetch) or HTTP/2 (one session). */
async function call(version: 1 | 2, forMs: number): Promise<Calls> {
  const { stdout, stderr } = await client.pod.script(`
    const { connect } = await import("node:http2")
    const session = ${version} === 2 ? connect("http://${SERVICE}:82") : null
    const get = () => session === null
      ? fetch("http://${SERVICE}/", { signal: AbortSignal.timeout(60_000) }).then(async r => [r.status, await r.text()])
      : new Promise((resolve, reject) => {
          const stream = session.request({ ":path": "/" })
          let status = 0, text = ""
          stream.setEncoding("utf8")
          stream.on("response", head => { status = head[":status"] })
          stream.on("data", chunk => { text += chunk })
          stream.on("end", () => resolve([status, text]))
          stream.on("error", reject)
        })
    const statuses = {}, late = {}
    let slowestMs = 0
    const end = Date.now() + ${forMs}
    async function caller() {
      while (Date.now() < end) {
        const began = Date.now()
        const [status, text] = await get().catch(error => [error.message, ""])
        slowestMs = Math.max(slowestMs, Date.now() - began)
        statuses[status] = (statuses[status] ?? 0) + 1
        const pod = text.split(" ")[0]
        if (Date.now() > end - ${forMs / 2}) late[pod] = (late[pod] ?? 0) + 1
        await Bun.sleep(20)
      }
    }
    await Promise.all(Array.from({ length: ${CALLERS} }, caller))
    console.log(JSON.stringify({ statuses, slowestMs, late }))
    process.exit(0)`)
  if (stdout === "") throw new Error(`the callers printed nothing: ${stderr}`)
  return JSON.parse(stdout) as Calls
}

/** A connection held open; how long after its beginning it ends, in milliseconds. */
async function holdTcp(speaks: boolean): Promise<number> {
  const { stdout } = await client.pod.script(`
    const began = Date.now()
    Bun.connect({ hostname: "${SERVICE}", port: 7, socket: {
      open(s) { s.write("hello\\n"); if (${speaks}) setInterval(() => s.write("still there?\\n"), 1000) },
      data() {},
      end() {},
      close() { console.log(Date.now() - began); process.exit(0) } } })
    setTimeout(() => { console.log("-1"); process.exit(0) }, ${TCP_LIMIT_MS + 15_000})`)
  return Number(stdout)
}

test("requests fail over, and every connection to the dead node is given up in time", async () => {
  const warm = [await call(1, 1_000), await call(2, 1_000)]
  for (const { statuses } of warm) expect(Object.keys(statuses)).toEqual(["200"])

  const calls1 = call(1, TCP_LIMIT_MS)
  const calls2 = call(2, TCP_LIMIT_MS)
  const silent = holdTcp(false)
  const speaking = holdTcp(true)
  await Bun.sleep(3_000)
  const openBefore = await metric(client.pod, "tcp_open_connections", 'peer="dst"', 'dst_pod="dying"')
  expect(openBefore).toBeGreaterThan(2)
  await die(dying.pod)

  const [http1, http2, silentMs, speakingMs] = await Promise.all([calls1, calls2, silent, speaking])
  console.log(
    `  HTTP/1: ${JSON.stringify(http1)}; HTTP/2: ${JSON.stringify(http2)}; ` +
      `raw: given up after ${silentMs} ms of silence, ${speakingMs} ms of unanswered data`,
  )
  for (const { statuses, late } of [http1, http2]) {
    // All of these are GETs: what nobody answered was asked again elsewhere.
    expect(Object.keys(statuses)).toEqual(["200"])
    expect(Object.keys(late)).toEqual(["living"])
  }
  expect(http2.slowestMs).toBeLessThan(HTTP2_LIMIT_MS)
  expect(http1.slowestMs).toBeLessThan(TCP_LIMIT_MS)
  for (const ms of [silentMs, speakingMs]) {
    expect(ms).toBeGreaterThan(3_000)
    expect(ms).toBeLessThan(TCP_LIMIT_MS)
  }
  expect(await metric(client.pod, "tcp_open_connections", 'peer="dst"', 'dst_pod="dying"')).toBe(0)
}, 120_000)
