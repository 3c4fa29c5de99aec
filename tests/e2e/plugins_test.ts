// Plugins on a local mesh, with real processes: added, changed, reordered, killed and removed under load. Whoever they do
// not speak of notices nothing; what they say is in force while their object is there, and not a moment longer.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DevMesh, PROJECT_ROOT } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"

const TEST_MS = 120_000
/** Longest wait for what takes a second. */
const PATIENCE_MS = 30_000
/** Calls a second of the caller that no plugin speaks of. */
const RATE = 300

const SERVER = `
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch: () => new Response(require("node:os").hostname()) })`

/** Calls web steadily, and answers what became of it. */
const CALLER = `
let [failedEver, servedMs] = [0, 0]
let counts = { ok: 0, failed: 0, last: "", hosts: {} }
const begun = performance.now()
let issued = 0
async function call() {
  const own = counts
  try {
    const answer = await fetch("http://web.shop/", { signal: AbortSignal.timeout(5000) })
    const text = await answer.text()
    if (answer.ok) { own.ok++; servedMs = Date.now(); own.hosts[text] = (own.hosts[text] ?? 0) + 1 }
    else { own.failed++; failedEver++; own.last = answer.status + " " + (answer.headers.get("conduit-proxy-error") ?? "") }
  } catch (error) { own.failed++; failedEver++; own.last = String(error) }
}
setInterval(() => { while (issued < (performance.now() - begun) * Number(process.env.RATE) / 1000) { issued++; void call() } }, 10)
Bun.serve({ hostname: "0.0.0.0", port: 8080, fetch(request) {
  const answer = Response.json({ ...counts, failedEver, servedMs })
  if (request.method === "POST") counts = { ok: 0, failed: 0, last: "", hosts: {} }
  return answer
} })`

interface Counts {
  readonly ok: number
  readonly failed: number
  readonly last: string
  readonly failedEver: number
  readonly servedMs: number
  readonly hosts: Readonly<Record<string, number>>
}

function deployment(name: string, source: string, replicas: number, rate = 0): object {
  const container = {
    ...{ name: "app", image: "app", command: [process.execPath, "-e", source] },
    env: [{ name: "RATE", value: String(rate) }],
    ports: [{ name: "http", containerPort: 8080 }],
    readinessProbe: { tcpSocket: { port: 8080 }, periodSeconds: 1 },
  }
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { serviceAccountName: name, containers: [container] },
      },
    },
  }
}

const WEB = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
}

function plugin(
  name: string,
  configuration: object,
  order = 0,
  hooks: readonly object[] = [{ name: "Policy" }, { name: "Destination" }, { name: "Authorize" }],
): object {
  return {
    apiVersion: "conduit.io/v1alpha1",
    kind: "Plugin",
    metadata: { name },
    spec: {
      command: [process.execPath, join(PROJECT_ROOT, "tests/e2e/plugin_app.ts")],
      hooks,
      ...{ order, configuration, deadline: "2s" },
    },
  }
}

let mesh: DevMesh
const folder = tempFolder("plugins")

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "plugins",
    objects: [
      deployment("web", SERVER, 2),
      WEB,
      deployment("buyer", CALLER, 1, RATE),
      deployment("guest", CALLER, 1, 20),
    ],
  })
}, TEST_MS)

afterAll(async () => {
  rmSync(folder, { recursive: true, force: true })
  await mesh?.[Symbol.asyncDispose]()
}, TEST_MS)

async function counts(name: string, method = "GET"): Promise<Counts> {
  const { stdout, stderr } = await mesh.exec("shop", name, [
    "curl",
    "-sS",
    "-X",
    method,
    "http://127.0.0.1:8080/",
  ])
  if (stdout === "") throw new Error(`${name} does not answer: ${stderr}`)
  return JSON.parse(stdout) as Counts
}

async function until<T>(what: string, look: () => Promise<T | false>): Promise<T> {
  const end = performance.now() + PATIENCE_MS
  for (;;) {
    const found = await look()
    if (found !== false) return found
    if (performance.now() > end) {
      const { stdout } = await mesh.cli("plugin", "list", "-o", "json")
      throw new Error(
        `waited in vain until ${what}; guest: ${JSON.stringify(await counts("guest"))}; ${stdout}`,
      )
    }
    await Bun.sleep(50)
  }
}

/** Waits until guest's calls come to nothing but one outcome. */
async function guestIs(outcome: "served" | "refused"): Promise<void> {
  await until(`guest is ${outcome}`, async () => {
    await counts("guest", "POST")
    await Bun.sleep(300)
    const { ok, failed } = await counts("guest")
    return outcome === "served" ? ok > 0 && failed === 0 : failed > 0 && ok === 0
  })
}

async function list(): Promise<
  {
    name: string
    state: string
    version: string
    hooks: { hook: string; calls: number; refused: number }[]
  }[]
> {
  const { stdout, stderr } = await mesh.cli("plugin", "list", "-o", "json")
  if (stdout === "") throw new Error(stderr)
  return JSON.parse(stdout)
}

test(
  "plugins come, change, change places, die and go under load: callers that they do not speak of have no failure",
  async () => {
    await guestIs("served")
    const { failedEver } = await counts("buyer")

    await mesh.apply(plugin("gate", { deny: ["guest"] }, 0, [{ name: "Policy", mode: "Audit" }]))
    const tried = await until("what-if tells what it would refuse", async () => {
      const { status, stdout } = await mesh.cli("policy", "what-if", "--plugin", "gate", "-o", "json")
      return status === 1 && stdout.includes("denied") && stdout
    })
    expect(JSON.parse(tried)).toContainEqual(
      expect.objectContaining({
        change: "denied",
        from: { namespace: "shop", kind: "deployment", name: "guest" },
        after: expect.objectContaining({ policy: "shop/gate:no-guest" }),
      }),
    )
    await guestIs("served")
    await mesh.apply(plugin("gate", { deny: ["guest"] }))
    await guestIs("refused")
    expect((await counts("guest")).last).toStartWith("403 ")
    expect(await list()).toMatchObject([{ name: "gate", state: "Ready", version: "1.0.0" }])

    // The process runs already: what is left is the way from the object to the proxies.
    await mesh.apply(plugin("gate", { deny: [] }))
    await guestIs("served")
    const changedMs = Date.now()
    await mesh.apply(plugin("gate", { deny: ["guest"] }))
    await guestIs("refused")
    const { servedMs } = await counts("guest")
    console.log(`  refused ${Math.max(0, servedMs - changedMs)} ms after the change was begun`)

    await mesh.apply(plugin("second", { drain: true }, 5))
    await until("a pod is drained", async () => {
      await counts("buyer", "POST")
      await Bun.sleep(500)
      return Object.keys((await counts("buyer")).hosts).length === 1
    })
    await mesh.apply(plugin("second", { drain: true }, -5))
    await until("they have changed places", async () => (await list())[0]?.name === "second")

    const gate = (await mesh.pods()).find(
      ({ namespace, deployment }) => namespace === "conduit-plugins" && deployment === "gate",
    )
    if (gate === undefined) throw new Error("no pod of the plugin")
    process.kill(gate.pid, "SIGKILL")
    await until("its end is noticed", async () =>
      (await list()).some(({ name, state }) => name === "gate" && state !== "Ready"),
    )
    await counts("guest", "POST")
    await until("the plugin is back", async () => (await list()).every(({ state }) => state === "Ready"))
    // Its last word held all the while.
    expect(await counts("guest")).toMatchObject({ ok: 0 })

    await mesh.apply(plugin("gate", { deny: ["guest"], hours: 8 }))
    await until("the configuration is refused", async () =>
      (await list()).some(({ state }) => state === "Invalid"),
    )
    const check = await mesh.cli("check", "-o", "short")
    expect(check.stdout).toContain(
      "Plugin gate: Invalid: spec.configuration must NOT have additional properties: hours",
    )
    await guestIs("refused")

    const { status, stderr } = await mesh.delete(plugin("gate", {}), plugin("second", {}))
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
    await guestIs("served")
    await until("no pod is drained", async () => {
      await counts("buyer", "POST")
      await Bun.sleep(500)
      return Object.keys((await counts("buyer")).hosts).length === 2
    })
    expect(await list()).toEqual([])
    expect((await mesh.pods()).filter(({ namespace }) => namespace === "conduit-plugins")).toEqual([])
    expect(await counts("buyer")).toMatchObject({ failedEver, last: "" })
  },
  TEST_MS,
)

const ASK = {
  apiVersion: "policy.conduit.io/v1alpha1",
  kind: "AuthorizationPolicy",
  metadata: { name: "ask", namespace: "shop" },
  spec: {
    target: { kind: "Deployment", name: "web" },
    action: "Ask",
    plugin: "asked",
    rules: [{ to: [{ methods: ["GET"] }] }],
  },
}

test(
  "a plugin that is asked about requests refuses whom it means, is forgiven when it is gone, and costs others nothing",
  async () => {
    // What failed before web was there is nobody's doing.
    const { failedEver } = await counts("buyer", "POST")
    await mesh.apply(plugin("asked", { refuse: "guest" }))
    // A policy that has it asked is tried with its answers, before it is applied.
    const file = join(folder, "ask.json")
    writeFileSync(file, JSON.stringify(ASK))
    const tried = await until("what-if tells whom it would refuse", async () => {
      const { status, stdout } = await mesh.cli("policy", "what-if", file, "-o", "json")
      return status === 1 && stdout.includes('"denied"') && stdout
    })
    expect(JSON.parse(tried)).toContainEqual(
      expect.objectContaining({
        change: "denied",
        from: { namespace: "shop", kind: "deployment", name: "guest" },
        after: { allowed: false, policy: "shop/ask", reason: "plugin asked: guest may not see /" },
      }),
    )
    await mesh.apply(ASK)
    await guestIs("refused")
    const { last } = await counts("guest")
    expect(last).toStartWith("403 denied; id=")
    const { stdout } = await mesh.cli("explain", "--id", last.replace(/^.*id=/, ""))
    expect(stdout).toContain("AuthorizationPolicy shop/ask, rule 0")
    expect(stdout).toContain("plugin asked: guest may not see /")
    // The policy service asks, and not the API that lists.
    const [listed] = await list()
    const hook = listed?.hooks.find(one => one.hook === "Authorize")
    expect(hook?.calls).toBeGreaterThan(1)
    expect(hook?.refused).toBeGreaterThan(0)

    const asked = (await mesh.pods()).find(
      ({ namespace, deployment: name }) => namespace === "conduit-plugins" && name === "asked",
    )
    if (asked === undefined) throw new Error("no pod of the plugin")
    process.kill(asked.pid, "SIGKILL")
    // Nobody answers any more, and `Ignore` leaves it to the other policies, until it is back.
    await until("guest is served", async () => {
      await counts("guest", "POST")
      await Bun.sleep(200)
      return (await counts("guest")).ok > 0
    })
    await guestIs("refused")
    await mesh.delete(plugin("asked", {}))
    await guestIs("served")
    await mesh.delete(ASK)
    expect(await counts("buyer")).toMatchObject({ failedEver, last: "" })
  },
  TEST_MS,
)

test(
  "a plugin labels pods that are made after it, and refuses them for as long as it says so",
  async () => {
    const teams = (team: string) => plugin("teams", { team }, 0, [{ name: "Injection" }])
    const service = {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "blue", namespace: "shop" },
      spec: { selector: { team: "blue" }, ports: [{ name: "http", port: 80, targetPort: 8080 }] },
    }
    // All at once: the pod waits for a plugin that is not there yet.
    await mesh.apply(deployment("painted", SERVER, 1), service, teams("blue"))
    await until("the Service has found the pod by its label", async () => {
      const { stdout } = await mesh.exec("shop", "guest", ["curl", "-sS", "http://blue.shop/"])
      return stdout.startsWith("painted-")
    })

    await mesh.apply(teams(""))
    const reason = async (): Promise<string> => {
      const { stdout } = await mesh.cli("dev", "ps", "--name", mesh.name, "-o", "wide")
      return stdout.split("\n").find(line => line.includes("bare-")) ?? ""
    }
    await until("it is refused", async () => {
      await mesh.apply(deployment("bare", SERVER, 1))
      await Bun.sleep(500)
      if ((await reason()).includes('the plugin "teams" refuses it: bare has no team')) return true
      // Made before the plugin's new configuration was known.
      await mesh.delete(deployment("bare", SERVER, 1))
      return false
    })
    await mesh.delete(teams(""))
    await until("it runs", async () =>
      (await mesh.pods()).some(({ deployment: name, ready }) => name === "bare" && ready),
    )
    await mesh.delete(deployment("painted", SERVER, 1), deployment("bare", SERVER, 1), service)
  },
  TEST_MS,
)
