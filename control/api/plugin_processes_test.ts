// Figures of plugins from the processes that ask them, over their admin ports.
import { afterEach, expect, test } from "bun:test"
import { create, toJsonString } from "@bufbuild/protobuf"
import type { PluginHook } from "../../deploy/plugin_object/mod.ts"
import { PluginsResponseSchema } from "../../protos/mod.ts"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import { type Listening, serveAdmin } from "../serve/mod.ts"
import { MAX_PROCESS_ANSWER_BYTES, PLUGINS_PATH, pluginsOfMesh } from "./plugin_processes.ts"

let admin: Listening | undefined

afterEach(() => admin?.close())

const ASKED_BY: Readonly<Record<PluginHook, string>> = {
  ...{ Destination: "destination", Policy: "policy", Authorize: "policy", Identity: "identity" },
  ...{ Telemetry: "api", Injection: "injector", Check: "api", Api: "api" },
}

function known(state: string, hooks: readonly object[], reason = "") {
  return create(PluginsResponseSchema, { plugins: [{ name: "lab", state, reason, hooks: [...hooks] }] })
}

/** What the mesh knows where the identity service answers so, and there is no injector. */
async function ofMesh(
  own: ReturnType<typeof known>,
  answer: () => string,
  pods: readonly string[] = ["conduit-identity"],
) {
  admin = await serveAdmin({
    ...{ host: "127.0.0.1", port: 0, notReady: () => "", metrics: () => [] },
    pages: { [PLUGINS_PATH]: answer },
  })
  const store = new ClusterStore()
  for (const [index, serviceAccountName] of pods.entries()) {
    const { object } = readObject({
      ...{
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: `${serviceAccountName}-${index + 1}`, namespace: "conduit" },
      },
      ...{ spec: { serviceAccountName, containers: [{ name: "a" }] } },
      status: { podIP: "127.0.0.1", phase: "Running" },
    })
    if (object !== null) store.apply([{ put: object }])
  }
  const processes = {
    ...{
      namespace: "conduit",
      askedBy: ASKED_BY,
      own: new Set(["api"]),
      ownPod: "conduit-api-1",
      adminPort: admin.port,
    },
  }
  return await pluginsOfMesh(own, store, processes, new AbortController().signal)
}

test("figures are those of all processes that call a hook, and the last error is the latest", async () => {
  const own = known("Ready", [
    { hook: "Identity" },
    { hook: "Check", calls: 2n, errors: 1n, lastError: "own" },
  ])
  const theirs = known("Ready", [
    { hook: "Identity", calls: 40n, errors: 3n, refused: 2n, callsPerSecond: 1.5, p99Ms: 12 },
    { hook: "Check", lastError: "later", lastErrorMs: 5n },
  ])
  const { plugins, unknown } = await ofMesh(own, () => toJsonString(PluginsResponseSchema, theirs))
  expect(unknown).toEqual([])
  expect(plugins[0]?.state).toBe("Ready")
  expect(plugins[0]?.hooks).toMatchObject([
    { hook: "Identity", calls: 40n, errors: 3n, refused: 2n, callsPerSecond: 1.5, p99Ms: 12, unknown: false },
    { hook: "Check", calls: 2n, errors: 1n, lastError: "later", unknown: false },
  ])
})

test("a plugin is as well as the process sees it that sees it worst", async () => {
  const theirs = known("Unreachable", [{ hook: "Identity" }], "connection refused")
  const { plugins } = await ofMesh(known("Degraded", [{ hook: "Identity" }], "slow"), () =>
    toJsonString(PluginsResponseSchema, theirs),
  )
  expect(plugins[0]).toMatchObject({
    state: "Unreachable",
    reason: "conduit-identity: connection refused",
  })
})

test("figures of a process that does not tell them are unknown, and why is said", async () => {
  const own = known("Ready", [{ hook: "Identity" }, { hook: "Injection" }, { hook: "Check" }])
  const { plugins, unknown } = await ofMesh(own, () => "<html>")
  expect(plugins[0]?.hooks.map(one => [one.hook, one.unknown])).toEqual([
    ["Identity", true],
    ["Injection", true],
    ["Check", false],
  ])
  expect(unknown[0]).toStartWith("conduit-identity-1: what it says of its plugins cannot be read")
  expect(unknown[1]).toBe("there is no pod of conduit-injector, which calls the hook Injection")
})

test("an answer that is too long is not taken", async () => {
  const long = " ".repeat(MAX_PROCESS_ANSWER_BYTES + 1)
  const { unknown } = await ofMesh(known("Ready", [{ hook: "Identity" }]), () => long)
  expect(unknown[0]).toContain("too many")
})

test("a pod of another namespace, or of another service account, is not asked", async () => {
  let asked = 0
  await ofMesh(known("Ready", [{ hook: "Identity" }]), () => {
    asked++
    return "{}"
  }, ["web", "conduit-web"])
  expect(asked).toBe(0)
})

test("another replica of this process is asked, itself is not", async () => {
  const theirs = known("Ready", [{ hook: "Check", calls: 5n }])
  const calls = async (...pods: string[]) => {
    const own = known("Ready", [{ hook: "Check", calls: 2n }])
    const { plugins } = await ofMesh(own, () => toJsonString(PluginsResponseSchema, theirs), pods)
    admin?.close()
    return plugins[0]?.hooks[0]?.calls
  }
  expect(await calls("conduit-api", "conduit-api")).toBe(7n)
  expect(await calls("conduit-api")).toBe(2n)
  // It does not find itself: whoever is there may be it.
  expect(await calls("conduit-web", "conduit-api")).toBe(2n)
})
