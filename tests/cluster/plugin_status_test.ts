// Plugins on a real API server: what it refuses itself, and what the API, with its own rights, writes into their status.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { RunningControlPlane } from "../../control/run.ts"
import { installYaml, readValues } from "../../deploy/install/mod.ts"
import { Cluster } from "./mod.ts"
import { accountKubeconfig, runService } from "./run_service.ts"

let cluster: Cluster
let folder = ""
let running: RunningControlPlane | undefined
let plugin: Bun.Subprocess | undefined
let address = ""
const lines: string[] = []

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
  folder = mkdtempSync(join(tmpdir(), "conduit-plugin-status-"))
  await apply(installYaml({ namespace: "conduit", version: "1.0.0", values: readValues([]) }))
  const port = await freePort()
  address = `127.0.0.1:${port}`
  plugin = Bun.spawn([process.execPath, join(import.meta.dir, "../e2e/plugin_app.ts")], {
    env: { PATH: process.env.PATH ?? "", PORT: String(port) },
    stdout: "ignore",
    stderr: "inherit",
  })
  const kubeconfig = await accountKubeconfig(cluster, "conduit-api", folder)
  running = await runService("api", kubeconfig, lines, { CONDUIT_TELEMETRY_ADDR: "127.0.0.1:1" })
}, 30 * 60_000)

afterAll(async () => {
  running?.stop()
  plugin?.kill()
  await plugin?.exited
  await cluster?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  const found = server.address()
  await new Promise(resolve => server.close(resolve))
  if (found === null || typeof found === "string") throw new Error("no port is free")
  return found.port
}

async function apply(input: string): Promise<void> {
  await cluster.kubectl(["apply", "--server-side", "-f", "-"], { input })
}

function object(name: string, spec: object): string {
  return JSON.stringify({ apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name }, spec })
}

interface Told {
  readonly metadata: { readonly generation: number }
  readonly spec: { readonly configuration?: object }
  readonly status?: {
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason: string
      readonly message: string
      readonly observedGeneration: number
    }[]
  }
}

/** Waits until the conditions of the generation that is there are as wanted: `TYPE=STATUS REASON`. */
async function conditions(name: string, wanted: readonly string[]): Promise<string> {
  const end = performance.now() + 30_000
  for (;;) {
    const { metadata, status } = JSON.parse(
      await cluster.kubectl(["get", "plugin", name, "--output=json"]),
    ) as Told
    const found = (status?.conditions ?? []).filter(
      ({ observedGeneration }) => observedGeneration === metadata.generation,
    )
    const told = found.map(({ type, status: is, reason }) => `${type}=${is} ${reason}`).sort()
    if (JSON.stringify(told) === JSON.stringify(wanted)) return found.map(({ message }) => message).join("\n")
    if (performance.now() > end)
      throw new Error(`${name} is ${told.join(", ")}, not ${wanted.join(", ")}; the log: ${lines.join("")}`)
    await Bun.sleep(200)
  }
}

test("the API server refuses what the schema does not know, and keeps any configuration", async () => {
  const hook = (name: string) => ({ address, hooks: [{ name }] })
  await expect(apply(object("bad", hook("Polcy")))).rejects.toThrow("spec.hooks[0].name")
  await expect(apply(object("bad", { address, hooks: [] }))).rejects.toThrow("spec.hooks")
  await expect(apply(object("bad", { ...hook("Policy"), timeout: "1s" }))).rejects.toThrow("timeout")
  await apply(object("kept", { ...hook("Check"), configuration: { any: [{ thing: 1 }] } }))
  const { spec } = JSON.parse(await cluster.kubectl(["get", "plugin", "kept", "--output=json"])) as Told
  expect(spec.configuration).toEqual({ any: [{ thing: 1 }] })
  await cluster.kubectl(["delete", "plugin", "kept"])
}, 60_000)

test("a plugin that answers is Accepted and Ready; one that cannot be reached, understood or run says why", async () => {
  const hooks = [{ name: "Policy" }]
  await apply(object("good", { address, hooks, configuration: { deny: ["guest"] } }))
  await conditions("good", ["Accepted=True Accepted", "Ready=True Ready"])
  const listed = await cluster.kubectl(["get", "plugins"])
  expect(listed).toMatch(/^good\s/m)

  await apply(object("good", { address, hooks, configuration: { deny: 5 } }))
  expect(await conditions("good", ["Accepted=False Invalid", "Ready=False Invalid"])).toContain(
    "spec.configuration.deny must be array",
  )
  await apply(object("good", { address, hooks: [{ name: "Identity" }] }))
  expect(await conditions("good", ["Accepted=False Invalid", "Ready=False Invalid"])).toContain(
    "does not serve the hook Identity",
  )
  await apply(object("far", { address: "127.0.0.1:1", hooks }))
  await conditions("far", ["Accepted=True Accepted", "Ready=False Unreachable"])
  await apply(object("local", { command: ["./plugin"], hooks }))
  expect(await conditions("local", ["Accepted=True Accepted", "Ready=False Unreachable"])).toContain(
    "a cluster runs no command",
  )
  // What the schema cannot say: the reader does.
  await apply(object("none", { hooks }))
  expect(await conditions("none", ["Accepted=False Invalid", "Ready=False Invalid"])).toContain(
    "needs one of service, address and command",
  )
}, 120_000)

test("two that change the same and have one order are warned, and are well otherwise", async () => {
  const spec = { address, hooks: [{ name: "Destination" }] }
  await apply(object("one", spec))
  await apply(object("two", spec))
  const wanted = ["Accepted=True Accepted", "Ordered=False SameOrder", "Ready=True Ready"]
  expect(await conditions("one", wanted)).toContain("spec.order is 0, as that of two")
  await apply(object("two", { ...spec, order: 1 }))
  await conditions("one", ["Accepted=True Accepted", "Ready=True Ready"])
}, 60_000)
