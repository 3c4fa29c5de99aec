// Live requests in a local mesh: what a tap tells of known requests, who may listen, and what a reader that stops costs.
import { afterAll, beforeAll, expect, test } from "bun:test"
import type { TapJson } from "../../cli/traffic/tap_lines.ts"
import { conduitProcess, DevMesh } from "../lab/dev_mesh.ts"

const NAMESPACE = "tapped"
const SERVER = `
Bun.serve({ hostname: "::", port: 8080, fetch(request) {
  const { pathname } = new URL(request.url)
  const status = Number(/^\\/status\\/(\\d+)/.exec(pathname)?.[1] ?? 200)
  return new Response("0123456789", { status })
} })`

function workload(name: string, command: readonly string[], port?: number) {
  const labels = { app: name }
  return [
    {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: NAMESPACE },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: name,
            containers: [
              {
                name: "app",
                image: "none",
                command,
                ...(port === undefined
                  ? {}
                  : {
                      ports: [{ containerPort: port }],
                      readinessProbe: { tcpSocket: { port }, periodSeconds: 1 },
                    }),
              },
            ],
          },
        },
      },
    },
    { apiVersion: "v1", kind: "ServiceAccount", metadata: { name, namespace: NAMESPACE } },
    ...(port === undefined
      ? []
      : [
          {
            apiVersion: "v1",
            kind: "Service",
            metadata: { name, namespace: NAMESPACE },
            spec: { selector: labels, ports: [{ port: 80, targetPort: port }] },
          },
        ]),
  ]
}

let mesh: DevMesh

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "tap",
    objects: [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: NAMESPACE } },
      ...workload("web", [process.execPath, "-e", SERVER], 8080),
      ...workload("client", ["sleep", "infinity"]),
      ...workload("stranger", ["sleep", "infinity"]),
    ],
  })
}, 150_000)

afterAll(() => mesh[Symbol.asyncDispose](), 60_000)

/** Sends requests from a pod; gives the status of each. */
async function send(
  from: string,
  paths: readonly string[],
  headers: readonly string[] = [],
): Promise<string[]> {
  const urls = paths.flatMap(path => ["-o", "/dev/null", `http://web${path}`])
  const fields = headers.flatMap(header => ["-H", header])
  const { stdout, stderr } = await mesh.exec(NAMESPACE, from, [
    "curl",
    "-sS",
    "-w",
    "%{http_code} ",
    ...fields,
    ...urls,
  ])
  if (stdout === "") throw new Error(stderr)
  return stdout.trim().split(" ")
}

/** Starts a tap; back when its proxies are heard. */
async function tap(...args: readonly string[]) {
  const started = conduitProcess("tap", ...args, "-n", NAMESPACE, "--mesh", mesh.name)
  await started.saw("tapping", 30_000)
  return started
}

function requestsOf(stdout: string): TapJson[] {
  return stdout
    .trim()
    .split("\n")
    .filter(line => line !== "")
    .map(line => JSON.parse(line) as TapJson)
}

test("a tap tells of each request that passes, from both ends, and of nobody's secrets", async () => {
  const [inbound, outbound] = await Promise.all([
    tap("deploy/web", "-o", "json", "--max", "20", "--show-headers"),
    tap("deploy/client", "--to", "deploy/web", "-o", "json", "--max", "20"),
  ])
  const paths = Array.from({ length: 20 }, (_, i) => `/items/${i}?page=1`)
  const headers = ["x-mood: good", "authorization: Bearer very-secret", "cookie: id=very-secret"]
  expect(await send("client", paths, headers)).toEqual(paths.map(() => "200"))
  expect(await inbound.process.exited).toBe(0)
  expect(await outbound.process.exited).toBe(0)
  const [arrived, sent] = [requestsOf(inbound.stdout), requestsOf(outbound.stdout)]
  expect(arrived.map(({ path }) => path)).toEqual(paths)
  expect(sent.map(({ path }) => path)).toEqual(paths)
  expect(arrived[0]).toMatchObject({
    direction: "inbound",
    from: { namespace: NAMESPACE, kind: "deployment", name: "client" },
    to: { namespace: NAMESPACE, kind: "deployment", name: "web" },
    tls: true,
    method: "GET",
    status: 200,
    responseBytes: 10,
    success: true,
  })
  expect(arrived[0]?.from.identity).toStartWith("client.tapped.")
  expect(sent[0]).toMatchObject({
    direction: "outbound",
    to: { name: "web" },
    service: "web.tapped",
    tls: true,
  })
  const shown = new Map(arrived[0]?.headers.map(({ name, value }) => [name, value]))
  expect(shown.get("x-mood")).toBe("good")
  expect(shown.get("authorization")).toBe("[redacted]")
  expect(sent[0]?.headers.find(({ name }) => name === "x-mood")?.value).toBe("[redacted]")
  expect(inbound.stdout + outbound.stdout).not.toContain("very-secret")
  expect(outbound.stderr).toContain("20 requests of 1 proxy")
}, 60_000)

test("a tap tells of what its filters take, and of nothing else", async () => {
  const failed = await tap(
    "deploy/web",
    "-o",
    "json",
    "--status",
    "5xx",
    "--from",
    "deploy/client",
    "--path",
    "/status",
  )
  await send("stranger", ["/status/500"])
  await send("client", ["/status/503", "/status/200", "/items/1", "/status/404", "/status/500"])
  // What comes last has come after everything before.
  await send("client", ["/status/599"])
  await failed.saw("/status/599", 20_000)
  expect(await failed.stop("SIGINT")).toBe(0)
  expect(requestsOf(failed.stdout).map(({ path, status }) => [path, status])).toEqual([
    ["/status/503", 503],
    ["/status/500", 500],
    ["/status/599", 599],
  ])
  expect(failed.stderr).toContain("3 requests of 1 proxy")
}, 60_000)

test("no workload but the control plane's tap service is let in at a proxy's tap port", async () => {
  const { ip } = await mesh.pod(NAMESPACE, "web")
  const watch = `http://${ip}:4190/conduit.tap.v1.ProxyTapService/Watch`
  const ended = await mesh.exec(NAMESPACE, "client", [
    "curl",
    "-sS",
    "-m",
    "10",
    "--http2-prior-knowledge",
    "-X",
    "POST",
    "-H",
    "content-type: application/grpc",
    "-D",
    "-",
    watch,
  ])
  expect(`${ended.stdout}${ended.stderr}`).not.toContain("grpc-status: 0")
  expect(`${ended.stdout}`).toMatch(/conduit-proxy-error|^$/)
  const metrics = await mesh.metrics(NAMESPACE, "web")
  expect(metrics).toMatch(/inbound_tls_errors_total\{[^}]*reason="(not-allowed|protocol)"\} [1-9]/)
}, 30_000)

test("a reader that stops delays no request, and is told what it missed", async () => {
  const slow = await tap("deploy/web", "--max-rps", "10000", "-o", "wide")
  process.kill(slow.process.pid, "SIGSTOP")
  const paths = Array.from({ length: 500 }, (_, i) => `/items/${i}`)
  for (let round = 0; round < 4; round++)
    expect(new Set(await send("client", paths))).toEqual(new Set(["200"]))
  process.kill(slow.process.pid, "SIGCONT")
  await slow.saw("/items/0", 20_000)
  expect(await slow.stop("SIGTERM")).toBe(0)
  expect(slow.stderr).toMatch(/\d+ requests of 1 proxy/)
}, 90_000)

test("top counts what passes, and gives one table where there is no terminal", async () => {
  const top = conduitProcess(
    "top",
    "deploy/web",
    "-n",
    NAMESPACE,
    "--mesh",
    mesh.name,
    "--for",
    "6s",
    "-o",
    "json",
  )
  await Bun.sleep(2_500)
  await send("client", ["/items/1", "/items/2", "/items/3", "/status/500"])
  expect(await top.process.exited).toBe(0)
  const rows = JSON.parse(top.stdout) as Record<string, unknown>[]
  expect(
    rows.map(({ source, destination, method, path, count, success }) => [
      source,
      destination,
      method,
      path,
      count,
      success,
    ]),
  ).toEqual([
    ["deploy/client", "deploy/web", "GET", "/items/{id}", 3, 1],
    ["deploy/client", "deploy/web", "GET", "/status/{id}", 1, 0],
  ])
}, 30_000)
