// TLSRoutes, TCPRoutes and backends outside of the mesh on a local mesh, with real processes: a name leads where its route
// says, shares hold, a name of no route leads nowhere, and a route leads to an address that is no pod of a Service.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { DevMesh } from "../lab/dev_mesh.ts"

const TEST_MS = 60_000
const CONNECTIONS = 40

/** Says its name: over TLS for any name on 8443, at once to who connects to 9000, and over HTTP on 8080. */
const server = (name: string) => `
const { spawnSync } = require("node:child_process")
const made = spawnSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
  "-keyout", "-", "-out", "-", "-subj", "/CN=${name}", "-days", "2"]).stdout.toString()
require("node:tls").createServer({ key: made, cert: made }, socket => socket.on("error", () => {}).end("${name}")).listen(8443, "0.0.0.0")
require("node:net").createServer(socket => socket.on("error", () => {}).end("${name}")).listen(9000, "0.0.0.0")
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response("${name}") })`

/** Connects so many times, over TLS for a name or (empty) without, and prints how often what was heard. */
const CLIENT = `
const [host, port, servername, count] = process.argv.slice(1)
const seen = {}
for (let i = 0; i < Number(count); i++) {
  const heard = await new Promise(resolve => {
    const at = { host, port: Number(port), timeout: 8000 }
    const socket = servername === "" ? require("node:net").connect(at)
      : require("node:tls").connect({ ...at, servername, rejectUnauthorized: false })
    let text = ""
    socket.on("data", chunk => text += chunk).on("end", () => resolve(text)).on("error", error => resolve(error.code))
    socket.on("close", () => resolve(text || "closed")).on("timeout", () => resolve("timeout"))
  })
  seen[heard] = (seen[heard] ?? 0) + 1
}
console.log(JSON.stringify(seen))
process.exit(0)`

function deployment(name: string, command: readonly string[], annotations: object = {}): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas: 1,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: {
          containers: [
            { name: "app", image: "app", command, ...(name === "client" ? {} : { readinessProbe: PROBE }) },
          ],
        },
      },
    },
  }
}
const PROBE = { tcpSocket: { port: 9000 }, periodSeconds: 1 }

const PORTS = [
  { name: "tls", port: 443, targetPort: 8443 },
  { name: "tcp", port: 9000, targetPort: 9000 },
  { name: "http", port: 80, targetPort: 8080 },
  { name: "any", port: 81, targetPort: 8080 },
]

function service(name: string, spec: object): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop" },
    spec: { ports: PORTS, ...spec },
  }
}

function route(kind: string, name: string, port: number, spec: object): object {
  return {
    apiVersion: `gateway.networking.k8s.io/${kind === "TCPRoute" ? "v1alpha2" : "v1"}`,
    kind,
    metadata: { name, namespace: "shop" },
    spec: { parentRefs: [{ group: "", kind: "Service", name: "web", port }], ...spec },
  }
}

const to = (name: string, port: number, weight = 1) => ({ name, port, weight })
const run = (name: string, annotations: object = {}) =>
  deployment(name, [process.execPath, "-e", server(name)], annotations)

let mesh: DevMesh

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "raw",
    objects: [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
      ...["v1", "v2"].flatMap(name => [run(name), service(name, { selector: { app: name } })]),
      run("outside", { "conduit.io/inject": "disabled" }),
      deployment("client", ["sleep", "infinity"]),
      service("web", { selector: { app: "v1" } }),
      service("external", {}),
      route("TLSRoute", "one", 443, {
        hostnames: ["one.example"],
        rules: [{ backendRefs: [to("v1", 443)] }],
      }),
      route("TLSRoute", "wild", 443, {
        hostnames: ["*.example"],
        rules: [{ backendRefs: [to("v1", 443, 30), to("v2", 443, 70)] }],
      }),
      route("TLSRoute", "nowhere", 443, {
        hostnames: ["nowhere.example"],
        rules: [{ backendRefs: [to("gone", 443)] }],
      }),
      route("TCPRoute", "tcp", 9000, { rules: [{ backendRefs: [to("v1", 9000, 3), to("v2", 9000, 1)] }] }),
      route("TCPRoute", "any", 81, { rules: [{ backendRefs: [to("v1", 81), to("v2", 81)] }] }),
      route("HTTPRoute", "out", 80, {
        rules: [
          { matches: [{ path: { value: "/out" } }], backendRefs: [to("external", 80)] },
          { backendRefs: [to("v2", 80)] },
        ],
      }),
    ],
  })
  const { ip } = await mesh.pod("shop", "outside")
  await mesh.apply({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "external", namespace: "shop", labels: { "kubernetes.io/service-name": "external" } },
    addressType: "IPv4",
    ports: PORTS.map(({ name, targetPort }) => ({ name, port: targetPort, protocol: "TCP" })),
    endpoints: [{ addresses: [ip], conditions: { ready: true } }],
  })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function heard(port: number, name = "", count = CONNECTIONS): Promise<Record<string, number>> {
  const command = [process.execPath, "-e", CLIENT, "web", String(port), name, String(count)]
  const { status, stdout, stderr } = await mesh.exec("shop", "client", command)
  if (status !== 0) throw new Error(`the client ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as Record<string, number>
}

test(
  "a TLSRoute takes the names that it is for, the most specific one first, by its weights",
  async () => {
    expect(await heard(443, "one.example")).toEqual({ v1: CONNECTIONS })
    const { v1 = 0, v2 = 0, ...others } = await heard(443, "two.example")
    expect(others).toEqual({})
    expect(Math.abs(v2 / CONNECTIONS - 0.7)).toBeLessThan(0.07)
    expect(v1 + v2).toBe(CONNECTIONS)
    // No route is for this name, that one has no backend, and this is no TLS.
    expect(await heard(443, "elsewhere.test", 2)).toEqual({ ECONNRESET: 2 })
    expect(await heard(443, "nowhere.example", 2)).toEqual({ ECONNRESET: 2 })
    const plain = await mesh.exec("shop", "client", ["curl", "-sS", "-m", "10", "http://web:443/"])
    expect(plain.status).not.toBe(0)
  },
  TEST_MS,
)

test(
  "a TCPRoute spreads connections by its weights, also of servers that speak first",
  async () => {
    const { v1 = 0, v2 = 0, ...others } = await heard(9000)
    expect(others).toEqual({})
    expect(Math.abs(v2 / CONNECTIONS - 0.25)).toBeLessThan(0.07)
    expect(v1 + v2).toBe(CONNECTIONS)
  },
  TEST_MS,
)

test(
  "a TCPRoute spreads connections that carry HTTP too, and keeps each with its backend",
  async () => {
    const heardOf = async (...urls: string[]) =>
      (await mesh.exec("shop", "client", ["curl", "-sS", "-m", "10", "-w", "\\n", ...urls])).stdout
        .trim()
        .split("\n")
    const each: string[][] = []
    for (let i = 0; i < 8; i++) each.push(await heardOf("http://web:81/", "http://web:81/again"))
    expect(each.every(([first, again]) => first === again)).toBe(true)
    expect(new Set(each.flat())).toEqual(new Set(["v1", "v2"]))
  },
  TEST_MS,
)

test(
  "a route leads to an address outside of the mesh, and the rest of it where it did",
  async () => {
    const ask = async (path: string) =>
      (await mesh.exec("shop", "client", ["curl", "-sS", "-m", "10", `http://web${path}`])).stdout
    expect([await ask("/out"), await ask("/in")]).toEqual(["outside", "v2"])
  },
  TEST_MS,
)

test(
  "check and explain tell which name leads nowhere, and why",
  async () => {
    expect((await mesh.cli("check")).stdout).toContain(
      'TLSRoute shop/nowhere: BackendNotFound: spec.rules[0].backendRefs[0]: there is no Service "gone"',
    )
    const { stdout } = await mesh.cli("explain", "deploy/client", "svc/web:443", "-n", "shop")
    expect(stdout).toContain("a connection that asks for another name, or for none, is reset")
  },
  TEST_MS,
)
