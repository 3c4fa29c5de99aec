// No request fails while every endpoint is replaced one after the other, nor while the control plane is dead: not
// even one to a service that was idle since before.
import { afterAll, beforeAll, expect, test } from "bun:test"
import type { LoadCounts } from "../../deploy/local/demo/load.ts"
import { applyObjects, findLocalMesh, type KubeObject, type LocalMesh, meshReport } from "../../deploy/mod.ts"
import { DevMesh } from "../lab/dev_mesh.ts"

/** How long the load runs, at least. */
const LOAD_MS = 60_000
/** How long the control plane is dead. */
const DEAD_MS = 20_000
/** Between two looks at whether the control plane has come back, to kill it again. */
const KILL_AGAIN_MS = 100
/** Longest time for all pods of a Deployment to be replaced. */
const ROLLOUT_LIMIT_MS = 60_000
const SET_UP_TIMEOUT_MS = 120_000
const SHOP = "deploy/local/demo/main.ts"
const HEALTH_PORT = 8081

function deployment(
  name: string,
  replicas: number,
  port: number,
  command: string[],
  revision: string,
): KubeObject {
  // Services of the shop tell on a port of their own whether they are ready; the proxy leaves it alone.
  const ofShop = command.includes(SHOP)
  const probe = ofShop ? { httpGet: { path: "/ready", port: HEALTH_PORT } } : { tcpSocket: { port } }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: {
          labels: { app: name },
          annotations: {
            "test/revision": revision,
            "config.conduit.io/skip-inbound-ports": `${HEALTH_PORT}`,
          },
        },
        spec: {
          terminationGracePeriodSeconds: 10,
          containers: [
            {
              name,
              image: "none",
              command,
              ...(ofShop ? { env: [{ name: "HEALTH_PORT", value: `${HEALTH_PORT}` }] } : {}),
              ports: [{ containerPort: port }],
              readinessProbe: { ...probe, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  }
}

function service(name: string, port: number): KubeObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop" },
    spec: { selector: { app: name }, ports: [{ port }] },
  }
}

const catalog = (revision: string) => deployment("catalog", 3, 8080, ["bun", SHOP, "catalog"], revision)
const cart = (revision: string) => deployment("cart", 2, 9090, ["bun", SHOP, "cart"], revision)

let mesh: DevMesh
let local: LocalMesh

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "resilience",
    objects: [
      catalog("1"),
      service("catalog", 8080),
      cart("1"),
      service("cart", 9090),
      deployment("idle", 2, 8080, ["bun", SHOP, "catalog"], "1"),
      service("idle", 8080),
      deployment("load", 1, 8080, ["bun", "tests/e2e/resilience_load.ts"], "1"),
    ],
  })
  const found = findLocalMesh(mesh.name)
  if (found === null) throw new Error("the mesh that was just started is not found")
  local = found
}, SET_UP_TIMEOUT_MS)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
}, SET_UP_TIMEOUT_MS)

async function load(what: "counts" | "pause" | "resume"): Promise<LoadCounts> {
  const method = what === "counts" ? "GET" : "POST"
  const url = `http://127.0.0.1:8080/${what}`
  const { status, stdout, stderr } = await mesh.exec("shop", "load", ["curl", "-sS", "-X", method, url])
  if (status !== 0) throw new Error(`the load does not answer: ${stderr}`)
  return JSON.parse(stdout) as LoadCounts
}

async function callIdle(): Promise<number> {
  const url = "http://idle.shop:8080/products"
  const { stdout } = await mesh.exec("shop", "load", [
    "curl",
    "-sS",
    "-o",
    "/dev/null",
    "-w",
    "%{http_code}",
    url,
  ])
  return Number(stdout)
}

async function replaceAll(changed: KubeObject): Promise<void> {
  const name = changed.metadata.name
  const podsOf = async () => (await meshReport(local)).pods.filter(pod => pod.workload?.name === name)
  const before = new Set((await podsOf()).map(pod => pod.name))
  await applyObjects(local, [changed])
  const deadline = Date.now() + ROLLOUT_LIMIT_MS
  for (;;) {
    const pods = await podsOf()
    if (pods.length === before.size && pods.every(pod => pod.ready && !before.has(pod.name))) return
    if (Date.now() > deadline)
      throw new Error(`the pods of ${name} were not replaced within ${ROLLOUT_LIMIT_MS} ms`)
    await Bun.sleep(200)
  }
}

/** Kills the control plane's processes with -9, and each that comes back, for DEAD_MS. Returns how many. */
async function keepControlPlaneDead(): Promise<number> {
  const killed = new Set<number>()
  const end = Date.now() + DEAD_MS
  while (Date.now() < end) {
    for (const { namespace, pid } of (await meshReport(local)).pods) {
      if (namespace !== local.state.conduitNamespace || pid === null || killed.has(pid)) continue
      process.kill(pid, "SIGKILL")
      killed.add(pid)
    }
    await Bun.sleep(KILL_AGAIN_MS)
  }
  return killed.size
}

test(
  "under 500 requests a second, endpoints are replaced and the control plane dies, and no request fails",
  async () => {
    expect(await callIdle()).toBe(200)
    await load("pause")
    const before = await load("counts")
    await load("resume")
    const startMs = Date.now()

    await replaceAll(catalog("2"))
    await replaceAll(cart("2"))
    const replacedMs = Date.now() - startMs

    const dying = keepControlPlaneDead()
    await Bun.sleep(3000)
    const whileDead = await mesh.cli("stat", "deploy", "-A")
    const idle: number[] = []
    for (let n = 0; n < 10; n++) idle.push(await callIdle())
    const killed = await dying
    await Bun.sleep(Math.max(0, LOAD_MS - (Date.now() - startMs)))

    const after = await load("pause")
    const rows = after.calls.map((call, index) => ({
      name: call.name,
      sent: call.sent - (before.calls[index]?.sent ?? 0),
      failed: call.failed - (before.calls[index]?.failed ?? 0),
      heldBack: call.heldBack - (before.calls[index]?.heldBack ?? 0),
      failures: call.failures,
    }))
    const seconds = (after.runningMs - before.runningMs) / 1000
    console.log(
      `  ${seconds.toFixed(1)} s, endpoints replaced in ${replacedMs} ms, ${killed} processes killed`,
      rows,
    )
    expect(
      rows.map(({ name, failed, heldBack, failures }) => ({ name, failed, heldBack, failures })),
    ).toEqual(rows.map(({ name }) => ({ name, failed: 0, heldBack: 0, failures: {} })))
    expect(idle).toEqual(Array(10).fill(200))
    expect(killed).toBeGreaterThanOrEqual(3)
    expect(whileDead.status).toBe(1)
    expect(rows.reduce((sum, { sent }) => sum + sent, 0)).toBeGreaterThanOrEqual(
      0.98 * 500 * (LOAD_MS / 1000),
    )
  },
  LOAD_MS + 150_000,
)
