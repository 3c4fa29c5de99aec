import { expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { createClient, type Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { parseAllDocuments } from "yaml"
import { pluginHooksV1, pluginV1 } from "../../protos/mod.ts"
import { cost } from "./cost/plugin.ts"
import { CostService } from "./cost/cost_pb.ts"
import { type ServedPlugin, startPlugin } from "./serve.ts"
import { teamLabel } from "./team_label/plugin.ts"
import { readPlugin } from "../plugin_object/mod.ts"
import { type Alert, webhookAlerts } from "./webhook_alerts/plugin.ts"

async function started(plugin: ServedPlugin): Promise<{ readonly transport: Transport } & AsyncDisposable> {
  const running = await startPlugin(plugin, "127.0.0.1", 0)
  const transport = createGrpcTransport({ baseUrl: `http://127.0.0.1:${running.port}` })
  return { transport, [Symbol.asyncDispose]: () => running[Symbol.asyncDispose]() }
}

/** A window. @param startMs  when it began; that of one that was told already is a repetition */
function window(success: number, failure: number, startMs: number) {
  const server = { namespace: "shop", kind: "deployment", name: "cart" }
  return {
    window: {
      startMs: BigInt(startMs),
      edges: [{ server, success: BigInt(success), failure: BigInt(failure) }],
    },
  }
}

test("team-label gives a pod the team of its namespace, leaves one that has a team, and refuses one of nobody", async () => {
  await using plugin = await started(teamLabel)
  const client = createClient(pluginHooksV1.InjectionHookService, plugin.transport)
  const context = { configuration: { label: "example.com/team", teams: { shop: "web" }, unknown: "deny" } }
  const bare = await client.mutate({ context, namespace: "shop", podJson: '{"metadata":{"labels":{}}}' })
  expect(JSON.parse(bare.patchJson)).toEqual([
    { op: "add", path: "/metadata/labels/example.com~1team", value: "web" },
  ])
  const podJson = '{"metadata":{"labels":{"example.com/team":"data"}}}'
  expect((await client.mutate({ context, namespace: "shop", podJson })).patchJson).toBe("")
  const nobodys = await client.mutate({ context, namespace: "lab", podJson: "{}" })
  expect(nobodys.denied).toContain('no team has the namespace "lab"')
})

test("webhook-alerts posts when a workload begins to fail and when it is well again, and nothing between", async () => {
  const posted: Alert[] = []
  let startMs = 1
  let arrived = (): void => {}
  const both = new Promise<void>(resolve => {
    arrived = resolve
  })
  await using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      posted.push((await request.json()) as Alert)
      if (posted.length === 2) arrived()
      return new Response()
    },
  })
  await using plugin = await started(webhookAlerts)
  async function* requests() {
    yield { context: { configuration: { url: `http://127.0.0.1:${server.port}/`, failures: 0.1 } } }
    for (const [success, failure] of [
      [100, 0],
      [80, 20],
      [70, 30],
      [1, 1],
      [100, 1],
    ] as const)
      yield window(success, failure, startMs++)
  }
  await createClient(pluginHooksV1.TelemetryHookService, plugin.transport).observe(requests())
  await both
  expect(posted.map(({ state, workload, failures }) => ({ state, workload, failures }))).toEqual([
    { state: "failing", workload: "shop/deployment/cart", failures: 0.2 },
    { state: "recovered", workload: "shop/deployment/cart", failures: 1 / 101 },
  ])
})

test("webhook-alerts says that its address is missing", async () => {
  await using plugin = await started(webhookAlerts)
  const { problems } = await createClient(pluginV1.PluginService, plugin.transport).describe({})
  expect(problems.map(({ path }) => path)).toEqual(["/url"])
})

test("cost sums up requests, and its service says what they cost", async () => {
  await using plugin = await started(cost)
  async function* requests() {
    yield { context: { configuration: { currency: "CHF", perMillion: 1, prices: { "shop/cart": 500_000 } } } }
    yield window(3, 1, 1)
    yield window(3, 1, 1)
    yield window(2, 0, 2)
  }
  await createClient(pluginHooksV1.TelemetryHookService, plugin.transport).observe(requests())
  const { rows, currency } = await createClient(CostService, plugin.transport).list({})
  expect(currency).toBe("CHF")
  expect(rows).toMatchObject([{ workload: "shop/cart", requests: 6, cost: 3 }])
})

test("the objects of every example are understood", () => {
  const files = [...new Bun.Glob("*/{plugin,deployment}.yaml").scanSync(import.meta.dir)].sort()
  expect(files.length).toBe(10)
  for (const file of files) {
    const objects = parseAllDocuments(readFileSync(join(import.meta.dir, file), "utf8"))
    const plugins = objects.map(one => one.toJS()).filter(({ kind }: { kind: string }) => kind === "Plugin")
    expect(plugins.map(one => [file, readPlugin(one).complaints])).toEqual([[file, []]])
  }
})
