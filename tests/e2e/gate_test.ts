// A release pipeline as a team writes it: apply, gate, go on or stop. A good release passes; one that fails some requests
// and one that is slow are stopped, before the window's end.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { conduit, DevMesh } from "../lab/dev_mesh.ts"

/** A server whose behaviour each caller's path chooses: `/good`, `/failing` (5 % of requests), `/slow` (400 ms). */
const SERVER = `
let n = 0
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: async request => {
  const path = new URL(request.url).pathname
  if (path === "/slow") await Bun.sleep(400)
  return new Response("ok", { status: path === "/failing" && ++n % 20 === 0 ? 500 : 200 })
} })`

const load = (service: string, path: string) =>
  `setInterval(() => void fetch("http://${service}.shop${path}").then(r => r.text(), () => {}), 20)`

function deployment(name: string, script: string, port: number | null, inject = "enabled"): object {
  const ports = port === null ? {} : { ports: [{ name: "http", containerPort: port }] }
  const container = { name: "app", image: "app", command: [process.execPath, "-e", script], ...ports }
  const metadata = { labels: { app: name }, annotations: { "conduit.io/inject": inject } }
  const selector = { matchLabels: { app: name } }
  const spec = { selector, template: { metadata, spec: { containers: [container] } } }
  return { apiVersion: "apps/v1", kind: "Deployment", metadata: { name, namespace: "shop" }, spec }
}

function service(name: string): object {
  const spec = { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: "http" }] }
  return { apiVersion: "v1", kind: "Service", metadata: { name, namespace: "shop" }, spec }
}

const RELEASES = ["good", "failing", "slow"] as const
const OBJECTS = [
  { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
  ...RELEASES.flatMap(name => [deployment(name, SERVER, 8080), service(name)]),
  deployment("clients", RELEASES.map(name => load(name, `/${name}`)).join("\n"), null),
  deployment("idle", SERVER, 8080),
  deployment("plain", SERVER, 8080, "disabled"),
]

let mesh: DevMesh

beforeAll(async () => {
  mesh = await DevMesh.up({ name: "gate", objects: OBJECTS })
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
}, 60_000)

/** What a pipeline does: the gate decides whether `promoted` is reached. */
async function release(name: string, ...more: string[]) {
  const limits = ["--success", "99.5", "--p99", "350ms"]
  const began = performance.now()
  const ended = await mesh.cli("gate", `deploy/${name}`, "-n", "shop", ...limits, ...more)
  return { ...ended, promoted: ended.status === 0, tookMs: performance.now() - began }
}

/** A JUnit file as Python's XML parser reads it. */
function junitAsRead(text: string): unknown {
  const script = `
import json, sys, xml.etree.ElementTree as tree
suite = tree.parse(sys.stdin).getroot()
assert suite.tag == "testsuite"
cases = [[case.attrib, " ".join(failure.get("message") for failure in case.iter("failure"))] for case in suite.iter("testcase")]
print(json.dumps({"suite": suite.attrib, "cases": cases}))`
  const read = Bun.spawnSync(["python3", "-c", script], { stdin: Buffer.from(text) })
  if (read.exitCode !== 0) throw new Error(`no JUnit: ${read.stderr}\n${text}`)
  return JSON.parse(read.stdout.toString())
}

test("a pipeline lets a good release pass, and stops one that fails requests and one that is slow", async () => {
  const [good, failing, slow] = await Promise.all([
    release("good", "--for", "8s", "-o", "json"),
    release("failing", "--for", "1m", "-o", "junit"),
    release("slow", "--for", "1m"),
  ])
  expect({ status: good.status, stderr: good.stderr }).toMatchObject({ status: 0 })
  const report = JSON.parse(good.stdout) as { passed: boolean; resources: { responses: number }[] }
  expect(report).toMatchObject({
    passed: true,
    windowSeconds: 8,
    resources: [{ verdict: "passed", success: 1 }],
  })
  expect(report.resources[0]?.responses).toBeGreaterThan(100)
  expect(failing).toMatchObject({ status: 1, promoted: false })
  expect(failing.stderr).toMatch(
    /gate: deploy\/failing: success 9\d(\.\d+)? % is below 99.5 %: \d+ of \d+ requests failed/,
  )
  expect(junitAsRead(failing.stdout)).toEqual({
    suite: { name: "conduit gate", tests: "1", failures: "1", errors: "0", skipped: "0", time: "60" },
    cases: [
      [
        { classname: "conduit.gate", name: "shop/deploy/failing", time: "60" },
        expect.stringMatching(/^success 9\d(\.\d+)? % is below 99.5 %: /),
      ],
    ],
  })
  expect(slow).toMatchObject({ status: 1, promoted: false })
  expect(slow.stderr).toMatch(/gate: deploy\/slow: p99 \d+(\.\d)? ms is above 350 ms/)
  for (const { tookMs } of [failing, slow]) expect(tookMs).toBeLessThan(55_000)
}, 120_000)

test("what no traffic shows is a failure, as are pods that nobody watches and what is not there", async () => {
  const [idle, allowed, plain, missing, wrong] = await Promise.all([
    release("idle", "--for", "1s"),
    release("idle", "--for", "1s", "--allow-no-traffic"),
    release("plain", "--for", "1s"),
    release("nobody"),
    conduit(["gate", "deploy/good", "--success", "0.995"]),
  ])
  expect(idle).toMatchObject({ status: 1 })
  expect(idle.stderr).toContain("deploy/idle: no HTTP request ended within 1 s")
  expect(allowed.status).toBe(0)
  expect(plain.stderr).toContain("deploy/plain: its pod is not meshed")
  expect(missing).toMatchObject({ status: 1 })
  expect(missing.stderr).toContain('deployment "nobody" is not known in namespace "shop"')
  expect(wrong).toMatchObject({ status: 2 })
  expect(wrong.stderr).toContain("write 99.5% if that is what")
}, 120_000)
