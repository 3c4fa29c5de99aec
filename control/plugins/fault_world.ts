// What tests of faults look at: one process of a control plane with a plugin that has a fault and one that is well, and what the
// mesh gets of each hook.
import { expect } from "bun:test"
import { create, createFileRegistry, type DescService, toBinary } from "@bufbuild/protobuf"
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt"
import { PLUGIN_HOOKS, type PluginHook, readPlugin } from "../../deploy/plugin_object/mod.ts"
import { pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"
import { pluginFaults, plugins } from "../api/plugins.ts"
import { serveApi } from "../api/service.ts"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import type { Listening } from "../serve/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { authorize } from "./authorize.ts"
import { pluginConditions } from "./conditions.ts"
import { BREAKER_MAX_MS } from "./hook_calls.ts"
import { askIdentity } from "./identity_review.ts"
import { askInjection } from "./injection.ts"
import { LabPlugin } from "./lab.ts"
import type { PluginState } from "./link.ts"
import { PluginSupervisor } from "./supervisor.ts"
import { pluginWays } from "./way.ts"
import { WindowFeed } from "./window_feed.ts"

const QUIET = { debug() {}, info() {}, warn() {}, error() {} }
/** Longest wait for what takes milliseconds. */
export const PATIENCE_MS = 20_000
/** Deadline of calls that are to be answered: the machine may be busy. */
const PLENTY_MS = 5_000
/** Worlds that are tried at once. */
const AT_ONCE = 8
const PACE = {
  describeTimeoutMs: 10_000,
  describeAgainMs: 100,
  reconnectMinMs: 10,
  reconnectMaxMs: 40,
  invalidRetryMs: 30,
  firstAnswerMs: 50,
}

/** How long the plugin with the fault is waited for. */
export interface Patience {
  /** Default: long enough for a busy machine. */
  readonly deadlineMs?: number
  /** The same. */
  readonly describeTimeoutMs?: number
}

let running = 0
const waiting: (() => void)[] = []

/** Runs a cell once there is room for it. */
export async function inTurn(cell: () => Promise<void>): Promise<void> {
  if (running >= AT_ONCE) await new Promise<void>(resolve => waiting.push(resolve))
  running++
  try {
    await cell()
  } finally {
    running--
    waiting.shift()?.()
  }
}

const DENY = { target: { kind: "Namespace" }, action: "Deny", rules: [{ from: [{ namespaces: ["shop"] }] }] }
const REF = { namespace: "shop", name: "web", port: 80 }

/** One process of a control plane, with the plugin `lab` that has the fault, and `good` beside it. */
export class World implements Disposable {
  readonly store = new ClusterStore()
  readonly windows = new WindowFeed()
  readonly supervisor: PluginSupervisor
  readonly lab: LabPlugin
  api: Listening | null = null
  readonly #objects: object[] = []
  #skewMs = 0

  /** @param settings  of the hook, for `lab` */
  constructor(lab: LabPlugin, good: LabPlugin, hook: PluginHook, settings: object, patience: Patience = {}) {
    const { deadlineMs = PLENTY_MS, describeTimeoutMs = PACE.describeTimeoutMs } = patience
    this.lab = lab
    this.supervisor = new PluginSupervisor({
      ...{ store: this.store, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
      hooks: new Set(PLUGIN_HOOKS),
      way: pluginWays(this.store, undefined, Math.random),
      nowMs: () => performance.now() + this.#skewMs,
      windows: this.windows,
      pace: { ...PACE, describeTimeoutMs },
    })
    for (const object of CLUSTER) this.#put(object)
    this.plugin("lab", lab.address, { deadline: `${deadlineMs}ms`, hooks: [{ name: hook, ...settings }] })
    // Both are in this process, which may be busy with what the other makes.
    this.plugin("good", good.address, { deadline: "5s", order: 1, hooks: [{ name: hook }] })
    this.store.markSynced()
  }

  plugin(name: string, address: string, spec: object): void {
    const object = {
      apiVersion: "conduit.io/v1alpha1",
      kind: "Plugin",
      metadata: { name },
      spec: { address, ...spec },
    }
    const { complaints } = readPlugin(object)
    if (complaints.length > 0) throw new Error(JSON.stringify(complaints))
    this.#objects.push(object)
    this.#put(object)
  }

  /** As `conduit plugin list` has it. */
  listed(name: string) {
    const found = plugins(this.supervisor).plugins?.find(one => one.name === name)
    const [hook] = found?.hooks ?? []
    if (found === undefined || hook === undefined) throw new Error(`${name} is not listed`)
    return {
      ...{ state: found.state as PluginState, reason: found.reason ?? "", lastError: hook.lastError ?? "" },
      ...{ calls: Number(hook.calls), errors: Number(hook.errors), refused: Number(hook.refused) },
    }
  }

  /** The condition Ready of the object. */
  ready(name: string) {
    const [kind] = pluginConditions(this.supervisor)
    const lists = kind?.lists(this.#objects as never, "2026-01-01T00:00:00Z") ?? []
    const place = this.#objects.findIndex(
      object => (object as { metadata: { name: string } }).metadata.name === name,
    )
    return (lists[place] as { type: string; status: string; reason: string; message: string }[]).find(
      ({ type }) => type === "Ready",
    )
  }

  /** Time passes, as far as breakers go. */
  wait(ms: number): void {
    this.#skewMs += ms
  }

  [Symbol.dispose](): void {
    this.supervisor.stop()
    this.api?.close()
  }

  #put(raw: object): void {
    const { object } = readObject(raw)
    if (object === null) throw new Error("the object is not read")
    this.store.apply([{ put: object }])
  }
}

const CLUSTER = [
  {
    ...{
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "web-1", namespace: "shop", labels: { app: "web" } },
    },
    spec: { serviceAccountName: "web", containers: [{ name: "app", ports: [{ containerPort: 8080 }] }] },
    status: { podIP: "10.0.0.1", phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  },
  {
    ...{ apiVersion: "v1", kind: "Service", metadata: { name: "web", namespace: "shop" } },
    spec: { clusterIP: "10.96.0.1", selector: { app: "web" }, ports: [{ port: 80, targetPort: 8080 }] },
  },
]

/** The service of the Api hook. */
const COST = {
  ...{ name: "cost.proto", package: "cost.v1", syntax: "proto3", messageType: [{ name: "Empty" }] },
  service: [
    {
      name: "CostService",
      method: [{ name: "Price", inputType: ".cost.v1.Empty", outputType: ".cost.v1.Empty" }],
    },
  ],
}
const COST_SET = create(FileDescriptorSetSchema, { file: [COST] })
const COST_SERVICE = createFileRegistry(COST_SET).getService("cost.v1.CostService") as DescService

/** How a hook is looked at: what the mesh gets of the plugin `lab` now, in a word. */
export interface Look {
  readonly hook: pluginV1.Hook
  /** What it is while the plugin is well. */
  readonly well: string
  readonly now: (world: World) => Promise<string>
  /** All that it refuses: what the mesh gets of that in mode Enforce, and in mode Audit. */
  readonly refuses?: readonly [enforced: string, audited: string]
}

const { Hook } = pluginV1
export const LOOKS: Readonly<Record<PluginHook, Look>> = {
  Policy: {
    ...{ hook: Hook.POLICY, well: "night" },
    refuses: ["closed", "open"],
    now: async ({ store }) => {
      const own = [...store.policies()].filter(({ policy }) => policy.suppliedBy?.plugin === "lab")
      return own.map(({ name }) => name.slice("lab:".length)).join() || "open"
    },
  },
  Destination: {
    ...{ hook: Hook.DESTINATION, well: "192.0.2.1" },
    now: async ({ store }) => {
      const own = store.amendmentsOf("shop", "web", 80).filter(({ plugin }) => plugin === "lab")
      return own.flatMap(({ add }) => add.map(({ ip }) => ip)).join() || "as it is"
    },
  },
  Authorize: {
    ...{ hook: Hook.AUTHORIZE, well: "ALLOW" },
    refuses: ["DENY", "DEFER"],
    now: async ({ supervisor }) => {
      void authorize(supervisor, "good", { namespace: "shop" }).catch(() => {})
      return await authorize(supervisor, "lab", { namespace: "shop" }).then(
        ({ decision }) =>
          Object.entries(pluginPolicyV1.Decision).find(([, one]) => one === decision)?.[0] ?? "",
        () => "unanswered",
      )
    },
  },
  Identity: {
    ...{ hook: Hook.IDENTITY, well: "signed" },
    refuses: ["refused", "signed"],
    now: async ({ supervisor }) => {
      const asked = { identity: "spiffe://x", namespace: "shop", serviceAccount: "web", lifetimeSeconds: 60 }
      const veto = await askIdentity(supervisor, "conduit", asked)
      return veto === null ? "signed" : veto.unavailable ? "waits" : "refused"
    },
  },
  Telemetry: {
    ...{ hook: Hook.TELEMETRY, well: "told" },
    now: async ({ windows, lab }) => {
      const startMs = BigInt(Math.round(performance.now() * 1000))
      windows.publish({ window: { startMs, endMs: startMs } })
      for (let looks = 0; looks < 15; looks++) {
        if (lab.observed.some(({ window }) => window?.startMs === startMs)) return "told"
        await Bun.sleep(5)
      }
      return "missed"
    },
  },
  Injection: {
    ...{ hook: Hook.INJECTION, well: "labelled" },
    refuses: ["refused", "plain"],
    now: async ({ supervisor }) => {
      const pod = { metadata: {}, spec: { containers: [] } }
      const { denied, patch } = await askInjection(supervisor, {
        namespace: "shop",
        ownerKind: "pod",
        owner: "x",
        pod,
      })
      const own = patch.some(({ path }) => path.endsWith("/lab"))
      return denied === ""
        ? own
          ? "labelled"
          : "plain"
        : denied.includes("has not decided")
          ? "waits"
          : "refused"
    },
  },
  Check: {
    ...{ hook: Hook.CHECK, well: "its line" },
    now: async ({ supervisor }) => {
      const lines = (await pluginFaults(supervisor)).filter(({ where }) => where === "Plugin lab")
      return lines.some(({ message }) => message === "registry: it is away")
        ? "its line"
        : lines.length > 0
          ? "told"
          : ""
    },
  },
  Api: {
    ...{ hook: Hook.API, well: "200" },
    now: async world => {
      world.api ??= await serveApi(
        world.store,
        localQueries(new TelemetryStore(0), () => 0),
        {
          ...{ host: "127.0.0.1", port: 0, version: "1", plugins: world.supervisor },
        },
      )
      const call = async (path: string) =>
        await fetch(`http://127.0.0.1:${world.api?.port}/${path}`, {
          ...{ method: "POST", headers: { "content-type": "application/json" }, body: "{}" },
        })
      expect((await call("conduit.api.v1.ApiService/Version")).status).toBe(200)
      return String((await call("cost.v1.CostService/Price")).status)
    },
  },
}

/** What a plugin says while it is well. */
export function behave({ behaviour }: LabPlugin, name: string): void {
  behaviour.policies = () => ({ policies: [{ namespace: "shop", name: "night", spec: DENY }] })
  behaviour.amendments = () => ({
    amendments: [{ ref: REF, add: [{ address: name === "lab" ? "192.0.2.1" : "192.0.2.2", port: 9000 }] }],
  })
  behaviour.authorize = async () => ({ decision: pluginPolicyV1.Decision.ALLOW })
  behaviour.mutate = async () => ({
    patchJson: JSON.stringify([{ op: "add", path: `/metadata/labels/${name}`, value: "1" }]),
  })
  const line = { description: "registry", status: pluginHooksV1.CheckStatus.WARNING, message: "it is away" }
  behaviour.check = async () => ({ lines: [line] })
  const set = toBinary(FileDescriptorSetSchema, COST_SET)
  // Of two with one name the first would be asked alone.
  behaviour.services = () => ({ descriptors: set, services: name === "lab" ? ["cost.v1.CostService"] : [] })
  behaviour.route = router => router.service(COST_SERVICE, { price: () => ({}) } as object)
}

export async function until(
  what: string,
  world: World,
  look: () => Promise<boolean> | boolean,
): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await look())) {
    if (performance.now() > end)
      throw new Error(`waited in vain until ${what}; ${JSON.stringify(world.listed("lab"))}`)
    await Bun.sleep(5)
  }
}

/** Waits until the mesh gets of a hook what it should. Breakers are no hindrance: calls may have failed before. */
export async function isNow(world: World, hook: PluginHook, wanted: string, why: string): Promise<void> {
  let last = ""
  await until(`${why}: ${wanted}`, world, async () => {
    last = await LOOKS[hook].now(world)
    if (last !== wanted) world.wait(BREAKER_MAX_MS)
    return last === wanted
  }).catch(error => {
    throw new Error(`${(error as Error).message}; it is ${last}`)
  })
}

export async function labFor(hook: PluginHook): Promise<LabPlugin> {
  const lab = await LabPlugin.start(LOOKS[hook].hook)
  behave(lab, "lab")
  return lab
}
