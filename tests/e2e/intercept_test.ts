// Interception end to end: real iptables, real proxies on both sides, in namespaces; TCP in every shape.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Mesh, type MeshedPod, metric, type Pod, type Table } from "../lab/mod.ts"
import type { CallReport } from "../lab/tcp_peer.ts"

const PEER = new URL("../lab/tcp_peer.ts", import.meta.url).pathname
const SERVICE_V4 = "10.96.0.10"
const SERVICE_V6 = "fd96::10"
const BALANCED = "10.96.0.11"
const DEAD_FIRST = "10.96.0.12"

let mesh: Mesh
let client: MeshedPod
let server: MeshedPod
let outside: Pod

async function serve(pod: Pod, port: number, kind: string, name = ""): Promise<void> {
  await pod.start([process.execPath, PEER, "serve", "::", String(port), kind, name]).saw("listening")
}

async function call(pod: Pod, address: string, port: number, text: string): Promise<CallReport> {
  const { stdout, stderr } = await pod.run([process.execPath, PEER, "call", address, String(port), text])
  if (stdout === "") throw new Error(`the client printed nothing: ${stderr}`)
  return JSON.parse(stdout) as CallReport
}

function table(): Table {
  const one = { ip: server.pod.ipv4, pod: "server", workload: "server", meshed: true }
  const oneV6 = { ...one, ip: server.pod.ipv6 }
  const outbound: Record<string, Table["outbound"][string]> = {
    [`${BALANCED}:7`]: {
      service: "balanced",
      port: 7,
      endpoints: [
        { ...one, port: 7005 },
        { ...one, port: 7006 },
      ],
    },
    [`${DEAD_FIRST}:7`]: {
      service: "half-dead",
      port: 7,
      endpoints: [
        { ...one, port: 7009 },
        { ...one, port: 7007 },
      ],
    },
    [`${server.pod.ipv4}:7007`]: { endpoint: { ...one, port: 7007 } },
  }
  for (const [port, target] of [
    [7, 7007],
    [25, 7025],
    [99, 7099],
    [8, 7008],
  ] as const) {
    outbound[`${SERVICE_V4}:${port}`] = { service: "server", port, endpoints: [{ ...one, port: target }] }
    outbound[`[${SERVICE_V6}]:${port}`] = { service: "server", port, endpoints: [{ ...oneV6, port: target }] }
  }
  return { outbound }
}

beforeAll(async () => {
  mesh = await Mesh.create()
  client = await mesh.meshedPod("client", { redirect: { skipOutboundPorts: [{ from: 9999, to: 9999 }] } })
  server = await mesh.meshedPod("server")
  outside = mesh.lab.pod("outside")
  await mesh.setTable(table())
  await serve(server.pod, 7007, "echo")
  await serve(server.pod, 7025, "greet")
  await serve(server.pod, 7099, "reset")
  await serve(server.pod, 7008, "half-close")
  await serve(server.pod, 7005, "name", "five")
  await serve(server.pod, 7006, "name", "six")
  await serve(outside, 9000, "echo")
  await serve(outside, 9999, "echo")
}, 30_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

test.each([
  ["IPv4", SERVICE_V4],
  ["IPv6", SERVICE_V6],
])("bytes pass both proxies over %s", async (_family, address) => {
  const report = await call(client.pod, address, 7, "hello, mesh\r\n\r\n")
  expect(report).toMatchObject({ received: "hello, mesh\r\n\r\n", ended: "end" })
})

test("both proxies have counted those connections, and know both workloads", async () => {
  expect(
    await metric(client.pod, "tcp_open_total", 'direction="outbound"', 'peer="src"', 'dst_service="server"'),
  ).toBeGreaterThan(0)
  expect(
    await metric(
      client.pod,
      "tcp_open_total",
      'direction="outbound"',
      'peer="dst"',
      'dst_deployment="server"',
    ),
  ).toBeGreaterThan(0)
  expect(await metric(server.pod, "tcp_open_total", 'direction="inbound"', 'peer="src"')).toBeGreaterThan(0)
  expect(
    await metric(server.pod, "tcp_read_bytes_total", 'direction="inbound"', 'peer="src"'),
  ).toBeGreaterThan(0)
})

test.each([
  ["IPv4", SERVICE_V4],
  ["IPv6", SERVICE_V6],
])(
  "a server that speaks first is heard within 100 ms over %s, with no configuration",
  async (_family, address) => {
    const first = await call(client.pod, address, 25, "silent")
    expect(first.received).toBe("220 ready\n")
    expect(first.firstByteMs).toBeLessThan(100)
    const second = await call(client.pod, address, 25, "silent")
    expect(second.firstByteMs).toBeLessThan(100)
    expect(await metric(client.pod, "proxy_detect_total", 'result="server-first"')).toBeGreaterThan(0)
  },
)

test("half-close passes both proxies and the answer comes after it", async () => {
  expect(await call(client.pod, SERVICE_V4, 8, "GOODBYE\n")).toMatchObject({
    received: "heard GOODBYE\n",
    ended: "end",
  })
})

test("bytes that could become HTTP but do not are passed on within a bounded time", async () => {
  const { stdout } = await client.pod.script(`
    const start = performance.now()
    Bun.connect({ hostname: "${SERVICE_V4}", port: 7, socket: {
      open(s) { s.write("ABCD") },
      data(s, d) { console.log(JSON.stringify({ text: d.toString(), ms: performance.now() - start })); process.exit(0) },
    } })`)
  const { text, ms } = JSON.parse(stdout) as { text: string; ms: number }
  expect(text).toBe("ABCD")
  // Each of the two proxies holds them back for a quarter of a second.
  expect(ms).toBeLessThan(1_000)
})

test("a reset passes both proxies", async () => {
  expect((await call(client.pod, SERVICE_V4, 99, "!\n")).ended).toBe("ECONNRESET")
})

test("connections of a service spread over its endpoints", async () => {
  const names = await Promise.all(Array.from({ length: 12 }, () => call(client.pod, BALANCED, 7, "who?\n")))
  const seen = new Set(names.map(report => report.received.trim()))
  expect([...seen].sort()).toEqual(["five", "six"])
}, 20_000)

test("an endpoint that refuses is skipped for another one", async () => {
  // Outbound reaches the server's proxy, which accepts before it knows; what is refused there comes as a reset. So the
  // dead endpoint here is a port that is not redirected.
  await mesh.setTable({
    outbound: {
      ...table().outbound,
      [`${DEAD_FIRST}:7`]: {
        service: "half-dead",
        port: 7,
        endpoints: [
          { ip: outside.ipv4, port: 1, pod: "gone" },
          { ip: server.pod.ipv4, port: 7007, pod: "server", workload: "server", meshed: true },
        ],
      },
    },
  })
  for (let i = 0; i < 6; i++) expect((await call(client.pod, DEAD_FIRST, 7, "x\n")).received).toBe("x\n")
}, 20_000)

test("an address that nobody knows is forwarded as it came", async () => {
  expect((await call(client.pod, outside.ipv4, 9000, "out\n")).received).toBe("out\n")
  expect(await metric(client.pod, "tcp_open_total", `target_addr="${outside.ipv4}:9000"`)).toBeGreaterThan(0)
})

test("an address where nobody listens gives the client a reset", async () => {
  expect((await call(client.pod, outside.ipv4, 9001, "x\n")).ended).toBe("ECONNRESET")
})

test("a skipped port passes the proxy by", async () => {
  expect((await call(client.pod, outside.ipv4, 9999, "x\n")).received).toBe("x\n")
  expect(await metric(client.pod, "tcp_open_total", `target_addr="${outside.ipv4}:9999"`)).toBe(0)
})

test("a pod's own address goes to that pod", async () => {
  expect((await call(client.pod, server.pod.ipv4, 7007, "pod\n")).received).toBe("pod\n")
})

test("a pod that calls a service of which it is the only endpoint reaches itself", async () => {
  await serve(client.pod, 7070, "echo")
  const itself = { ip: client.pod.ipv4, port: 7070, pod: "client", workload: "client", meshed: true }
  await mesh.setTable({
    outbound: { ...table().outbound, "10.96.0.13:7": { service: "self", port: 7, endpoints: [itself] } },
  })
  expect((await call(client.pod, "10.96.0.13", 7, "me\n")).received).toBe("me\n")
  expect((await call(client.pod, "127.0.0.1", 7070, "loopback\n")).received).toBe("loopback\n")
})

test("the application's own TLS passes through both proxies unread", async () => {
  const files = "/tmp/cdlab-tls"
  await server.pod.run([
    "sh",
    "-c",
    `mkdir -p ${files} && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 ` +
      `-subj /CN=secret.lab -keyout ${files}/key.pem -out ${files}/cert.pem`,
  ])
  const secure = server.pod.start([
    "sh",
    "-c",
    `openssl s_server -accept 7443 -cert ${files}/cert.pem -key ${files}/key.pem -www`,
  ])
  await secure.saw("ACCEPT")
  const { stdout } = await client.pod.run([
    "curl",
    "-s",
    "--cacert",
    `${files}/cert.pem`,
    "--connect-to",
    `secret.lab:443:${server.pod.ipv4}:7443`,
    "-w",
    "%{http_code}",
    "https://secret.lab/",
  ])
  expect(stdout).toContain("200")
  expect(await metric(client.pod, "proxy_detect_total", 'result="tls"')).toBe(1)
  expect(await metric(server.pod, "proxy_detect_total", 'result="tls"')).toBe(1)
  await server.pod.run(["rm", "-r", files])
})

test("a connection from outside the mesh is taken in", async () => {
  expect((await call(outside, server.pod.ipv4, 7007, "in\n")).received).toBe("in\n")
})

test.each([4140, 4143])(
  "a connection meant for the proxy's own port %d is refused and counted, not looped",
  async port => {
    const before = await metric(server.pod, "proxy_connections_refused_total", 'reason="loop"')
    expect((await call(outside, server.pod.ipv4, port, "x\n")).ended).toBe("ECONNRESET")
    expect(await metric(server.pod, "proxy_connections_refused_total", 'reason="loop"')).toBe(before + 1)
  },
)

test("connecting to the outbound listener itself is refused", async () => {
  expect((await call(client.pod, "127.0.0.1", 4140, "x\n")).ended).toBe("ECONNRESET")
})

test("readiness and metrics are served to all, changes are taken from loopback only", async () => {
  const admin = `http://${server.pod.ipv4}:4191`
  const status = async (pod: Pod, ...args: string[]) =>
    (await pod.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", ...args])).stdout
  expect(await status(outside, `${admin}/ready`)).toBe("200")
  expect(await status(outside, `${admin}/metrics`)).toBe("200")
  expect(await status(outside, "-X", "POST", `${admin}/shutdown`)).toBe("403")
  expect(await status(outside, `${admin}/shutdown`)).toBe("405")
  expect(await status(outside, `${admin}/nothing`)).toBe("404")
  expect(await status(server.pod, "-X", "PUT", "-d", "info", "http://127.0.0.1:4191/log-level")).toBe("200")
  expect(await status(server.pod, "-X", "PUT", "-d", "loud", "http://127.0.0.1:4191/log-level")).toBe("400")
})

test("without the control plane known destinations go on, new ones are forwarded, and its return is noticed", async () => {
  await mesh.killControl()
  expect((await call(client.pod, SERVICE_V4, 7, "still here\n")).received).toBe("still here\n")
  await serve(outside, 9002, "echo")
  expect((await call(client.pod, outside.ipv4, 9002, "new\n")).received).toBe("new\n")
  await mesh.startControl()
  const deadline = Date.now() + 15_000
  while ((await metric(client.pod, "control_connected", 'svc="destination"')) === 0) {
    if (Date.now() > deadline) throw new Error("the proxy did not come back to the control plane")
    await Bun.sleep(100)
  }
}, 30_000)

test("a proxy that never met a control plane forwards and says that it is not ready", async () => {
  const { pod } = await mesh.meshedPod("alone", {
    env: { CONDUIT_PROXY_DESTINATION_ADDR: "10.77.0.250:1", CONDUIT_PROXY_TELEMETRY_ADDR: "10.77.0.250:1" },
  })
  expect((await call(pod, outside.ipv4, 9000, "alone\n")).received).toBe("alone\n")
  const { stdout } = await pod.run(["curl", "-s", "-w", "%{http_code}", "http://127.0.0.1:4191/ready"])
  expect(stdout).toContain("503")
  expect(stdout).toContain("10.77.0.250:1")
}, 20_000)

test("SIGTERM: unready at once, running connections finish, new ones are still taken, then exit 0", async () => {
  const leaving = await mesh.meshedPod("leaving")
  await serve(leaving.pod, 7000, "echo")
  const script = `
    const s = await Bun.connect({ hostname: "${leaving.pod.ipv4}", port: 7000, socket: {
      data(_s, d) { process.stdout.write(d) }, close() { process.exit(0) } } })
    s.write("first\\n")
    for await (const line of console) { if (line === "bye") s.end(); else s.write(line + "\\n") }`
  const holder = outside.start([process.execPath, "-e", script])
  await holder.saw("first")
  leaving.proxy.process.kill("SIGTERM")
  await leaving.proxy.saw("draining")
  const { stdout } = await leaving.pod.run([
    "curl",
    "-s",
    "-w",
    "%{http_code}",
    "http://127.0.0.1:4191/ready",
  ])
  expect(stdout).toContain("503")
  expect((await call(outside, leaving.pod.ipv4, 7000, "late\n")).received).toBe("late\n")
  expect((await call(leaving.pod, outside.ipv4, 9000, "outbound\n")).received).toBe("outbound\n")
  await Bun.sleep(3_500)
  expect(leaving.proxy.process.exitCode).toBe(null)
  holder.process.stdin.write("second\n")
  holder.process.stdin.flush()
  await holder.saw("second")
  holder.process.stdin.write("bye\n")
  holder.process.stdin.flush()
  expect(await leaving.proxy.process.exited).toBe(0)
}, 30_000)

test("a second SIGTERM ends at once", async () => {
  const leaving = await mesh.meshedPod("leaving2")
  leaving.proxy.process.kill("SIGTERM")
  await leaving.proxy.saw("draining")
  const start = performance.now()
  leaving.proxy.process.kill("SIGTERM")
  expect(await leaving.proxy.process.exited).toBe(0)
  expect(performance.now() - start).toBeLessThan(1_000)
}, 20_000)

test("a bad or missing setting is named and ends with 2, a port that is taken with 1", async () => {
  const main = new URL("../../proxy/main.ts", import.meta.url).pathname
  const missing = await outside.run([process.execPath, main], { env: { CONDUIT_PROXY_NAMESPACE: "lab" } })
  expect(missing.code).toBe(2)
  expect(missing.stderr).toContain("CONDUIT_PROXY_POD is not set")
  const twice = await client.pod.run([process.execPath, main], {
    env: {
      CONDUIT_PROXY_NAMESPACE: "lab",
      CONDUIT_PROXY_POD: "twice",
      CONDUIT_PROXY_DESTINATION_ADDR: "10.77.0.10:8086",
      CONDUIT_PROXY_TELEMETRY_ADDR: "10.77.0.10:8086",
    },
  })
  expect(twice.code).toBe(1)
  expect(twice.stderr).toContain("taken")
  expect(twice.stderr).not.toContain("    at ")
}, 20_000)
