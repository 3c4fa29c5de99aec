// The keep-alive race: a server closes a kept connection at the moment in which the next request is sent on it. The
// client, who is promised a connection by neither HTTP version, must not notice.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod } from "../lab/mod.ts"

const SERVICE = "10.96.6.1"
const REQUESTS = 1_500
const CALLERS = 4

let mesh: Mesh
let client: MeshedPod
let outside: { ipv4: string }

/** Says that it keeps connections, and closes each a few milliseconds after its first answer. */
const HASTY_SERVER = `
  let connections = 0
  Bun.listen({ hostname: "::", port: 8081, socket: {
    open() { connections++ },
    data(socket) {
      if (socket.data === "over") return
      socket.data = "over"
      socket.write("HTTP/1.1 200 OK\\r\\ncontent-length: 2\\r\\n\\r\\nok")
      setTimeout(() => socket.end(), Math.random() * 4)
    },
  } })
  console.log("listening")`

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client")
  const server = await mesh.meshedPod("server")
  const plain = mesh.lab.pod("outside")
  outside = plain
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: {
        service: "meshed",
        port: 80,
        endpoints: [{ ip: server.pod.ipv4, port: 8081, pod: "server", workload: "server", meshed: true }],
      },
      [`${SERVICE}:81`]: { service: "plain", port: 81, endpoints: [{ ip: outside.ipv4, port: 8081 }] },
    },
  })
  for (const pod of [server.pod, plain])
    await pod.start([process.execPath, "-e", HASTY_SERVER]).saw("listening")
}, 30_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

test.each([
  ["through both proxies", 80],
  ["through the client's proxy alone", 81],
])(
  "a server that closes kept connections as requests arrive fails none of them, %s",
  async (_how, port) => {
    const { stdout, stderr } = await client.pod.script(`
    const counts = {}
    async function caller() {
      for (let i = 0; i < ${REQUESTS / CALLERS}; i++) {
        const status = await fetch("http://${SERVICE}:${port}/").then(r => r.text().then(() => r.status), e => e.code)
        counts[status] = (counts[status] ?? 0) + 1
        await Bun.sleep(Math.random() * 5)
      }
    }
    await Promise.all(Array.from({ length: ${CALLERS} }, caller))
    console.log(JSON.stringify(counts))
    process.exit(0)`)
    expect({ stdout: stdout.trim(), stderr }).toEqual({ stdout: `{"200":${REQUESTS}}`, stderr: "" })
  },
  60_000,
)
