// gRPC streams of many small messages through both proxies: a megabyte each way in frames of a kilobyte, over windows
// of 64 KiB, with consumers that stop in the middle. A window that is not given back in full stalls them for good.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod, metric } from "../lab/mod.ts"
import { BundledProxy } from "../lab/proxy_memory.ts"

const PEER = new URL("./grpc_flow_peer.mjs", import.meta.url).pathname
const SERVICE = "10.96.3.1"
const ROUNDS = 20
/** Three streams alone, then six at once. */
const STREAMS = ROUNDS * 9

let bundle: BundledProxy
let mesh: Mesh
let client: MeshedPod
let server: MeshedPod

beforeAll(async () => {
  bundle = await BundledProxy.build()
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client", bundle.options)
  server = await mesh.meshedPod("server", bundle.options)
  const endpoint = { ip: server.pod.ipv4, port: 9000, pod: "server", workload: "server", meshed: true }
  await mesh.setTable({
    outbound: { [`${SERVICE}:80`]: { service: "flow", port: 80, endpoints: [endpoint] } },
  })
  await server.pod.start(["node", PEER, "serve", "9000"]).saw("listening")
}, 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
  bundle?.[Symbol.dispose]()
})

test("no stream of many small messages stalls, alone or beside slow ones, in twenty rounds", async () => {
  const { stdout, stderr } = await client.pod.run(["node", PEER, "call", `${SERVICE}:80`, String(ROUNDS)])
  expect(stderr).toBe("")
  expect(JSON.parse(stdout)).toMatchObject({ whole: STREAMS, stalls: [] })
  expect(await metric(client.pod, "response_total", 'grpc_status="0"')).toBe(STREAMS)
  expect(await metric(server.pod, "response_total", 'grpc_status="0"')).toBe(STREAMS)
}, 120_000)
