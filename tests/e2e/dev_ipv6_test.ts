// IPv6 through the whole product: a Service of that family alone, reached by name and by address through both
// proxies of a local mesh. The redirect, SO_ORIGINAL_DST, discovery, names and packet rules all have a second family.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { DevMesh } from "../lab/dev_mesh.ts"

const TEST_MS = 60_000

let mesh: DevMesh

function deployment(name: string, command: readonly string[], ready: object) {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "six" },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 1, containers: [{ name, command, ...ready }] },
      },
    },
  }
}

function service(name: string, ports: readonly object[], more: object) {
  const spec = { selector: { app: "web" }, ports, ...more }
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "six" }, spec }
}

const SERVER = `
const family = address => (address.includes(".") ? "IPv4" : "IPv6")
const fetch = (request, server) => new Response(family(server.requestIP(request).address))
Bun.serve({ port: 8080, hostname: "::", fetch })
Bun.listen({ port: 2500, hostname: "::", socket: { open: s => s.write("220 six\\r\\n"), data: (s, d) => s.end(d) } })
`

beforeAll(async () => {
  const probe = { readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 } }
  const ports = [
    { name: "http", port: 80, targetPort: 8080 },
    { name: "smtp", port: 25, targetPort: 2500 },
  ]
  mesh = await DevMesh.up({
    name: "six",
    objects: [
      deployment("web", ["bun", "-e", SERVER], probe),
      deployment("client", ["sleep", "infinity"], {}),
      service("web", ports, { ipFamilies: ["IPv6"], ipFamilyPolicy: "SingleStack" }),
      service("both", ports, { ipFamilies: ["IPv6", "IPv4"], ipFamilyPolicy: "RequireDualStack" }),
    ],
  })
}, TEST_MS)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function inClient(...command: string[]) {
  return await mesh.exec("six", "client", command)
}

/** Sum of the series of a proxy's metric whose labels contain all of `labels`. */
async function metric(deployment: string, name: string, ...labels: string[]): Promise<number> {
  const lines = (await mesh.metrics("six", deployment)).split("\n")
  const mine = lines.filter(
    line => line.startsWith(`${name}{`) && labels.every(label => line.includes(label)),
  )
  return mine.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0)
}

async function addressOf(name: string, database: string): Promise<string> {
  const { stdout } = await inClient("getent", database, `${name}.six.svc.cluster.local`)
  return stdout.split(/\s/)[0] ?? ""
}

test("a Service of IPv6 alone has one address of that family, and no other", async () => {
  expect(await addressOf("web", "ahostsv6")).toContain("::")
  const v4 = await inClient("curl", "-4", "-sS", "-m", "3", "http://web/")
  expect(v4.status).toBe(6)
})

test("it is called by name and by address with curl -6, through both proxies", async () => {
  const before = await metric("web", "request_total", 'direction="inbound"')
  const address = await addressOf("web", "ahostsv6")
  for (const url of ["http://web/", "http://web.six.svc.cluster.local/", `http://[${address}]/`]) {
    const answer = await inClient("curl", "-6", "-sS", "-m", "3", url)
    expect([url, answer.stdout, answer.stderr, answer.status]).toEqual([url, "IPv6", "", 0])
  }
  expect(
    await metric(
      "client",
      "request_total",
      'direction="outbound"',
      'dst_service="web"',
      'dst_deployment="web"',
    ),
  ).toBe(3)
  expect((await metric("web", "request_total", 'direction="inbound"')) - before).toBe(3)
})

test("a server that speaks first goes the same way", async () => {
  const greeted = await inClient("curl", "-6", "-sS", "-m", "3", "telnet://web:25", "-T", "/dev/null")
  expect(greeted.stdout).toBe("220 six\r\n")
  expect(await metric("client", "tcp_open_total", 'peer="dst"', 'dst_deployment="web"')).toBeGreaterThan(0)
})

test("a Service of both families is reached over each, and pods by their own IPv6 address", async () => {
  for (const [family, seen] of [
    ["-6", "IPv6"],
    ["-4", "IPv4"],
  ] as const) {
    const answer = await inClient("curl", family, "-sS", "-m", "3", "http://both/")
    expect([family, answer.stdout]).toEqual([family, seen])
  }
  const { stdout } = await mesh.exec("six", "web", ["hostname", "-I"])
  const own = stdout.split(/\s+/).find(address => address.includes(":") && !address.startsWith("fe80")) ?? ""
  const direct = await inClient("curl", "-6", "-sS", "-m", "3", `http://[${own}]:8080/`)
  expect([own, direct.stdout]).toEqual([own, "IPv6"])
})

test("stat sees the traffic", async () => {
  const { stdout } = await mesh.cli("stat", "deploy/web", "-n", "six", "-o", "json")
  const [row] = JSON.parse(stdout) as { rps: number | null; success: number | null }[]
  expect(row?.success).toBe(1)
  expect(row?.rps ?? 0).toBeGreaterThan(0)
})
