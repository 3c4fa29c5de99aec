// Headless Services and the pods of a StatefulSet: who asks for one pod by name or address gets that very pod, through
// both proxies, whatever the protocol; and is counted as having called it.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { DevMesh } from "../lab/dev_mesh.ts"
import { sumOf } from "../lab/prometheus_text.ts"

const REPLICAS = 3
const SET_UP_TIMEOUT_MS = 120_000
const PODS = Array.from({ length: REPLICAS }, (_, number) => `db-${number}`)

/** Says its pod's name: over HTTP/1 on 8080, over HTTP/2 on 8082, over raw TCP to whoever connects on 7000. */
const SERVER = `
  const name = process.env.POD
  Bun.serve({ hostname: "::", port: 8080, fetch: () => new Response(name + "\\n") })
  require("node:http2").createServer((_, response) => response.end(name + "\\n")).listen(8082, "::")
  require("node:net").createServer(socket => socket.end(name + "\\n")).listen(7000, "::")`

let mesh: DevMesh

beforeAll(async () => {
  const metadata = { name: "db", namespace: "shop" }
  const ports = [8080, 8082, 7000].map(port => ({ name: `p${port}`, port }))
  mesh = await DevMesh.up({
    name: "stateful",
    objects: [
      {
        apiVersion: "v1",
        kind: "Service",
        metadata,
        spec: { clusterIP: "None", selector: { app: "db" }, ports },
      },
      {
        apiVersion: "apps/v1",
        kind: "StatefulSet",
        metadata,
        spec: {
          serviceName: "db",
          replicas: REPLICAS,
          podManagementPolicy: "Parallel",
          selector: { matchLabels: { app: "db" } },
          template: {
            metadata: { labels: { app: "db" } },
            spec: {
              containers: [
                {
                  name: "db",
                  image: "none",
                  command: ["bun", "-e", SERVER],
                  env: [{ name: "POD", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } }],
                  ports: [{ containerPort: 8080 }],
                  readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
                },
              ],
            },
          },
        },
      },
      {
        apiVersion: "apps/v1",
        kind: "Deployment",
        metadata: { name: "client", namespace: "shop" },
        spec: {
          replicas: 1,
          selector: { matchLabels: { app: "client" } },
          template: {
            metadata: { labels: { app: "client" } },
            spec: { containers: [{ name: "client", image: "none", command: ["sleep", "infinity"] }] },
          },
        },
      },
    ],
  })
}, SET_UP_TIMEOUT_MS)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
}, SET_UP_TIMEOUT_MS)

/** What a shell in the client's pod prints. */
async function client(script: string): Promise<string> {
  const { status, stdout, stderr } = await mesh.exec("shop", "client", ["sh", "-c", script])
  if (status !== 0) throw new Error(`${script}: ended with ${status}: ${stderr}`)
  return stdout
}

async function called(pod: string, metric: string): Promise<number> {
  return sumOf(await mesh.metrics("shop", "client"), metric, {
    direction: "outbound",
    dst_pod: pod,
    dst_statefulset: "db",
    // Connections are counted on both sides of the proxy; requests have no such label.
    ...(metric.startsWith("tcp_") ? { peer: "dst" } : {}),
  })
}

test.each([
  ["HTTP/1", (host: string) => `curl -sS http://${host}:8080/`, "request_total"],
  ["HTTP/2", (host: string) => `curl -sS --http2-prior-knowledge http://${host}:8082/`, "request_total"],
  [
    "raw TCP, where the server speaks first",
    (host: string) => `bash -c 'cat < /dev/tcp/${host}/7000'`,
    "tcp_open_total",
  ],
])(
  "each pod of a StatefulSet is reached by its name, and no other, over %s",
  async (_what, command, metric) => {
    for (const pod of PODS) {
      const before = await called(pod, metric)
      const answers = await client(`for i in 1 2 3 4 5; do ${command(`${pod}.db`)}; done`)
      expect(answers).toBe(`${pod}\n`.repeat(5))
      expect((await called(pod, metric)) - before).toBe(5)
    }
  },
  60_000,
)

test("a pod's address leads to that pod, also for a Host that names another", async () => {
  const pods = (await mesh.pods()).filter(pod => PODS.includes(pod.pod))
  expect(pods).toHaveLength(REPLICAS)
  for (const { pod, ip } of pods) {
    expect(await client(`curl -sS -H 'host: db-0.db' http://${ip}:8080/ http://${ip}:8080/`)).toBe(
      `${pod}\n${pod}\n`,
    )
  }
}, 60_000)

test("the headless name gives all pods' addresses, and each leads where it says", async () => {
  const addresses = (await client("getent ahostsv4 db | cut -d' ' -f1 | sort -u")).trim().split("\n")
  const pods = (await mesh.pods()).filter(pod => PODS.includes(pod.pod))
  expect(addresses.sort()).toEqual(pods.map(pod => pod.ip).sort())
  const names = await client(
    `for a in ${addresses.join(" ")}; do curl -sS --resolve db:8080:$a http://db:8080/; done`,
  )
  expect(names.trim().split("\n").sort()).toEqual(PODS)
}, 60_000)
