// Policy end to end: the table of cases through a real proxy that hears from the real policy service, then what only
// real connections show: bodies of denied requests, live connections under a changed policy, starts, silence.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { names } from "../../proxy/identity/test_ca.ts"
import { type LabProcess, Mesh, type MeshedPod, metric, type Pod, ready } from "../lab/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import type { Call, CallerTls, Outcome } from "../policy/caller.ts"
import { POLICY_CASES, PORT_OF, type PolicyCase } from "../policy/cases.ts"
import { worldOf } from "../policy/world.ts"

const ROOT = new URL("../../", import.meta.url).pathname

let mesh: Mesh
let api: MeshedPod
/** Clients that prove nothing. */
let web: Pod
let other: Pod
/** The same in the mesh: their proxies prove the service account `web`. */
let meshedWeb: Pod
let meshedOther: Pod
let folder = ""
let states = 0
const callers = new Map<Pod, LabProcess>()

beforeAll(async () => {
  mesh = await Mesh.createWithIdentity()
  folder = tempFolder("policy")
  web = mesh.lab.pod("web")
  other = mesh.lab.pod("other")
  writeWorld({ policies: [] }, { web, other })
  const control = mesh.control.start(
    [process.execPath, `${ROOT}control/main.ts`, "policy", "--manifests", folder],
    { env: { CONDUIT_ADMIN_PORT: "0", ...mesh.serviceEnv("policy") } },
  )
  await control.saw("listening policy")
  api = await mesh.meshedPod("api", {
    env: { CONDUIT_PROXY_POLICY_ADDR: `${mesh.control.ipv4}:8090` },
  })
  const servers = [
    api.pod.start([process.execPath, `${ROOT}tests/lab/http_peer.ts`, "api"]),
    api.pod.start([process.execPath, `${ROOT}tests/lab/tcp_peer.ts`, "serve", "0.0.0.0", "7000", "echo"]),
  ]
  for (const server of servers) await server.saw("listening")
  const endpoint = { ip: api.pod.ipv4, pod: "api", workload: "api", meshed: true, serviceAccount: "api" }
  const ports = [...new Set(Object.values(PORT_OF))]
  await mesh.setTable({
    outbound: Object.fromEntries(
      ports.map(port => [`${api.pod.ipv4}:${port}`, { endpoint: { ...endpoint, port } }]),
    ),
  })
  meshedWeb = (await mesh.meshedPod("web-meshed", { serviceAccount: "web" })).pod
  meshedOther = (await mesh.meshedPod("other-meshed", { serviceAccount: "web" })).pod
  for (const pod of [api.pod, meshedWeb, meshedOther]) await ready(pod)
  for (const pod of [web, other, meshedWeb, meshedOther]) {
    const caller = pod.start([process.execPath, `${ROOT}tests/policy/caller.ts`])
    callers.set(pod, caller)
    await caller.saw("ready")
  }
}, 60_000)

afterAll(async () => {
  await mesh[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

/** The pods of the clients. */
interface Clients {
  readonly web: Pod
  readonly other: Pod
}

function clientsOf({ proven }: Pick<PolicyCase, "proven">): Clients {
  return proven === "own" ? { web: meshedWeb, other: meshedOther } : { web, other }
}

function writeWorld(one: Pick<PolicyCase, "policies" | "byDefault">, clients: Clients): void {
  const addresses = { web4: clients.web.ipv4, web6: clients.web.ipv6, other4: clients.other.ipv4 }
  const world = worldOf({ ...one, name: "", via: "tcp", expected: "allowed" }, addresses, states++)
  writeFileSync(join(folder, ".world.yaml"), world)
  renameSync(join(folder, ".world.yaml"), join(folder, "world.yaml"))
}

/** Makes the policies of a case hold, and waits until the proxy says so. */
async function apply(one: Pick<PolicyCase, "policies" | "byDefault" | "proven">): Promise<void> {
  const before = inForce()
  writeWorld(one, clientsOf(one))
  const deadline = Date.now() + 5_000
  while (inForce() === before) {
    if (Date.now() > deadline)
      throw new Error(`the proxy heard of no policy\n${api.proxy.stderr.slice(-2000)}`)
    await Bun.sleep(2)
  }
}

function inForce(): number {
  return api.proxy.stderr.split("policies are in force").length
}

async function call(pod: Pod, one: Partial<Call> & Pick<Call, "via">, family: 4 | 6 = 4): Promise<Outcome> {
  const caller = callers.get(pod)
  if (caller === undefined) throw new Error("no caller in that pod")
  const before = caller.stdout.split("\n").length
  const host = family === 6 ? api.pod.ipv6 : api.pod.ipv4
  const full: Call = { host, port: PORT_OF[one.via], method: "GET", path: "/", wrongHost: false, ...one }
  caller.process.stdin.write(`${JSON.stringify(full)}\n`)
  caller.process.stdin.flush()
  const deadline = Date.now() + 6_000
  while (caller.stdout.split("\n").length === before) {
    if (Date.now() > deadline) throw new Error(`the caller does not answer\n${caller.stderr}`)
    await Bun.sleep(2)
  }
  return JSON.parse(caller.stdout.split("\n").at(-2) ?? "")
}

for (const one of POLICY_CASES) {
  test(one.name, async () => {
    await apply(one)
    const { via, method = "GET", path = "/", wrongHost = false } = one
    const audits = one.audited === true ? await metric(api.pod, auditName(one)) : 0
    const clients = clientsOf(one)
    const pod = one.client === "other" ? clients.other : clients.web
    const sent = { via, method, path, wrongHost }
    if (one.proven === "foreign") await expectForeignRefused(pod, sent)
    expect(await call(pod, sent, one.family)).toBe(one.expected)
    if (one.audited === true) expect(await metric(api.pod, auditName(one))).toBe(audits + 1)
  })
}

/**
 * Who shows an identity of another trust domain gets no further than its handshake, so what a policy would say of it is
 * what it says of who proves nothing. The same authority's certificate of this mesh is let in: the name alone is judged.
 */
async function expectForeignRefused(pod: Pod, sent: Partial<Call> & Pick<Call, "via">): Promise<void> {
  const refused = () => metric(api.pod, "inbound_tls_errors_total", 'reason="no-identity"')
  expect(await call(pod, { ...sent, tls: await certificateOf("cluster.local") })).toBe("allowed")
  const before = await refused()
  expect(await call(pod, { ...sent, tls: await certificateOf("elsewhere.example") })).toMatch(
    /^closed$|ECONNRESET/,
  )
  expect(await refused()).toBe(before + 1)
}

/** What a client of service account `web` shows to the api pod. */
async function certificateOf(trustDomain: string): Promise<CallerTls> {
  if (mesh.ca === null) throw new Error("the mesh has no authority")
  const { certPem, keyPem } = await mesh.ca.issue("lab", "web", Date.now() + 60_000, trustDomain)
  return {
    key: keyPem,
    cert: certPem,
    ca: mesh.ca.pem,
    servername: names("lab", "api").dnsNames[0] ?? "",
  }
}

function auditName({ via }: PolicyCase): string {
  return via === "tcp" ? "inbound_tcp_authz_audit_total" : "inbound_http_authz_audit_total"
}

const ANY = "from: [{ networks: [0.0.0.0/0, '::/0'] }]"
const DENY_ALL = `{ target: { kind: Namespace }, action: Deny, rules: [{ ${ANY} }] }`
const DENY_SLOW = `{ target: { kind: Namespace }, action: Deny, rules: [{ to: [{ paths: [/slow] }] }] }`

test("decisions are counted by policy, and a denial is logged in full but tells the client nothing", async () => {
  await apply({ policies: [DENY_ALL] })
  // The cases above have used up this second's share of the log.
  await Bun.sleep(1_100)
  const { stdout } = await web.run(["curl", "-si", `http://${api.pod.ipv4}:8081/secret`])
  expect(stdout).toMatch(/^HTTP\/1.1 403 Forbidden/)
  expect(stdout).not.toContain("p0")
  const id = /conduit-proxy-error: denied; id=(\w+)/.exec(stdout)?.[1]
  await api.proxy.saw(`id=${id}`)
  const line = api.proxy.stderr.split("\n").find(one => one.includes(`id=${id}`))
  expect(line).toContain("policy=lab/p0")
  expect(line).toContain(`client=${web.ipv4}`)
  const labels = [
    'authz_kind="authorizationpolicy"',
    'authz_namespace="lab"',
    'authz_name="p0"',
    'target_port="8081"',
  ]
  expect(await metric(api.pod, "inbound_http_authz_deny_total", ...labels)).toBeGreaterThan(0)
  expect(await call(web, { via: "tcp" })).toBe("denied")
  expect(await metric(api.pod, "inbound_tcp_authz_deny_total", 'target_port="7000"')).toBeGreaterThan(0)
})

test("after a denied request with a body the connection serves the next one", async () => {
  await apply({
    policies: [`{ target: { kind: Namespace }, action: Deny, rules: [{ to: [{ paths: [/no] }] }] }`],
  })
  const url = `http://${api.pod.ipv4}:8081`
  const body = join(folder, ".body")
  writeFileSync(body, "x".repeat(100_000))
  const { stdout, stderr } = await web.run([
    "curl",
    "-sv",
    "-H",
    "expect:",
    "--data-binary",
    `@${body}`,
    `${url}/no`,
    "--next",
    "-s",
    `${url}/yes`,
  ])
  expect(stdout).toContain("403 Forbidden: policy denies the request")
  expect(stdout).toContain("api GET /yes 0")
  expect(stderr).toContain("Re-using existing connection")
})

test("a connection that runs is closed when a policy comes that denies it", async () => {
  await apply({ policies: [] })
  const script = `const s = await Bun.connect({ hostname: "${api.pod.ipv4}", port: 7000, socket: {
    open(s) { s.write("one\\n") }, data(s, d) { console.log("got", String(d).trim()) }, close() { console.log("closed") } } })`
  const client = web.start([process.execPath, "-e", script])
  await client.saw("got one")
  await apply({ policies: [DENY_ALL] })
  await client.saw("closed", 2_000)
})

test("a request that runs is ended when a policy comes that denies it, others of the connection go on", async () => {
  await apply({ policies: [] })
  const url = `http://${api.pod.ipv4}:8080`
  const ask = (path: string) =>
    web.run(["curl", "-s", "--http2-prior-knowledge", "-w", "%{http_code}", `${url}${path}`])
  const slow = ask("/slow")
  const deadline = Date.now() + 1_000
  while (
    (await metric(api.pod, "request_total", 'direction="inbound"', "8080")) === 0 &&
    Date.now() < deadline
  );
  await Bun.sleep(100)
  await apply({ policies: [DENY_SLOW] })
  expect((await slow).stdout).toContain("403")
  expect((await ask("/fast")).stdout).toContain("200")
})

test("a silent client that may only send requests is not passed on, and may still send one", async () => {
  await apply({
    policies: [`{ target: { kind: Namespace }, action: Allow, rules: [{ to: [{ paths: [/yes] }] }] }`],
  })
  const script = `const s = await Bun.connect({ hostname: "${api.pod.ipv4}", port: 8081, socket: {
    data(s, d) { console.log(String(d).slice(0, 15)); s.end() }, close() { console.log("closed") } } })
    await Bun.sleep(300); s.write("GET /yes HTTP/1.1\\r\\nhost: api\\r\\n\\r\\n")`
  const client = web.start([process.execPath, "-e", script])
  await client.saw("HTTP/1.1 200 OK")
})

test("bytes that are held back until they are no HTTP any more do not slip past rules about requests", async () => {
  await apply({
    policies: [`{ target: { kind: Namespace }, action: Deny, rules: [{ to: [{ paths: [/no] }] }] }`],
  })
  const script = `const s = await Bun.connect({ hostname: "${api.pod.ipv4}", port: 8081, socket: {
    data(s, d) { console.log(String(d)) }, close() { console.log("closed") } } })
    s.write("GE"); await Bun.sleep(4000); s.write("T /no HTTP/1.1\\r\\nhost: api\\r\\n\\r\\n")`
  const client = web.start([process.execPath, "-e", script])
  await client.saw("closed", 8_000)
  expect(client.stdout).not.toContain("200")
}, 15_000)

test("a proxy that cannot reach the policy service is not ready, and holds by its configured default", async () => {
  const late = await mesh.meshedPod("late", {
    env: {
      CONDUIT_PROXY_POLICY_ADDR: `${mesh.control.ipv4}:9`,
      CONDUIT_PROXY_DEFAULT_INBOUND_POLICY: "deny",
    },
  })
  late.pod.start([process.execPath, `${ROOT}tests/lab/http_peer.ts`, "late"])
  const ready = await late.pod.run(["curl", "-s", "-w", "%{http_code}", "http://127.0.0.1:4191/ready"])
  expect(ready.stdout).toContain("no answer yet from the policy service")
  expect(ready.stdout).toContain("503")
  const { stdout } = await web.run(["curl", "-s", "-w", "%{http_code}", `http://${late.pod.ipv4}:8081/`])
  expect(stdout).toContain("403")
}, 15_000)
