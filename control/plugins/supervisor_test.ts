// Plugins over real sockets: what they answer comes into force and goes with them, and nothing that they do wrong costs
// more than their own function.
import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import type { Plugin, PluginHook } from "../../deploy/plugin_object/mod.ts"
import { MAX_PLUGIN_DEADLINE_MS, readPlugin } from "../../deploy/plugin_object/mod.ts"
import { PolicySet } from "../../protos/authorization/mod.ts"
import { pluginHooksV1, pluginV1 } from "../../protos/mod.ts"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import { ClientPods, compilePod } from "../policy/mod.ts"
import { LabPlugin } from "./lab.ts"
import { LINK_PACE } from "./link_pace.ts"
import { PluginSupervisor } from "./supervisor.ts"
import { pluginWays } from "./way.ts"
import { WindowFeed } from "./window_feed.ts"

const QUIET = { debug() {}, info() {}, warn() {}, error() {} }
/** How long a first answer is waited for here. */
const FIRST_ANSWER_MS = 300
const PACE = { ...LINK_PACE, firstAnswerMs: FIRST_ANSWER_MS }
/** Longest wait for what takes milliseconds. */
const PATIENCE_MS = 10_000

let store: ClusterStore
let supervisor: PluginSupervisor
let lab: LabPlugin
/** Further supervisors of a test. */
const ended: PluginSupervisor[] = []
let windows: WindowFeed

beforeEach(async () => {
  store = new ClusterStore()
  for (const object of [pod("web-1"), pod("web-2"), SERVICE]) put(object)
  store.markSynced()
  windows = new WindowFeed()
  supervisor = new PluginSupervisor({
    ...{ store, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
    hooks: new Set<PluginHook>(["Policy", "Destination", "Check", "Telemetry"]),
    way: pluginWays(store, undefined, Math.random),
    nowMs: () => performance.now(),
    pace: PACE,
    windows,
  })
  const { Hook } = pluginV1
  lab = await LabPlugin.start(Hook.POLICY, Hook.DESTINATION, Hook.CHECK, Hook.TELEMETRY)
})

afterEach(async () => {
  supervisor.stop()
  for (const one of ended.splice(0)) one.stop()
  await lab[Symbol.asyncDispose]()
})

const SERVICE = {
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "web", namespace: "shop" },
  spec: {
    clusterIP: "10.96.0.1",
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, targetPort: 8080 }],
  },
}

function pod(name: string): object {
  const ip = `10.0.0.${name.at(-1)}`
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: "web" } },
    spec: { serviceAccountName: "web", containers: [{ name: "app", ports: [{ containerPort: 8080 }] }] },
    status: { podIP: ip, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  }
}

function put(raw: object, into = store): void {
  const { object } = readObject(raw)
  if (object === null) throw new Error("the object is not read")
  into.apply([{ put: object }])
}

/** A cluster that is not read yet, as another process begins with. */
function another() {
  const fresh = new ClusterStore()
  const own = new PluginSupervisor({
    ...{ store: fresh, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
    hooks: new Set<PluginHook>(["Policy", "Destination"]),
    way: pluginWays(fresh, undefined, Math.random),
    nowMs: () => performance.now(),
    pace: PACE,
  })
  ended.push(own)
  return { store: fresh, begin: () => fresh.markSynced() }
}

function pluginObject(hooks: readonly PluginHook[], deadline = "5s"): object {
  const spec = { address: lab.address, deadline, hooks: hooks.map(name => ({ name })) }
  return { apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name: "lab" }, spec }
}

function plugin(
  hooks: readonly PluginHook[],
  more: object = {},
  address = lab.address,
  name = "lab",
): Plugin {
  const spec = { address, hooks: hooks.map(hook => ({ name: hook })), ...more }
  const raw = { apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name }, spec }
  const read = readPlugin(raw)
  if (read.plugin === null) throw new Error(JSON.stringify(read.complaints))
  put(raw)
  return read.plugin
}

function remove(name = "lab"): void {
  store.apply([{ remove: `plugin//${name}` }])
}

async function until(what: string, look: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!look()) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}; ${JSON.stringify(states())}`)
    await Bun.sleep(5)
  }
}

function states(): string[] {
  return supervisor.report().map(({ plugin: { name }, state, reason }) => `${name} ${state} ${reason}`.trim())
}

const isReady = () => supervisor.report()[0]?.state === "Ready"
const policies = () =>
  [...store.policies()].map(({ namespace, name, policy }) => `${namespace}/${name} ${policy.action}`)
const DENY = { target: { kind: "Namespace" }, action: "Deny", rules: [{ from: [{ namespaces: ["shop"] }] }] }

function supplies(...names: string[]): void {
  lab.behaviour.policies = () => ({
    policies: names.map(name => ({ namespace: "shop", name, spec: DENY, reason: "closed" })),
  })
  lab.changed()
}

describe("a Policy plugin", () => {
  test("supplies policies that stand beside the cluster's, and go with it", async () => {
    supplies("night")
    plugin(["Policy"])
    await until("the policy is in force", () => policies().length === 1)
    expect(policies()).toEqual(["shop/lab:night Deny"])
    expect([...store.policies()][0]?.policy.suppliedBy).toEqual({ plugin: "lab", reason: "closed" })
    supplies("night", "noon")
    await until("both are", () => policies().length === 2)
    supplies()
    await until("none is", () => policies().length === 0)
    supplies("night")
    await until("one is again", () => policies().length === 1)
    remove()
    expect(policies()).toEqual([])
  })

  test("is told of workloads, everything first, then what changes", async () => {
    plugin(["Policy"])
    await until("it is told", () => lab.supplied.some(({ complete }) => complete))
    expect(lab.supplied[0]?.context?.plugin).toBe("lab")
    expect(lab.supplied[1]?.changed.map(({ kind, name }) => `${kind}/${name}`)).toEqual([
      "pod/web-1",
      "pod/web-2",
    ])
    store.apply([{ remove: "pod/shop/web-2" }])
    await until("it is told again", () => lab.supplied.length === 3)
    expect(lab.supplied[2]).toMatchObject({
      changed: [],
      removed: [{ namespace: "shop", kind: "pod", name: "web-2" }],
    })
  })

  test("that supplies what cannot be understood changes nothing, and is told so", async () => {
    supplies("night")
    plugin(["Policy"])
    await until("the policy is in force", () => policies().length === 1)
    lab.behaviour.policies = () => ({
      policies: [{ namespace: "shop", name: "night", spec: { ...DENY, action: "Refuse" } }],
    })
    lab.changed()
    await until("the answer is refused", () => supervisor.report()[0]?.state === "Degraded")
    expect(states()[0]).toContain('policies[0] (shop/night): spec.action is "Refuse"')
    expect(policies()).toEqual(["shop/lab:night Deny"])
    supplies("noon")
    await until("it is well again", () => isReady() && policies().includes("shop/lab:noon Deny"))
  })

  test("holds back what proxies are told until it has answered, but not for longer than it has time", async () => {
    let told = 0
    const { store: fresh, begin } = another()
    put(pluginObject(["Policy"]), fresh)
    supplies("night")
    begin()
    fresh.whenComplete(() => {
      told = [...fresh.policies()].length
    })
    await until("proxies are told", () => told === 1)

    lab.die()
    const other = another()
    put(pluginObject(["Policy", "Destination"], "10s"), other.store)
    const startMs = performance.now()
    other.begin()
    let complete = false
    other.store.whenComplete(() => {
      complete = true
    })
    expect(complete).toBe(false)
    await until("proxies are told without it", () => complete)
    // Timers may be a moment early.
    expect(performance.now() - startMs).toBeGreaterThan(FIRST_ANSWER_MS - 20)
    expect(performance.now() - startMs).toBeLessThan(MAX_PLUGIN_DEADLINE_MS)
    expect([...other.store.policies()]).toEqual([])
  })

  test("with failurePolicy Fail closes the namespaces that it names until its first answer, and only these", async () => {
    lab.die()
    const hook = { name: "Policy", failurePolicy: "Fail", namespaces: ["shop"] }
    plugin([], { hooks: [hook] })
    await until("the namespace is closed", () => policies().length === 1)
    expect(policies()).toEqual(["shop/lab:unanswered Deny"])
    const [pod] = store.pods("shop")
    if (pod === undefined) throw new Error("there are pods")
    const compiled = compilePod(store, pod, new ClientPods(store))
    const set = new PolicySet(compiled).connection({ address: "10.0.0.9", spiffeId: "" }, 8080)
    expect([set.raw.allowed, set.request("GET", "/").allowed]).toEqual([false, false])
    await lab.listen()
    await until("it is open again", () => policies().length === 0 && isReady())
    // Its last word is not to close: that holds while it is gone.
    lab.die()
    await until("it is missed", () => supervisor.report()[0]?.state === "Unreachable")
    await Bun.sleep(FIRST_ANSWER_MS / 10)
    expect(policies()).toEqual([])
  })

  test("whose object changes is asked anew without a moment in which its policies are not in force", async () => {
    supplies("night")
    plugin(["Policy"], { configuration: { at: 1 } })
    await until("the policy is in force", () => policies().length === 1)
    const seen: number[] = []
    store.subscribe(() => seen.push(policies().length))
    plugin(["Policy"], { configuration: { at: 2 } })
    await until("it is asked anew", () => lab.described.at(-1)?.context?.configuration?.at === 2 && isReady())
    expect(seen.every(count => count === 1)).toBe(true)
    plugin(["Check"])
    expect(policies()).toEqual([])
  })
})

describe("a Destination plugin", () => {
  const ref = { namespace: "shop", name: "web", port: 80 }
  const amendments = () => store.amendmentsOf("shop", "web", 80)

  test("amends endpoints, and takes it back", async () => {
    lab.behaviour.amendments = () => ({
      amendments: [
        {
          ref,
          add: [{ address: "192.0.2.1", port: 9000, weight: 2 }],
          change: [{ address: "10.0.0.1", port: 8080, weight: 0 }],
        },
      ],
    })
    plugin(["Destination"])
    await until("it is amended", () => amendments().length === 1)
    expect(amendments()[0]).toMatchObject({
      add: [{ ip: "192.0.2.1", port: 9000, weight: 2, zone: "" }],
      change: new Map([["10.0.0.1 8080", { remove: false, weight: 0, zone: null }]]),
    })
    expect(lab.amended[1]?.changed[0]).toMatchObject({
      ref,
      portName: "http",
      endpoints: [
        { address: "10.0.0.1", port: 8080, pod: "web-1" },
        { address: "10.0.0.2", pod: "web-2" },
      ],
    })
    lab.behaviour.amendments = () => ({ amendments: [{ ref }] })
    lab.changed()
    await until("it is taken back", () => amendments().length === 0)
    // What it has changed itself is nothing that it is told of.
    expect(lab.amended).toHaveLength(2)
  })

  test("that begins anew is taken at its new word alone", async () => {
    lab.behaviour.amendments = () => ({ amendments: [{ ref, add: [{ address: "192.0.2.1", port: 1 }] }] })
    plugin(["Destination"])
    await until("it is amended", () => amendments().length === 1)
    lab.behaviour.amendments = () => ({ amendments: [] })
    lab.die()
    await until("it is missed", () => supervisor.report()[0]?.state === "Unreachable")
    expect(amendments()).toHaveLength(1)
    await lab.listen()
    await until("it has forgotten", () => amendments().length === 0)
  })

  test.each([
    ["an address that is none", { add: [{ address: "web.example", port: 1 }] }, "is no IP address"],
    ["a port that is none", { add: [{ address: "192.0.2.1", port: 0 }] }, "must be from 1 to 65535"],
    [
      "a weight beyond the most",
      { add: [{ address: "192.0.2.1", port: 1, weight: 1_000_000 }] },
      "must be from 0 to 10000",
    ],
    [
      "a zone with a line break",
      { change: [{ address: "10.0.0.1", port: 8080, zone: "a\nb" }] },
      "zone must be",
    ],
  ])("with %s changes nothing", async (_what, amendment, message) => {
    lab.behaviour.amendments = () => ({ amendments: [{ ref, ...amendment }] })
    plugin(["Destination"])
    await until("it is refused", () => supervisor.report()[0]?.state === "Degraded")
    expect(states()[0]).toContain(message)
    expect(amendments()).toEqual([])
  })
})

describe("a plugin that is wrong about itself is invalid, and nothing of it is in force", () => {
  const wrong = async (message: string): Promise<void> => {
    supplies("night")
    plugin(["Policy"], { configuration: { from: 8 } })
    await until("it is found invalid", () => supervisor.report()[0]?.state === "Invalid")
    expect(states()[0]).toContain(message)
    expect(policies()).toEqual([])
  }
  const describes = (more: object): void => {
    const { describe: before } = lab.behaviour
    lab.behaviour.describe = async () => ({ ...(await before()), ...more })
  }

  test("without the hook that it is named for", async () => {
    describes({ hooks: [pluginV1.Hook.CHECK] })
    await wrong("it does not serve the hook Policy")
  })
  test("for which the configuration does not fit", async () => {
    describes({ configurationSchema: '{"properties":{"from":{"type":"string"}}}' })
    await wrong("spec.configuration.from must be string")
  })
  test("which finds the configuration wrong itself", async () => {
    describes({ problems: [{ path: "/from", message: "is before\nsunrise" }] })
    await wrong("spec.configuration.from is before sunrise")
  })
})

describe("a plugin beside another", () => {
  let good: LabPlugin

  beforeEach(async () => {
    good = await LabPlugin.start(pluginV1.Hook.POLICY, pluginV1.Hook.CHECK)
    good.behaviour.policies = () => ({ policies: [{ namespace: "shop", name: "good", spec: DENY }] })
    // Both are in this process, which may be busy with what the bad one makes.
    plugin(["Policy", "Check"], { deadline: "5s" }, good.address, "good")
    await until("the good one is in force", () => policies().includes("shop/good:good Deny"))
  })

  afterEach(async () => {
    await good[Symbol.asyncDispose]()
  })

  const goodAnswers = async (): Promise<void> => {
    expect(policies()).toEqual(["shop/good:good Deny"])
    const answers = await supervisor.askAll(
      "Check",
      pluginHooksV1.CheckHookService,
      (client, context, options) => client.check({ context }, options),
    )
    expect(answers.filter(found => "answer" in found).map(found => found.plugin.name)).toEqual(["good"])
  }

  test("that floods its stream", async () => {
    let flood = 0
    lab.behaviour.policies = () => ({
      policies: [{ namespace: "shop", name: `n${flood++ % 2}`, spec: DENY }],
    })
    plugin(["Policy"])
    await until("it is in force", () => policies().length === 2)
    const end = performance.now() + 500
    while (performance.now() < end) {
      lab.changed()
      await Bun.sleep(0)
    }
    const hook = supervisor
      .report()
      .find(one => one.plugin.name === "lab")
      ?.hooks.get("Policy")
    expect(hook?.figures().calls).toBeLessThan(60)
    remove()
    await goodAnswers()
  })
})

describe("a Telemetry plugin", () => {
  const window = (startMs: number) => ({ window: { startMs: BigInt(startMs), endMs: BigInt(startMs + 1) } })
  const seen = () =>
    lab.observed.flatMap(({ window: told }) => (told === undefined ? [] : [Number(told.startMs)]))

  test("is told each window, and again once it is back", async () => {
    plugin(["Telemetry"])
    await until("it listens", () => windows.wanted)
    windows.publish(window(1))
    windows.publish(window(2))
    await until("it has both", () => seen().length === 2)
    expect(lab.observed[0]?.context?.plugin).toBe("lab")
    lab.die()
    await until("it is missed", () => !windows.wanted)
    await lab.listen()
    await until("it listens again", () => windows.wanted)
    windows.publish(window(3))
    await until("it has the third", () => seen().at(-1) === 3)
  })

  test("that reads nothing misses the oldest windows, and is told how many", async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    lab.behaviour.observing = () => promise
    plugin(["Telemetry"])
    await until("it listens", () => windows.wanted)
    // What the connection holds is filled first.
    const edges = Array.from({ length: 2000 }, (_, n) => ({
      client: { name: `a-workload-of-some-name-${n}` },
    }))
    for (let n = 0; n < 60; n++) {
      windows.publish({ window: { startMs: BigInt(n), endMs: 0n, edges } })
      await Bun.sleep(1)
    }
    resolve()
    await until("it has the last", () => seen().at(-1) === 59)
    const missed = lab.observed.reduce((sum, request) => sum + request.missed, 0)
    expect(missed).toBeGreaterThan(0)
    expect(missed + seen().length).toBe(60)
  })
})

test("plugins are reported in the order in which they are asked", async () => {
  plugin(["Check"], { order: 5 }, lab.address, "b")
  plugin(["Check"], { order: 1 }, lab.address, "c")
  plugin(["Check"], { order: 5 }, lab.address, "a")
  expect(supervisor.report().map(({ plugin: { name } }) => name)).toEqual(["c", "a", "b"])
  plugin(["Check"], { order: 0 }, lab.address, "b")
  expect(supervisor.withHook("Check").map(({ name }) => name)).toEqual(["b", "c", "a"])
  await until("all are ready", () => supervisor.report().every(({ state }) => state === "Ready"))
})
