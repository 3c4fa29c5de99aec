// What lives long: streams of one HTTP/2 connection, each balanced on its own, and WebSockets. Neither is cut by what
// the control plane says, by resting, or by a drain before its grace period is over.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type LabProcess, Mesh, type MeshedPod } from "../lab/mod.ts"

const STREAM_PEER = new URL("./stream_peer.mjs", import.meta.url).pathname
const NODE = Bun.which("node") ?? "node"
const SERVICE = "10.96.4.1"
const STREAMS = 40
const PATIENCE_MS = 15_000
const GRACE_MS = 12_000
/** Longer than any time after which a proxy lets go of something that rests: kept connections, detection. */
const REST_MS = 7_000

let mesh: Mesh
let client: MeshedPod
const servers: MeshedPod[] = []

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client")
  for (const name of ["first", "second", "third"]) {
    const server = await mesh.meshedPod(name, {
      workload: "web",
      env: { CONDUIT_PROXY_SHUTDOWN_GRACE_PERIOD: `${GRACE_MS / 1000}s` },
    })
    servers.push(server)
    await server.pod.start([NODE, STREAM_PEER, "serve", name]).saw("listening")
  }
  await endpoints("first", "second")
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** The control plane says that the service has these pods, and no others. */
async function endpoints(...names: string[]): Promise<void> {
  const at = (port: number) =>
    servers
      .filter(({ pod }) => names.includes(pod.name))
      .map(({ pod }) => ({ ip: pod.ipv4, port, pod: pod.name, workload: "web", meshed: true }))
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: { service: "web", port: 80, endpoints: at(8081) },
      [`${SERVICE}:82`]: { service: "web", port: 82, endpoints: at(8080) },
    },
  })
}

interface Generation {
  readonly by: Readonly<Record<string, number>>
  readonly ended: number
  /** Answers of the stream that has fewest. */
  readonly answered: number
}

function latest(holder: LabProcess): readonly Generation[] {
  const lines = holder.stdout.split("\n").filter(line => line.startsWith("{") && line.endsWith("}"))
  const { report, error } = JSON.parse(lines.at(-1) ?? "{}") as { report?: Generation[]; error?: string }
  if (error !== undefined) throw new Error(`the connection of the streams failed: ${error}`)
  return report ?? []
}

async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`)
    await Bun.sleep(100)
  }
}

test("long streams of one connection are balanced each on its own, and no push cuts one", async () => {
  const holder = client.pod.start([NODE, STREAM_PEER, "hold", SERVICE, "82", `${STREAMS}`])
  await until("every stream has answers", () => (latest(holder)[0]?.answered ?? 0) > 5)
  const [begun] = latest(holder)
  console.log(`  ${STREAMS} streams of one connection: ${JSON.stringify(begun?.by)}`)
  // Chosen at random they would be within this in all but one of a million runs.
  expect(begun?.by.first).toBeGreaterThan(STREAMS / 8)
  expect(begun?.by.second).toBeGreaterThan(STREAMS / 8)
  expect(begun?.by.third).toBeUndefined()

  // Told again, told more, told less: also an endpoint that is gone from the service keeps what it has.
  await endpoints("first", "second")
  await endpoints("first", "second", "third")
  await endpoints("second", "third")
  holder.process.stdin.write("more\n")
  holder.process.stdin.flush()
  await until("new streams have answers", () => (latest(holder)[1]?.answered ?? 0) > 5)
  const answeredBefore = latest(holder)[0]?.answered ?? 0
  await until("old streams go on", () => (latest(holder)[0]?.answered ?? 0) > answeredBefore + 10)
  const [old, young] = latest(holder)
  expect(old?.by).toEqual(begun?.by)
  expect(old?.ended).toBe(0)
  expect(young?.ended).toBe(0)
  expect(young?.by.first).toBeUndefined()
  expect(young?.by.third).toBeGreaterThan(STREAMS / 8)
  await holder.stop("SIGKILL")
  await endpoints("first", "second")
}, 60_000)

/** A WebSocket held open in the client's pod: what is written to its input is sent, what is echoed is printed. */
async function webSocket(): Promise<LabProcess> {
  const holder = client.pod.start([
    process.execPath,
    "-e",
    `const ws = new WebSocket("ws://${SERVICE}/socket")
     ws.onopen = () => console.log("open")
     ws.onmessage = event => console.log("echo", event.data)
     ws.onclose = event => { console.log("closed", event.code); process.exit(0) }
     for await (const line of console) { if (line === "bye") ws.close(1000); else ws.send(line) }`,
  ])
  await holder.saw("open")
  return holder
}

async function say(holder: LabProcess, text: string): Promise<void> {
  holder.process.stdin.write(`${text}\n`)
  holder.process.stdin.flush()
  await holder.saw(text === "bye" ? "closed" : `echo ${text}`)
}

test("WebSockets outlive pushes, resting, and a drain until its grace period is over", async () => {
  const [first] = servers
  if (first === undefined) throw new Error("there is a first server")
  for (const { pod } of servers) {
    await pod
      .start([
        process.execPath,
        "-e",
        `Bun.serve({ hostname: "::", port: 8081, fetch: (r, s) => (s.upgrade(r) ? undefined : new Response("web")),
           websocket: { idleTimeout: 0, message(ws, text) { ws.send(text) } } })
         console.log("listening")`,
      ])
      .saw("listening")
  }
  await endpoints("first")
  const leaving = await webSocket()
  const staying = await webSocket()
  await say(staying, "before")
  await endpoints("second", "third")
  await endpoints("first", "second", "third")
  await endpoints("second")
  await say(staying, "after-pushes")
  await Bun.sleep(REST_MS)
  await say(staying, "after-rest")

  const began = performance.now()
  first.proxy.process.kill("SIGTERM")
  await first.proxy.saw("draining")
  // Well past the window in which idle kept connections are closed.
  await Bun.sleep(GRACE_MS / 2)
  await say(staying, "while-draining")
  await say(leaving, "while-draining")
  await say(leaving, "bye")
  expect(first.proxy.process.exitCode).toBe(null)
  expect(await first.proxy.process.exited).toBe(0)
  expect(performance.now() - began).toBeGreaterThan(GRACE_MS - 500)
  expect(first.proxy.stderr).toContain("grace period is over")
  await staying.saw("closed")
}, 60_000)
