// An address that another pod takes over: nothing that was learnt about the old one is held against the new one, and
// what the new one does is counted under its own name.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod, metric, type Pod } from "../lab/mod.ts"

const PEER = new URL("../lab/http_peer.ts", import.meta.url).pathname
const SERVICE = "10.96.8.1"

let mesh: Mesh
let client: MeshedPod
let reused: Pod
let steady: Pod

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client")
  reused = mesh.lab.pod("reused")
  steady = mesh.lab.pod("steady")
  await steady.start([process.execPath, PEER, "steady"]).saw("listening")
}, 30_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** The service has a pod of that name at the address that changes hands, and one that stays. */
async function taken(by: string): Promise<void> {
  await mesh.setTable({
    outbound: {
      [`${SERVICE}:80`]: {
        service: "web",
        port: 80,
        endpoints: [
          { ip: reused.ipv4, port: 8081, pod: by, workload: "web" },
          { ip: steady.ipv4, port: 8081, pod: "steady", workload: "web" },
        ],
      },
    },
  })
}

async function answers(count: number): Promise<string[]> {
  const urls = Array.from({ length: count }, () => `http://${SERVICE}/`)
  const { stdout } = await client.pod.run(["curl", "-s", "--max-time", "20", ...urls])
  return stdout
    .trim()
    .split("\n")
    .map(line => line.split(" ")[0] ?? "")
}

test("a pod that takes over the address of one that failed is called at once, under its own name", async () => {
  await taken("old")
  // Nobody listens there: refused again and again, it is set aside for longer and longer.
  for (let i = 0; i < 6; i++) {
    expect(new Set(await answers(20))).toEqual(new Set(["steady"]))
    await Bun.sleep(300)
  }
  expect(await metric(client.pod, "tcp_open_total", 'dst_pod="old"')).toBe(0)
  await reused.start([process.execPath, PEER, "new"]).saw("listening")
  await taken("new")
  const seen = await answers(40)
  expect(seen.filter(name => name === "new").length).toBeGreaterThan(5)
  expect(await metric(client.pod, "response_total", 'dst_pod="new"', 'status_code="200"')).toBe(
    seen.filter(name => name === "new").length,
  )
  expect(await metric(client.pod, "response_total", 'dst_pod="old"')).toBe(0)
}, 30_000)
