// Mirrors, rate limits and egress policies on a local mesh, with real processes: from the object to what callers, servers,
// metrics and commands say of it.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { DevMesh } from "../lab/dev_mesh.ts"

const TEST_MS = 60_000

/** Answers its name, and says at `/count` how many requests it saw, and what the last body was. */
const server = (name: string) => `
let count = 0
let body = ""
Bun.serve({
  hostname: "0.0.0.0",
  port: 8080,
  async fetch(request) {
    if (new URL(request.url).pathname === "/count") return Response.json({ count, body })
    count++
    body = await request.text()
    return new Response("${name}", { headers: { "x-pod": process.env.HOSTNAME ?? require("node:os").hostname() } })
  },
})`

/** One call of gRPC over HTTP/2 with prior knowledge: prints the fields of the answer's head. */
const GRPC = `
const session = require("node:http2").connect(process.argv[1])
const stream = session.request({ ":method": "POST", ":path": "/a.B/C", "content-type": "application/grpc" })
stream.on("response", fields => { console.log(JSON.stringify(fields)); session.destroy() })
stream.end()`

/** Says a ClientHello for a name to an address, and prints how that ends. */
const TLS = `
const [host, port, servername] = process.argv.slice(1)
const socket = require("node:tls").connect({ host, port: Number(port), servername, timeout: 4000 })
socket.on("error", error => console.log(error.code)).on("timeout", () => { console.log("timeout"); socket.destroy() })`

function deployment(
  name: string,
  command: readonly string[],
  ports: readonly object[] = [],
  replicas = 1,
): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { serviceAccountName: name, containers: [{ name: "app", image: "app", command, ports }] },
      },
    },
  }
}

const run = (name: string, replicas = 1) =>
  deployment(name, [process.execPath, "-e", server(name)], [{ name: "http", containerPort: 8080 }], replicas)

function service(
  name: string,
  app = name,
  annotations: Record<string, string> = {},
  spec: object = {},
): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop", annotations },
    spec: { ...spec, selector: { app }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
  }
}

function policy(kind: string, name: string, spec: object): object {
  return { apiVersion: "policy.conduit.io/v1alpha1", kind, metadata: { name, namespace: "shop" }, spec }
}

const MIRROR = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name: "mirror", namespace: "shop" },
  spec: {
    parentRefs: [{ group: "", kind: "Service", name: "web", port: 80 }],
    rules: [
      {
        filters: [
          { type: "RequestMirror", requestMirror: { backendRef: { name: "shadow", port: 80 } } },
          { type: "RequestMirror", requestMirror: { backendRef: { name: "dead", port: 80 } } },
        ],
        backendRefs: [{ name: "web", port: 80 }],
      },
    ],
  },
}

const SESSIONS = {
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name: "sessions", namespace: "shop" },
  spec: {
    parentRefs: [{ group: "", kind: "Service", name: "many", port: 80 }],
    rules: [{ sessionPersistence: { sessionName: "sid" }, backendRefs: [{ name: "many", port: 80 }] }],
  },
}

let mesh: DevMesh

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "traffic",
    objects: [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
      ...["web", "shadow"].flatMap(name => [run(name), service(name)]),
      run("many", 3),
      service("many"),
      service("sticky", "many", {}, { sessionAffinity: "ClientIP" }),
      service("faulty", "web", {
        ...{ "fault.conduit.io/delay": "300ms", "fault.conduit.io/abort": "503" },
        "fault.conduit.io/abort-percent": "50",
      }),
      SESSIONS,
      // Nobody listens behind this one.
      service("dead"),
      deployment("client", ["sleep", "infinity"]),
      MIRROR,
      policy("RateLimitPolicy", "shadow", {
        target: { kind: "Deployment", name: "shadow", ports: ["http"] },
        limits: [{ name: "burst", requests: 6, per: "1h", by: "Header", header: "x-user" }],
      }),
      policy("EgressPolicy", "out", {
        target: { kind: "Deployment", name: "client" },
        action: "Deny",
        rules: [{ hosts: ["*.denied.example"] }, { networks: ["198.51.100.0/24"] }],
      }),
    ],
  })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

async function curl(...words: string[]): Promise<string> {
  const { stdout } = await mesh.exec("shop", "client", ["curl", "-sSi", "-m", "10", ...words])
  return stdout
}

async function seenBy(name: string): Promise<{ count: number; body: string }> {
  const { stdout } = await mesh.exec("shop", name, ["curl", "-sS", "http://127.0.0.1:8080/count"])
  return JSON.parse(stdout)
}

async function until<T>(ask: () => Promise<T>, holds: (found: T) => boolean): Promise<T> {
  for (const end = Date.now() + 30_000; ; await Bun.sleep(200)) {
    const found = await ask()
    if (holds(found)) return found
    if (Date.now() > end) throw new Error(`waited in vain; last: ${JSON.stringify(found)}`)
  }
}

test(
  "a mirror sees the request with its body, and a mirror that is dead is nothing to the caller",
  async () => {
    expect(await curl("-d", "a body", "http://web/")).toMatch(/^HTTP\/1.1 200 OK[\s\S]*web$/)
    expect(
      await until(
        () => seenBy("shadow"),
        ({ count }) => count > 0,
      ),
    ).toEqual({ count: 1, body: "a body" })
    expect((await seenBy("web")).count).toBe(1)
    const metrics = await mesh.metrics("shop", "client")
    expect(metrics).toContain('request_mirror_total{outcome="answered"} 1')
    expect(metrics).toContain('request_mirror_total{outcome="failed"} 1')
  },
  TEST_MS,
)

test(
  "requests over the limit get 429 with what to wait for, gRPC calls 8, and others go on",
  async () => {
    const ask = async (user: string): Promise<string> => curl("-H", `x-user: ${user}`, "http://shadow/")
    const answers: string[] = []
    for (let i = 0; i < 8; i++) answers.push(await ask("a"))
    expect(answers.map(answer => answer.slice(9, 12))).toEqual([...Array(6).fill("200"), "429", "429"])
    const [over = ""] = answers.slice(-1)
    expect(over.toLowerCase()).toMatch(/conduit-proxy-error: limited; id=[a-z0-9]{8}\r\n/)
    expect(over.toLowerCase()).toMatch(/ratelimit-policy: "burst";q=6;w=3600\r\n/)
    expect(over.toLowerCase()).toMatch(/ratelimit: "burst";r=0;t=\d+\r\n/)
    expect(over.toLowerCase()).toMatch(/retry-after: \d+\r\n/)
    expect((await ask("b")).slice(9, 12)).toBe("200")
    const { stdout } = await mesh.exec("shop", "client", [
      ...[
        "sh",
        "-c",
        `for i in 1 2 3 4 5 6 7; do "$0" -e '${GRPC}' http://shadow:80; done`,
        process.execPath,
      ],
    ])
    expect(stdout.trim().split("\n").at(-1)).toContain('"grpc-status":"8"')
    const limited = /inbound_http_rate_limit_total\{[^}]*limit="burst"[^}]*decision="limit"\} (\d+)/
    expect(Number(limited.exec(await mesh.metrics("shop", "shadow"))?.[1])).toBeGreaterThanOrEqual(3)
    const listed = (await mesh.cli("policy", "list", "deploy", "-n", "shop")).stdout
    expect(listed).toMatch(/shop\/deploy\/shadow +shadow +Limit +8080 /)
    expect(listed).toMatch(/shop\/deploy\/client +out +Deny \(egress\)/)
    const id = /conduit-proxy-error: limited; id=([a-z0-9]+)/i.exec(over)?.[1] ?? ""
    const explained = await mesh.cli("explain", "--id", id)
    expect(explained.stdout).toContain('RateLimitPolicy shop/shadow, limit "burst"')
  },
  TEST_MS,
)

test(
  "what is called outside is denied by host, by network and by server name, and the rest passes",
  async () => {
    const denied = await curl("-H", "Host: api.denied.example", "http://192.0.2.10/")
    expect(denied).toMatch(/^HTTP\/1.1 403 Forbidden\r\nconduit-proxy-error: egress-denied; id=/)
    expect(await curl("http://198.51.100.7/")).toContain("egress-denied")
    // Nobody is there: but it is not the policy that says so.
    expect(await curl("-H", "Host: api.example", "http://192.0.2.10/")).toContain("connect-failed")
    const tls = async (name: string) =>
      (await mesh.exec("shop", "client", [process.execPath, "-e", TLS, "192.0.2.10", "443", name])).stdout
    const decided = async (labels: string): Promise<number> => {
      const line = new RegExp(`outbound_egress_total\\{${labels}[^}]*\\} (\\d+)`)
      return Number(line.exec(await mesh.metrics("shop", "client"))?.[1] ?? 0)
    }
    expect(await decided('protocol="http",decision="deny",egress_namespace="shop",egress_name="out"')).toBe(2)
    // A client that is slow to speak on a busy machine hears that nobody is there before it has named anybody.
    const say = (name: string, decision: string) =>
      until(
        async () => ({
          said: await tls(name),
          count: await decided(`protocol="tls",decision="${decision}"`),
        }),
        ({ count }) => count > 0,
      )
    expect((await say("api.denied.example", "deny")).said).toContain("ECONNRESET")
    await say("api.example", "allow")
  },
  TEST_MS,
)

test(
  "hosts outside are shown by conduit edges",
  async () => {
    const ask = async (): Promise<string> =>
      (await mesh.cli("edges", "deploy/client", "-n", "shop", "-o", "json", "-t", "5m")).stdout
    const shown = await until(ask, text => text.includes("api.example") && text.includes("external"))
    const rows = JSON.parse(shown) as { to: { kind: string; name: string }; reason: string }[]
    const outside = rows.filter(({ to }) => to.kind === "external").map(({ to }) => to.name)
    expect(outside).toContain("api.denied.example")
    expect(outside).toContain("api.example")
  },
  TEST_MS,
)

test(
  "sessions and callers stay with one of three pods, and others do not",
  async () => {
    const pods = async (url: string, ...words: string[]): Promise<string[]> => {
      const script = `for i in 1 2 3 4 5 6 7 8 9 10; do curl -sS -m 10 -o /dev/null -D - ${words.join(" ")} ${url} | grep -i x-pod; done`
      const { stdout } = await mesh.exec("shop", "client", ["sh", "-c", script])
      return [
        ...new Set(
          stdout
            .trim()
            .split("\n")
            .map(line => line.trim()),
        ),
      ]
    }
    expect((await pods("http://many/")).length).toBeGreaterThan(1)
    expect((await pods("http://sticky/")).length).toBe(1)
    const session = /set-cookie: (sid=[a-z0-9]+);/i.exec(await curl("http://many/"))?.[1] ?? "none"
    expect((await pods("http://many/", "-H", `'Cookie: ${session}'`)).length).toBe(1)
  },
  TEST_MS,
)

test(
  "injected faults delay and abort, and stat and check tell of them",
  async () => {
    const script =
      "for i in $(seq 24); do curl -sS -m 10 -o /dev/null -w '%{http_code} %{time_total}\\n' http://faulty/; done"
    const { stdout } = await mesh.exec("shop", "client", ["sh", "-c", script])
    const answers = stdout
      .trim()
      .split("\n")
      .map(line => line.split(" "))
    expect(new Set(answers.map(([status]) => status))).toEqual(new Set(["200", "503"]))
    for (const [, seconds] of answers) expect(Number(seconds)).toBeGreaterThan(0.29)
    expect(await curl("-o", "/dev/null", "http://web/")).toBe("")
    const warning =
      "Service shop/faulty: 100 % of requests are delayed by 300 ms, 50 % of requests are answered 503"
    expect((await mesh.cli("stat", "deploy", "-n", "shop")).stderr).toContain(`Warning: ${warning}`)
    expect((await mesh.cli("check")).stdout).toContain(warning)
  },
  TEST_MS,
)
