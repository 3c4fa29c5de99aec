// What balancing, retry budgets and breakers promise (tests/unit/traffic_simulation_test.ts), with ten real servers on a local
// mesh. The proxy has one balancer: round robin and least requests are done by the client itself past the mesh, to the same
// servers at the same time; round robin is what kube-proxy comes to. Counts are those of the servers.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { RETRY_MIN_PER_SECOND, RETRY_RATIO, RETRY_WINDOW_MS } from "../../proxy/route/mod.ts"
import { type DevPod, DevMesh } from "../lab/dev_mesh.ts"
import {
  CALL_PORT,
  type Chooser,
  DIRECT_PORT,
  type LoadFigures,
  type LoadPlan,
  type Seen,
  type State,
} from "./balancing_world.ts"

const SERVERS = 10
const CLIENTS = ["client-a", "client-b", "client-c"] as const
const TEST_MS = 60_000

function deployment(name: string, replicas: number, command: readonly string[], annotations: object): object {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "shop" },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name }, annotations },
        spec: { containers: [{ name: "app", image: "app", command }] },
      },
    },
  }
}

function service(name: string, annotations: Readonly<Record<string, string>> = {}): object {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "shop", annotations },
    spec: { selector: { app: "server" }, ports: [{ name: "http", port: 80, targetPort: CALL_PORT }] },
  }
}

let mesh: DevMesh
let servers: readonly DevPod[] = []

beforeAll(async () => {
  mesh = await DevMesh.up({
    name: "balancing",
    objects: [
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
      // Nothing but the client's proxy stands between the two, and chooses.
      deployment("server", SERVERS, ["bun", "tests/e2e/balancing_server.ts"], {
        "conduit.io/inject": "disabled",
      }),
      ...CLIENTS.map(name =>
        deployment(name, 1, ["sleep", "infinity"], {
          "config.conduit.io/skip-outbound-ports": `${DIRECT_PORT}`,
        }),
      ),
      service("plain"),
      service("retried", { "retry.conduit.io/http": "5xx", "retry.conduit.io/limit": "5" }),
      service("guarded", {
        "balancer.conduit.io/failure-accrual": "consecutive",
        "balancer.conduit.io/failure-accrual-consecutive-max-failures": "7",
        "balancer.conduit.io/failure-accrual-consecutive-min-penalty": "1s",
        "balancer.conduit.io/failure-accrual-consecutive-max-penalty": "2s",
      }),
    ],
  })
  servers = (await mesh.pods()).filter(({ deployment }) => deployment === "server")
  expect(servers.length).toBe(SERVERS)
}, 180_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** Runs a script in a client's pod. */
async function inClient(script: string): Promise<string> {
  const { status, stdout, stderr } = await mesh.exec("shop", CLIENTS[0], ["sh", "-ec", script])
  if (status !== 0) throw new Error(`${script}: ${stderr}`)
  return stdout
}

const direct = (ip: string, path: string) => `http://${ip}:${DIRECT_PORT}${path}`

/** Sets what is wrong with some servers; all others are sound. They forget what they saw. */
async function be(state: State, some: readonly DevPod[]): Promise<void> {
  const calls = servers.map(
    pod => `curl -sSf -m 10 '${direct(pod.ip, `/be?state=${some.includes(pod) ? state : "sound"}`)}'`,
  )
  await inClient(calls.join("\n"))
}

/** What each server saw. */
async function seen(): Promise<readonly (readonly Seen[])[]> {
  const calls = servers.map(pod => `curl -sSf -m 10 '${direct(pod.ip, "/seen")}'; echo`)
  return (await inClient(calls.join("\n")))
    .trim()
    .split("\n")
    .map(line => JSON.parse(line) as Seen[])
}

/** Everything that is sent to the first server's ports vanishes on the way, or does not any more. */
async function unplug(flag: "-I" | "-D"): Promise<void> {
  const rule = ["INPUT", "-p", "tcp", "--dport", `${CALL_PORT}:${DIRECT_PORT}`, "-j", "DROP"]
  const { status, stderr } = await mesh.exec("shop", "server", ["iptables", flag, ...rule])
  if (status !== 0) throw new Error(`iptables ${flag} ${rule.join(" ")}: ${stderr}`)
}

async function load(
  client: string,
  plan: Omit<LoadPlan, "servers" | "service"> & { readonly to: string },
): Promise<Readonly<Record<Chooser, LoadFigures>>> {
  const { to, ...rest } = plan
  const all: LoadPlan = { ...rest, service: `http://${to}/`, servers: servers.map(({ ip }) => ip) }
  const command = [process.execPath, "tests/e2e/balancing_load.ts", JSON.stringify(all)]
  const { status, stdout, stderr } = await mesh.exec("shop", client, command)
  if (status !== 0) throw new Error(`the load ended with ${status}: ${stderr}`)
  return JSON.parse(stdout) as Record<Chooser, LoadFigures>
}

/** The server that is in trouble; also the one that `mesh.exec` means. */
const one = () => servers.slice(0, 1)

for (const trouble of ["slow", "dead", "flapping"] as const) {
  test(
    `with one of ten servers ${trouble}, peak EWMA beats round robin and least requests at p99`,
    async () => {
      await be(trouble === "dead" ? "sound" : trouble, one())
      if (trouble === "dead") await unplug("-I")
      try {
        const figures = await load(CLIENTS[0], {
          to: "plain",
          choosers: ["mesh", "round-robin", "least-requests"],
          perSecond: 100,
          warmupMs: 2000,
          measuredMs: 4500,
        })
        console.log(`  ${trouble}:`, figures)
        expect(figures.mesh.p99).toBeLessThan(figures["round-robin"].p99)
        expect(figures.mesh.p99).toBeLessThan(figures["least-requests"].p99)
      } finally {
        if (trouble === "dead") await unplug("-D")
      }
    },
    // Where the machine itself stands still for as long as the slow server takes, all are alike: measured once more then.
    { timeout: TEST_MS, retry: 1 },
  )
}

test(
  "when every server fails every request, retries add a fifth to what they see, and the reserve",
  async () => {
    await be("failing", servers)
    const plan = { to: "retried", choosers: ["mesh"], perSecond: 400, warmupMs: 0, measuredMs: 6000 } as const
    const { mesh: figures } = await load(CLIENTS[0], plan)
    const received = (await seen()).reduce((sum, requests) => sum + requests.length, 0)
    console.log(
      `  ${figures.sent} asked, ${received} received: ${(received / figures.sent).toFixed(3)} times`,
    )
    expect(figures.failed).toBe(figures.sent)
    const reserve = (RETRY_MIN_PER_SECOND * RETRY_WINDOW_MS) / 1000
    expect(received).toBeLessThanOrEqual((1 + RETRY_RATIO) * figures.sent + reserve)
    expect(received).toBeGreaterThan(1.1 * figures.sent)
  },
  TEST_MS,
)

test(
  "a server that fails is left out after seven failures by each caller, and comes back without being overrun",
  async () => {
    const fair = (60 * CLIENTS.length) / SERVERS
    const plan = {
      to: "guarded",
      choosers: ["mesh"],
      perSecond: 60,
      warmupMs: 0,
      measuredMs: 9000,
    } as const
    await be("sound", servers)
    const loads = CLIENTS.map(client => load(client, plan))
    await Bun.sleep(500)
    await be("failing", one())
    await Bun.sleep(3500)
    const [failing = []] = await seen()
    await be("sound", one())
    const recoveredMs = Date.now()
    await Promise.all(loads)
    const [recovered = [], ...others] = await seen()
    const bySecond = new Map<number, number>()
    for (const { atMs } of recovered) {
      const second = Math.floor((atMs - recoveredMs) / 1000)
      bySecond.set(second, (bySecond.get(second) ?? 0) + 1)
    }
    const most = Math.max(...bySecond.values())
    console.log(
      `  ${failing.length} failures by ${CLIENTS.length} callers; back after ${(recovered[0]?.atMs ?? 0) - recoveredMs} ms,` +
        ` then at most ${most} a second (fair ${fair}); others ${others.map(requests => requests.length).join(" ")}`,
    )
    // Seven in a row, what was under way beside them, and a probe for each penalty: 1 s, then 2 s, and up to half more.
    expect(failing.length).toBeGreaterThanOrEqual(7)
    expect(failing.length).toBeLessThanOrEqual(CLIENTS.length * (7 + 2 + 3))
    // It is back: by more than the one probe of each.
    expect(recovered.length).toBeGreaterThan(CLIENTS.length)
    // Not all at once.
    expect(most).toBeLessThan(4 * fair)
  },
  TEST_MS,
)
