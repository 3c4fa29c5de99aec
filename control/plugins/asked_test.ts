// Hooks that are asked one thing at a time: pods that are injected, certificates that are signed.
import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { injectPatch, type PodTemplate } from "../../deploy/inject/mod.ts"
import { readPlugin } from "../../deploy/plugin_object/mod.ts"
import { pluginV1 } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import { askIdentity } from "./identity_review.ts"
import { askInjection } from "./injection.ts"
import { LabPlugin } from "./lab.ts"
import { PluginSupervisor } from "./supervisor.ts"
import { namedWay } from "./way.ts"

const QUIET = { debug() {}, info() {}, warn() {}, error() {} }
const PATIENCE_MS = 10_000

let store: ClusterStore
let supervisor: PluginSupervisor
let lab: LabPlugin

beforeEach(async () => {
  store = new ClusterStore()
  store.markSynced()
  supervisor = new PluginSupervisor({
    ...{ store, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
    hooks: new Set(["Injection", "Identity"] as const),
    way: namedWay,
    nowMs: () => performance.now(),
  })
  lab = await LabPlugin.start(pluginV1.Hook.INJECTION, pluginV1.Hook.IDENTITY)
})

afterEach(async () => {
  supervisor.stop()
  await lab[Symbol.asyncDispose]()
})

async function plugin(more: object = {}, name = "lab"): Promise<void> {
  const hooks = [{ name: "Injection" }, { name: "Identity" }]
  const spec = { address: lab.address, hooks, ...more }
  const read = readPlugin({ apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name }, spec })
  if (read.plugin === null) throw new Error(JSON.stringify(read.complaints))
  store.apply([{ put: { kind: "plugin", namespace: "", name, plugin: read.plugin } }])
  const end = performance.now() + PATIENCE_MS
  while (supervisor.report().some(({ state }) => state === "Connecting")) {
    if (performance.now() > end) throw new Error("the plugin was not called")
    await Bun.sleep(5)
  }
}

const POD: PodTemplate = {
  metadata: { labels: { app: "web" }, annotations: { old: "x" } },
  spec: { containers: [{ name: "app", image: "web", env: [{ name: "PASSWORD", value: "hunter2" }] }] },
}
const ASKED = { namespace: "shop", ownerKind: "deployment", owner: "web", pod: POD }
const patches = (...operations: object[]): void => {
  lab.behaviour.mutate = async () => ({ patchJson: JSON.stringify(operations) })
}

describe("a pod that is injected", () => {
  test("is labelled, warned of or refused by a plugin, which sees no value of its environment", async () => {
    let seen = ""
    lab.behaviour.mutate = async request => {
      seen = request.podJson
      return {
        patchJson:
          '[{"op":"add","path":"/metadata/labels/team","value":"blue"},{"op":"remove","path":"/metadata/annotations/gone"}]',
        warnings: ["it has no owner"],
      }
    }
    await plugin()
    expect(await askInjection(supervisor, ASKED)).toEqual({
      denied: "",
      warnings: ["lab: it has no owner"],
      patch: [{ op: "add", path: "/metadata/labels/team", value: "blue" }],
      answered: ["lab"],
    })
    expect(seen).toContain('"PASSWORD"')
    expect(seen).not.toContain("hunter2")
    lab.behaviour.mutate = async () => ({ denied: "the image is not signed", patchJson: "[]" })
    expect((await askInjection(supervisor, ASKED)).denied).toBe(
      'the plugin "lab" refuses it: the image is not signed',
    )
  })

  test.each([
    [
      "a container",
      { op: "add", path: "/spec/containers/0/image", value: "evil" },
      "only labels and annotations",
    ],
    [
      "a label of ours",
      { op: "add", path: "/metadata/labels/conduit.io~1plane", value: "x" },
      "Kubernetes' own",
    ],
    [
      "a label of Kubernetes'",
      { op: "remove", path: "/metadata/labels/app.kubernetes.io~1name" },
      "Kubernetes' own",
    ],
    [
      "a label to what it cannot be",
      { op: "add", path: "/metadata/labels/a", value: "a b" },
      "no value that a label",
    ],
    ["all labels", { op: "add", path: "/metadata/labels", value: {} }, "only labels and annotations"],
    ["a test", { op: "test", path: "/metadata/labels/a", value: "b" }, "must add, replace or remove"],
  ])("is not changed in %s", async (_what, operation, message) => {
    patches({ op: "add", path: "/metadata/labels/good", value: "1" }, operation)
    await plugin()
    const { denied, warnings, patch } = await askInjection(supervisor, ASKED)
    expect({ denied, patch }).toEqual({ denied: "", patch: [] })
    expect(warnings.join()).toContain(message)
  })

  test("may be given a map that its author left out, which injection gives it anyhow", async () => {
    const pod: PodTemplate = { spec: { containers: [{ name: "app", image: "web" }] } }
    patches(
      { op: "add", path: "/metadata/labels", value: {} },
      { op: "add", path: "/metadata/labels/team", value: "blue" },
    )
    await plugin()
    const { patch, warnings } = await askInjection(supervisor, { ...ASKED, pod })
    expect({ patch, warnings }).toEqual({
      patch: [{ op: "add", path: "/metadata/labels/team", value: "blue" }],
      warnings: [],
    })
    const workload = { kind: "Deployment", name: "web" } as const
    const made = injectPatch(pod, {
      namespace: "shop",
      workload,
      version: "1",
      byDefault: "enabled",
      conduitNamespace: "conduit",
      nativeSidecar: false,
    })
    expect(Object.keys(made.template.metadata ?? {}).sort()).toEqual(["annotations", "labels"])
  })

  test("counts as no call of the plugin whose own it is", async () => {
    await plugin({ address: undefined, service: { namespace: "plugins", name: "own", port: 1 } }, "own")
    await plugin({}, "other")
    await askInjection(supervisor, { ...ASKED, namespace: "plugins" })
    await askIdentity(supervisor, "conduit", {
      ...{ identity: "", namespace: "plugins", serviceAccount: "own", lifetimeSeconds: 1 },
    })
    const calls = supervisor
      .report()
      .map(({ plugin: { name }, hooks }) => [name, ...[...hooks.values()].map(hook => hook.figures().calls)])
    expect(calls).toEqual([
      ["other", 1, 1],
      ["own", 0, 0],
    ])
  })

  test("that is a plugin's own is let in, whatever the plugin would say", async () => {
    const spec = {
      service: { namespace: "plugins", name: "lab", port: 1 },
      address: undefined,
      failurePolicy: "Fail",
    }
    await plugin(spec)
    expect(await askInjection(supervisor, { ...ASKED, namespace: "plugins" })).toEqual({
      ...{ denied: "", warnings: [], patch: [], answered: [] },
    })
    expect((await askInjection(supervisor, ASKED)).denied).not.toBe("")
  })

  test("has the label of the plugin that comes last where several set it", async () => {
    lab.behaviour.mutate = async ({ context }) => ({
      patchJson: JSON.stringify([{ op: "add", path: "/metadata/labels/by", value: context?.plugin }]),
    })
    await plugin({ order: 1 }, "first")
    await plugin({ order: 2 }, "second")
    const { patch } = await askInjection(supervisor, ASKED)
    expect(patch).toEqual([{ op: "add", path: "/metadata/labels/by", value: "second" }])
  })
})

describe("a certificate", () => {
  const WEB = {
    ...{ identity: "spiffe://cluster.local/ns/shop/sa/web", namespace: "shop", serviceAccount: "web" },
    lifetimeSeconds: 3600,
  }
  const ask = (who = WEB) => askIdentity(supervisor, "conduit", who)

  test("is signed where no plugin objects", async () => {
    await plugin()
    expect(await ask()).toBeNull()
    lab.behaviour.review = async ({ serviceAccount }) => ({
      allowed: false,
      reason: `no ${serviceAccount} today`,
    })
    expect(await ask()).toEqual({ message: 'the plugin "lab" refuses it: no web today', unavailable: false })
  })

  test("of the control plane is nobody's to refuse", async () => {
    lab.behaviour.review = async () => ({ allowed: false })
    await plugin()
    expect(await ask({ ...WEB, namespace: "conduit" })).toBeNull()
    expect(await ask()).not.toBeNull()
  })
})
