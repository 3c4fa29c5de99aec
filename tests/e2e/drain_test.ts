// What a rollout looks like to those who call, under steady load of both HTTP versions: the proxy of the pod that goes
// gets its TERM first, clients hear of it a second later, and nobody sees a failure; nor does the pod's own traffic.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type LabProcess, Mesh, type MeshedPod } from "../lab/mod.ts"

const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const SERVICE = "10.96.7.1"
/** How long endpoints of a pod that goes stay in clients' views. */
const LATE_NEWS_MS = 1_000
const LOAD_MS = 12_000

let mesh: Mesh
let client: MeshedPod
let leaving: MeshedPod
let staying: MeshedPod

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client")
  leaving = await mesh.meshedPod("leaving", { workload: "web" })
  staying = await mesh.meshedPod("staying", { workload: "web" })
  await endpoints(leaving, staying)
  for (const { pod } of [leaving, staying])
    await pod.start([process.execPath, PEER, pod.name]).saw("listening")
}, 30_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function endpoints(...pods: MeshedPod[]): Promise<void> {
  const at = (port: number) =>
    pods.map(({ pod }) => ({ ip: pod.ipv4, port, pod: pod.name, workload: "web", meshed: true }))
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: { service: "web", port: 80, endpoints: at(8081) },
      [`${SERVICE}:82`]: { service: "web", port: 82, endpoints: at(8080) },
    },
  })
}

/** Steady calls from a pod: HTTP/1 on kept connections and on fresh ones, and HTTP/2 on one connection. Prints counts. */
function load(from: MeshedPod): LabProcess {
  return from.pod.start([
    process.execPath,
    "-e",
    `const { connect } = await import("node:http2")
     const counts = {}
     const note = (kind, result) => { counts[kind + " " + result] = (counts[kind + " " + result] ?? 0) + 1 }
     let session
     const http2 = () => new Promise(resolve => {
       if (session === undefined || session.closed || session.destroyed) {
         session = connect("http://${SERVICE}:82")
         session.on("error", () => {})
       }
       const stream = session.request({ ":path": "/", ":method": "POST" })
       let status = "none"
       stream.on("response", head => { status = head[":status"] })
       stream.on("data", () => {})
       stream.on("end", () => resolve(status))
       stream.on("error", error => resolve(error.message))
       stream.end("body")
     })
     const http1 = options => fetch("http://${SERVICE}/", options).then(r => r.text().then(() => r.status), e => e.code)
     const end = Date.now() + ${LOAD_MS}
     async function caller(kind, call) {
       while (Date.now() < end) {
         note(kind, await call())
         await Bun.sleep(5)
       }
     }
     await Promise.all([
       caller("kept", () => http1({})), caller("kept", () => http1({})), caller("post", () => http1({ method: "POST", body: "x" })),
       caller("fresh", () => http1({ keepalive: false })), caller("http2", http2), caller("http2", http2),
     ])
     console.log("counts " + JSON.stringify(counts))
     process.exit(0)`,
  ])
}

function countsOf(process: LabProcess): Record<string, number> {
  const line = process.stdout.split("\n").find(one => one.startsWith("counts ")) ?? "counts {}"
  return JSON.parse(line.slice("counts ".length)) as Record<string, number>
}

test("a pod that goes under load fails no request, its callers' nor its own", async () => {
  const callers = load(client)
  await Bun.sleep(2_000)
  // What the pod itself calls while it drains: one call after the other, each on a connection of its own.
  const own = leaving.pod.start([
    process.execPath,
    "-e",
    `for (;;) {
       const status = await fetch("http://${SERVICE}/", { keepalive: false }).then(r => r.text().then(() => r.status), e => e.code)
       console.log(status === 200 ? "fine" : "failed " + status)
       await Bun.sleep(20)
     }`,
  ])
  await own.saw("fine")
  leaving.proxy.process.kill("SIGTERM")
  await Bun.sleep(LATE_NEWS_MS)
  await endpoints(staying)
  // Well past the drain window; then the application has nothing more to do, and the proxy has not either.
  await Bun.sleep(5_000)
  const calls = own.stdout
  await own.stop("SIGKILL")
  expect(await leaving.proxy.process.exited).toBe(0)
  await callers.process.exited
  await Bun.sleep(50)
  const counts = countsOf(callers)
  console.log(`  callers: ${JSON.stringify(counts)}; the pod's own calls: ${calls.split("fine").length - 1}`)
  expect(Object.keys(counts).sort()).toEqual(["fresh 200", "http2 200", "kept 200", "post 200"])
  expect(new Set(calls.trim().split("\n"))).toEqual(new Set(["fine"]))
}, 60_000)
