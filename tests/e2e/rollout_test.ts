// Applications that close their listeners at once on TERM are rolled under load, with several replicas each: no
// HTTP POST and no gRPC call fails, since what reached no application is sent to another.
import { afterAll, beforeAll, expect, test } from "bun:test"
import type { LoadCounts } from "../../deploy/local/demo/load.ts"
import { applyObjects, findLocalMesh, type KubeObject, type LocalMesh, meshReport } from "../../deploy/mod.ts"
import { DevMesh } from "../lab/dev_mesh.ts"
import { sumOf } from "../lab/prometheus_text.ts"

const SET_UP_TIMEOUT_MS = 120_000
/** Longest time for all pods of a Deployment to be replaced. */
const ROLLOUT_LIMIT_MS = 60_000
/** Times that each Deployment is rolled. */
const ROLLOUTS = 3
const REPLICAS = 3
/** A POST that met the close of the kept connection it was sent on. */
const RACED = "502 upstream-gone"

/** How long an application does not listen after USR2, as rollout_app.ts says. */
const AWAY_MS = 3000

function deployment(role: string, replicas: number, port: number, revision: string): KubeObject {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: role, namespace: "shop" },
    spec: {
      replicas,
      selector: { matchLabels: { app: role } },
      template: {
        metadata: { labels: { app: role }, annotations: { "test/revision": revision } },
        spec: {
          terminationGracePeriodSeconds: 10,
          containers: [
            {
              name: role,
              image: "none",
              command: ["bun", "tests/e2e/rollout_app.ts", role],
              ports: [{ containerPort: port }],
              readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
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

let mesh: DevMesh
let local: LocalMesh

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "rollout",
    objects: [
      deployment("echo", REPLICAS, 8080, "0"),
      service("echo", 8080),
      deployment("cart", REPLICAS, 9090, "0"),
      service("cart", 9090),
      deployment("load", 1, 8080, "0"),
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

/**
 * Runs something under the load; gives what was sent meanwhile, and sent again.
 *
 * @param raced  most POSTs that may meet the close of the kept connection they are sent on: nobody can know whether the
 *   application has read them, so that they are not sent again (RFC 9110 section 9.2.2)
 * @throws when anything else failed
 */
async function underLoad(what: () => Promise<void>, raced = 0): Promise<{ sent: number; again: number }> {
  const actual = async () => sumOf(await mesh.metrics("shop", "load"), "route_actual_request_total")
  const before = await load("pause")
  const actualBefore = await actual()
  await load("resume")
  await what()
  const after = await load("pause")
  const rows = after.calls.map((call, index) => ({
    name: call.name,
    sent: call.sent - (before.calls[index]?.sent ?? 0),
    failures: call.failures,
  }))
  const sent = rows.reduce((sum, row) => sum + row.sent, 0)
  const again = (await actual()) - actualBefore - sent
  console.log(`  ${sent} requests, ${again} sent again`, rows)
  for (const { name, failures } of rows) {
    const { [RACED]: met = 0, ...others } = failures
    expect({ name, others }).toEqual({ name, others: {} })
    expect(met).toBeLessThanOrEqual(raced)
  }
  return { sent, again }
}

test(
  "rolling applications that close their listeners at once on TERM fails no POST and no gRPC call",
  async () => {
    const { sent } = await underLoad(async () => {
      for (let n = 1; n <= ROLLOUTS; n++) {
        await replaceAll(deployment("echo", REPLICAS, 8080, `${n}`))
        await replaceAll(deployment("cart", REPLICAS, 9090, `${n}`))
      }
    })
    expect(sent).toBeGreaterThan(1000)
  },
  SET_UP_TIMEOUT_MS + 2 * ROLLOUTS * ROLLOUT_LIMIT_MS,
)

test(
  "an application that refuses for seconds while callers go on to be sent to its pod fails no call",
  async () => {
    const { again } = await underLoad(async () => {
      const pods = (await mesh.pods()).filter(
        ({ deployment }) => deployment === "echo" || deployment === "cart",
      )
      for (const { pid } of pods) {
        process.kill(pid, "SIGUSR2")
        await Bun.sleep(AWAY_MS + 1000)
      }
      // Nothing tells the proxy that an application is about to close what it keeps: one or two at each close.
    }, 2 * REPLICAS)
    // Each of the six pods was asked at least once while its application was away.
    expect(again).toBeGreaterThanOrEqual(2 * REPLICAS)
  },
  2 * REPLICAS * (AWAY_MS + 1000) + 60_000,
)
