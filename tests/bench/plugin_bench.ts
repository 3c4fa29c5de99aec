// What plugins cost: the time from what one says to the proxies that it concerns, ten that have nothing to say beside none,
// and a request that one is asked about, with its answer at hand and without.
//
// usage: bun tests/bench/plugin_bench.ts [changes] [idle] [asked] [--proxies N] [--seconds N] [--rounds N]
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { createClient, type Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { destinationV1, policyV1 } from "../../protos/mod.ts"
import { beforeExit } from "../lab/dev_mesh.ts"
import { Mesh } from "../lab/mod.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import { median } from "./figures.ts"
import type { LoadOptions, LoadResult } from "./load.ts"
import type { PluginServerOptions } from "./plugin_server.ts"
import { cpuMicros } from "./process_cost.ts"
import { clusterIp, clusterObjects, namespaceOf, podName, SERVICE_PORT } from "./simulated_cluster.ts"

/** From a plugin's word to a proxy, 99th percentile, milliseconds. */
const CHANGE_P99_MAX_MS = 1000
/** A request whose answer is at hand may cost so much more of the proxy's processor, microseconds. */
const KEPT_ANSWER_MAX_US = 5
const CLUSTER = { services: 100, podsPerService: 10, namespaces: 10 }
const DESTINATIONS_PER_PROXY = 20
const CHANGES_PER_SECOND = 10
const PLUGINS = 10
const FIRST_PLUGIN_PORT = 7000
const APP_PORT = 9000
const ROOT = new URL("../../", import.meta.url).pathname
/** As long as a bench may wait for what takes a second or so. */
const PATIENCE_MS = 60_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    proxies: { type: "string", default: "500" },
    seconds: { type: "string", default: "20" },
    rounds: { type: "string", default: "6" },
  },
})
const PARTS = ["changes", "idle", "asked"]
const unknown = positionals.find(part => !PARTS.includes(part))
if (unknown !== undefined) {
  console.error(`plugin_bench: there is no part "${unknown}"; there are ${PARTS.join(", ")}`)
  process.exit(2)
}
for (const [name, text] of Object.entries(values)) {
  if (/^[1-9]\d*$/.test(text)) continue
  console.error(`plugin_bench: --${name} must be a number above 0, not "${text}"`)
  process.exit(2)
}
if (process.env.CONDUIT_BENCH_NETNS === undefined) {
  const again = Bun.spawnSync(["unshare", "--net", process.execPath, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "inherit"],
    env: { ...process.env, CONDUIT_BENCH_NETNS: "1" },
  })
  process.exit(again.exitCode ?? 1)
}
Bun.spawnSync(["ip", "link", "set", "lo", "up"])

function plugin(number: number, hooks: readonly string[]): object {
  return {
    apiVersion: "conduit.io/v1alpha1",
    kind: "Plugin",
    metadata: { name: `bench-${number}` },
    spec: {
      address: `127.0.0.1:${FIRST_PLUGIN_PORT + number}`,
      hooks: hooks.map(name => ({ name })),
      order: number,
    },
  }
}

function write(file: string, items: Iterable<object>): void {
  const list = { apiVersion: "v1", kind: "List", items: [...items] }
  writeFileSync(`${file}.new`, JSON.stringify(list))
  renameSync(`${file}.new`, file)
}

function pluginServer(options: PluginServerOptions): string[] {
  return [process.execPath, join(import.meta.dir, "plugin_server.ts"), JSON.stringify(options)]
}

function controlPlane(folder: string): string[] {
  return [process.execPath, join(ROOT, "control/main.ts"), "all", "--manifests", folder]
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${PATIENCE_MS / 1000} s in vain until ${what}`)
    await Bun.sleep(50)
  }
}

// ---- from a plugin's word to proxies ----

/** What one kind of change needed to reach proxies: the numbers of changes by subject, and when each was said. */
class Reached {
  readonly delaysMs: number[] = []
  private readonly saidMs = new Map<string, number[]>()

  /** Says change number `n`, from 1. */
  said(subject: string): number {
    const said = this.saidMs.get(subject) ?? []
    this.saidMs.set(subject, said)
    return said.push(performance.now())
  }

  /** A proxy that knew change `before` has heard of change `now`: those between came with it. */
  heard(subject: string, before: number, now: number): void {
    const nowMs = performance.now()
    for (let number = before; number < now; number++) {
      this.delaysMs.push(nowMs - (this.saidMs.get(subject)?.[number] ?? Number.NaN))
    }
  }

  /** Number of changes of a subject. */
  count(subject: string): number {
    return this.saidMs.get(subject)?.length ?? 0
  }

  subjects(): IterableIterator<string> {
    return this.saidMs.keys()
  }

  /** Prints it. @returns whether the target is met */
  report(what: string): boolean {
    const sorted = this.delaysMs.sort((a, b) => a - b)
    const at = (share: number): string =>
      (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN).toFixed(1)
    const met = Number(at(0.99)) < CHANGE_P99_MAX_MS
    console.log(
      `${what}: ${sorted.length} arrivals; p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms` +
        `${met ? "" : `  OVER ${CHANGE_P99_MAX_MS} ms`}`,
    )
    return met
  }
}

/** A weight above it is the number of a change; endpoints that no change has met have less. */
const NO_CHANGE_WEIGHT = 1_000

/** A proxy down to its two streams. */
class SimulatedProxy {
  readonly namespace: string
  readonly pod: string
  readonly watched: readonly number[]
  /** Change that it heard of last, by subject. */
  readonly known = new Map<string, number>()
  private missing: number
  readonly begun = Promise.withResolvers<void>()

  constructor(number: number) {
    const service = number % CLUSTER.services
    const pod = Math.floor(number / CLUSTER.services) % CLUSTER.podsPerService
    this.namespace = namespaceOf(CLUSTER, service)
    this.pod = podName(service, pod)
    this.watched = Array.from(
      { length: DESTINATIONS_PER_PROXY },
      (_, at) => (number * 7 + at * 5) % CLUSTER.services,
    )
    this.missing = this.watched.length + 1
  }

  private came(): void {
    if (--this.missing === 0) this.begun.resolve()
  }

  private hear(reached: Reached, subject: string, number: number): void {
    const before = this.known.get(subject) ?? 0
    if (number <= before) return
    this.known.set(subject, number)
    reached.heard(subject, before, number)
  }

  async watchDestinations(transport: Transport, reached: Reached, signal: AbortSignal): Promise<void> {
    const hello = { namespace: this.namespace, pod: this.pod, node: "node", proxyVersion: "bench" }
    const { watched } = this
    async function* requests() {
      yield { request: { case: "hello" as const, value: hello } }
      for (const [index, service] of watched.entries()) {
        const outbound = { ip: Uint8Array.from(clusterIp(service)), port: SERVICE_PORT }
        const value = { watchId: BigInt(index + 1), target: { case: "outbound" as const, value: outbound } }
        yield { request: { case: "subscribe" as const, value } }
      }
      await new Promise(resolve => signal.addEventListener("abort", resolve))
    }
    const client = createClient(destinationV1.DestinationService, transport)
    for await (const { watchId, update } of client.watch(requests(), { signal })) {
      const endpoints =
        update.case === "endpoints"
          ? update.value.added
          : update.case === "destination" && update.value.kind.case === "service"
            ? update.value.kind.value.endpoints
            : []
      if (update.case === "destination") this.came()
      const subject = String(watched[Number(watchId) - 1])
      for (const { weight = 1 } of endpoints)
        if (weight > NO_CHANGE_WEIGHT) this.hear(reached, subject, weight - NO_CHANGE_WEIGHT)
    }
  }

  async watchPolicies(transport: Transport, reached: Reached, signal: AbortSignal): Promise<void> {
    const { namespace, pod } = this
    async function* requests() {
      yield { namespace, pod, version: "" }
      await new Promise(resolve => signal.addEventListener("abort", resolve))
    }
    const client = createClient(policyV1.PolicyService, transport)
    let first = true
    for await (const { policy } of client.watch(requests(), { signal })) {
      if (first) this.came()
      first = false
      const text = JSON.stringify(
        policy?.policies.flatMap(({ rules }) => rules.flatMap(({ to }) => to)) ?? [],
      )
      const number = /\/number\/(\d+)/.exec(text)?.[1]
      if (number !== undefined) this.hear(reached, namespace, Number(number))
    }
  }
}

async function benchChanges(folder: string): Promise<boolean> {
  const proxies = Array.from({ length: Number(values.proxies) }, (_, number) => new SimulatedProxy(number))
  write(join(folder, "cluster.json"), clusterObjects(CLUSTER))
  write(join(folder, "plugins.json"), [plugin(0, ["Destination", "Policy"])])
  const said = Bun.spawn(pluginServer({ ports: [FIRST_PLUGIN_PORT], cacheMs: 0 }), {
    ...{ stdin: "pipe", stdout: "pipe", stderr: "inherit" },
  })
  const control = Bun.spawn(controlPlane(folder), {
    ...{ stdin: "ignore", stdout: "ignore", stderr: Bun.file(join(folder, "..", "control.log")) },
  })
  const over = new AbortController()
  try {
    await until("the control plane serves", async () =>
      fetch("http://127.0.0.1:9990/ready").then(
        ({ ok }) => ok,
        () => false,
      ),
    )
    const destinations = new Reached()
    const policies = new Reached()
    const failed = (error: unknown): void => {
      if (over.signal.aborted) return
      console.error(`a proxy lost its stream: ${error}`)
      process.exit(1)
    }
    for (const proxy of proxies) {
      const to = (port: number) => createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` })
      proxy.watchDestinations(to(8086), destinations, over.signal).catch(failed)
      proxy.watchPolicies(to(8090), policies, over.signal).catch(failed)
      await proxy.begun.promise
    }
    await Bun.sleep(2_000)
    const beginMs = performance.now()
    const before = cpuMicros([control.pid])
    const changes = Number(values.seconds) * CHANGES_PER_SECOND
    for (let change = 0; change < changes; change++) {
      const service = (change * 37) % CLUSTER.services
      const weight = NO_CHANGE_WEIGHT + destinations.said(String(service))
      said.stdin.write(`amend ${namespaceOf(CLUSTER, service)} app-${service} ${weight}\n`)
      const namespace = `team-${change % CLUSTER.namespaces}`
      said.stdin.write(`supply ${namespace} ${policies.said(namespace)}\n`)
      said.stdin.flush()
      await Bun.sleep(Math.max(0, beginMs + ((change + 1) * 1000) / CHANGES_PER_SECOND - performance.now()))
    }
    const share = (cpuMicros([control.pid]) - before) / ((performance.now() - beginMs) * 1000)
    await until("every proxy has heard of every last change", () =>
      proxies.every(
        ({ known, watched, namespace }) =>
          watched.every(
            service => (known.get(String(service)) ?? 0) === destinations.count(String(service)),
          ) && (known.get(namespace) ?? 0) === policies.count(namespace),
      ),
    )
    console.log(
      `${proxies.length} proxies, ${DESTINATIONS_PER_PROXY} destinations each; ${CHANGES_PER_SECOND} amendments and ` +
        `${CHANGES_PER_SECOND} policies a second for ${values.seconds} s; control plane: ${(share * 100).toFixed(0)} % of a core`,
    )
    const met = [destinations.report("endpoints"), policies.report("policies")]
    return met.every(Boolean)
  } finally {
    over.abort()
    said.kill("SIGKILL")
    control.kill("SIGKILL")
    await Promise.all([said.exited, control.exited])
    rmSync(join(folder, "cluster.json"))
    rmSync(join(folder, "plugins.json"))
  }
}

// ---- what traffic pays ----

const POD = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "bench", namespace: "lab" },
  spec: { containers: [{ name: "app" }] },
}
const ASK = {
  apiVersion: "policy.conduit.io/v1alpha1",
  kind: "AuthorizationPolicy",
  metadata: { name: "asked", namespace: "lab" },
  spec: {
    target: { kind: "Namespace" },
    action: "Ask",
    plugin: "bench-0",
    rules: [{ to: [{ paths: ["/*"] }] }],
  },
}

interface Way {
  readonly name: string
  readonly objects: readonly object[]
}

async function benchTraffic(folder: string, parts: ReadonlySet<string>): Promise<boolean> {
  await using mesh = await Mesh.create()
  const plane = mesh.lab.pod("plane")
  const ports = Array.from({ length: PLUGINS }, (_, number) => FIRST_PLUGIN_PORT + number)
  const servers = [
    { ports, cacheMs: 300_000 },
    { ports: [FIRST_PLUGIN_PORT + PLUGINS], cacheMs: 0 },
  ]
  for (const options of servers) {
    const server = plane.start(["taskset", "-c", "1", ...pluginServer(options)])
    await until("plugins listen", () => server.stdout.includes("ready"))
  }
  write(join(folder, "all.json"), [POD])
  const control = plane.start(["taskset", "-c", "1", ...controlPlane(folder)])
  await control.saw("listening policy")
  const at = (port: number) => `${plane.ipv4}:${port}`
  const { pod, proxy } = await mesh.meshedPod("bench", {
    env: {
      CONDUIT_PROXY_DESTINATION_ADDR: at(8086),
      CONDUIT_PROXY_TELEMETRY_ADDR: at(8087),
      CONDUIT_PROXY_POLICY_ADDR: at(8090),
      CONDUIT_PROXY_LOG_LEVEL: "info",
    },
  })
  await pod.run(["taskset", "-cp", "0", String(proxy.process.pid)])
  // As in policy_bench.ts: what the load sends to the pod's own port is redirected as if it came from outside.
  const rule = `-t nat -I OUTPUT -p tcp -d ${pod.ipv4} --dport ${APP_PORT} -m owner ! --uid-owner 2102 -j REDIRECT --to-ports 4143`
  await pod.run(["iptables", ...rule.split(" ")])

  const load = async (protocol: "http1" | "http2", durationMs: number) => {
    const options: LoadOptions = {
      protocol,
      target: { host: pod.ipv4, port: APP_PORT },
      backend: { host: pod.ipv4, port: APP_PORT },
      ...(protocol === "http1" ? { connections: 32, streams: 1 } : { connections: 8, streams: 16 }),
      ...{ bodyBytes: 100, ratePerSecond: 0, warmupMs: 500, durationMs },
    }
    const before = cpuMicros([proxy.process.pid])
    const command = ["taskset", "-c", "1", process.execPath, join(import.meta.dir, "load.ts")]
    const { stdout, stderr } = await pod.run([...command, JSON.stringify(options)])
    if (stdout === "") throw new Error(`the load said nothing: ${stderr}`)
    const result = JSON.parse(stdout) as LoadResult
    if (result.failures > 0) throw new Error(`${result.failures} of ${result.requests} requests failed`)
    const spentUs = cpuMicros([proxy.process.pid]) - before
    const share = durationMs / (durationMs + options.warmupMs)
    return {
      perSecond: (result.requests * 1000) / result.elapsedMs,
      cpuUs: (spentUs * share) / result.requests,
      p50: result.p50,
      p99: result.p99,
    }
  }
  type Figures = Awaited<ReturnType<typeof load>>
  const compare = async (ways: readonly Way[]): Promise<Record<string, Record<string, Figures>>> => {
    const found: Record<string, Record<string, Figures>> = {}
    for (const protocol of ["http1", "http2"] as const) {
      const all = new Map<string, Figures[]>(ways.map(({ name }) => [name, []]))
      for (let round = 0; round < Number(values.rounds); round++) {
        for (const { name, objects } of round % 2 === 0 ? ways : ways.toReversed()) {
          write(join(folder, "all.json"), [POD, ...objects])
          await Bun.sleep(1_000)
          all.get(name)?.push(await load(protocol, 2_000))
        }
      }
      const [[, firsts = []] = []] = all
      for (const [name, figures] of all) {
        const of = (key: keyof Figures): number => median(figures.map(one => one[key]))
        const beside = median(figures.map((one, index) => one.perSecond / (firsts[index]?.perSecond ?? 1)))
        found[protocol] = {
          ...found[protocol],
          [name]: { perSecond: of("perSecond"), cpuUs: of("cpuUs"), p50: of("p50"), p99: of("p99") },
        }
        console.log(
          `${protocol} ${name.padEnd(22)} ${of("perSecond").toFixed(0).padStart(6)} requests/s (${signed((beside - 1) * 100)} %), ` +
            `${of("cpuUs").toFixed(1)} us of processor, p50 ${of("p50").toFixed(2)} ms, p99 ${of("p99").toFixed(2)} ms`,
        )
      }
    }
    return found
  }

  let met = true
  if (parts.has("idle")) {
    const idle = ports.map((_, number) => plugin(number, ["Destination", "Policy", "Authorize", "Telemetry"]))
    await compare([
      { name: "no plugin", objects: [] },
      { name: "no plugin (A/A)", objects: [] },
      { name: `${PLUGINS} idle plugins`, objects: idle },
    ])
  }
  if (parts.has("asked")) {
    const found = await compare([
      { name: "nobody asked", objects: [] },
      { name: "nobody asked (A/A)", objects: [] },
      { name: "answer at hand", objects: [plugin(0, ["Authorize"]), ASK] },
      {
        name: "asked each time",
        objects: [{ ...plugin(PLUGINS, ["Authorize"]), metadata: { name: "bench-0" } }, ASK],
      },
    ])
    for (const [protocol, { "nobody asked": none, "answer at hand": kept }] of Object.entries(found)) {
      const costUs = (kept?.cpuUs ?? Number.NaN) - (none?.cpuUs ?? Number.NaN)
      const held = costUs < KEPT_ANSWER_MAX_US
      if (!held) met = false
      console.log(
        `${protocol}: an answer at hand costs ${costUs.toFixed(1)} us${held ? "" : `  OVER ${KEPT_ANSWER_MAX_US} us`}`,
      )
    }
  }
  return met
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(1)}`
}

const parts = new Set(positionals.length === 0 ? PARTS : positionals)
const folder = tempFolder("plugin-bench")
const forget = (): void => rmSync(folder, { recursive: true, force: true })
const unguard = beforeExit(forget)
const manifests = join(folder, "manifests")
mkdirSync(manifests)
try {
  const met = [
    parts.has("changes") ? await benchChanges(manifests) : true,
    parts.has("idle") || parts.has("asked") ? await benchTraffic(manifests, parts) : true,
  ]
  if (met.includes(false)) process.exitCode = 1
} finally {
  unguard()
  forget()
}
