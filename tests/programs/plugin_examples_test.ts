// The plugins of deploy/plugins on a local mesh, each as its own process: what each promises is seen there, and the kit passes
// each where it runs. (file-registry is Go: plugin_new_go_test.ts; team-label is asked by the injector: tests/cluster.)
import { afterAll, beforeAll, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parse } from "yaml"
import { type DevMesh, PROJECT_ROOT, run } from "../lab/dev_mesh.ts"
import { eventually, kitPasses, meshToChange, statusOf } from "./plugin_project.ts"

const TEST_MS = 180_000

/** The object of an example, with its command where it is, and another configuration. */
function example(folder: string, configuration: object): object {
  const path = join(PROJECT_ROOT, "deploy/plugins", folder)
  const object = parse(readFileSync(join(path, "plugin.yaml"), "utf8"))
  const [program, file] = object.spec.command as string[]
  const command = [program === "bun" ? process.execPath : program, join(path, file ?? "")]
  return { ...object, spec: { ...object.spec, command, configuration, deadline: "2s" } }
}

let mesh: DevMesh

beforeAll(async () => {
  mesh = await meshToChange({ "business-hours": "yes" })
}, TEST_MS)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
}, TEST_MS)

test(
  "business-hours passes its own tests, in Python",
  async () => {
    const folder = join(PROJECT_ROOT, "deploy/plugins/business_hours")
    const { status, stderr } = await run(["sh", "-c", `cd ${folder} && /usr/bin/python3 -B -m unittest`])
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringContaining("OK") })
  },
  TEST_MS,
)

test(
  "business-hours refuses calls outside of the hours, and lets them through within",
  async () => {
    await mesh.apply(example("business_hours", { open: [] }))
    await eventually("web is closed", async () => (await statusOf(mesh)) === "403", mesh)
    const open = [{ days: ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"], from: "00:00", to: "23:59" }]
    const late = new Date().toISOString().slice(11, 16) === "23:59"
    await mesh.apply(example("business_hours", { open }))
    if (!late) await eventually("web is open", async () => (await statusOf(mesh)) === "200", mesh)
    await kitPasses(mesh, "business-hours")
  },
  TEST_MS,
)

test(
  "cost tells by the public API what requests have cost",
  async () => {
    await mesh.apply(example("cost", { currency: "CHF", perMillion: 1_000_000 }))
    await eventually(
      "the service tells of web",
      async () => {
        await statusOf(mesh)
        return (await costs()).some(({ workload, cost }) => workload === "default/web" && Number(cost) >= 1)
      },
      mesh,
    )
    const { panels } = await posted<{ panels: unknown[] }>("conduit.api.v1.ApiService/PluginPanels")
    expect(panels).toEqual([
      expect.objectContaining({
        ...{ plugin: "cost", title: "Cost of requests" },
        columns: [{ title: "Workload" }, { title: "Requests" }, { title: "Cost", unit: "CHF" }],
        rows: expect.arrayContaining([{ cells: expect.arrayContaining([{ text: "default/web" }]) }]),
      }),
    ])
    await kitPasses(mesh, "cost")
  },
  TEST_MS,
)

test(
  "webhook-alerts posts when a workload begins to fail",
  async () => {
    await mesh.apply(
      example("webhook_alerts", { url: "http://hook.default:8080/", failures: 0.5, requests: 1 }),
    )
    await eventually(
      "the webhook has an alert",
      async () => {
        await mesh.exec("default", "client", ["curl", "-sS", "http://web.default/fail"])
        return (await mesh.logs("default", "hook", "app")).includes(
          '"state":"failing","workload":"default/deployment/web"',
        )
      },
      mesh,
    )
    await kitPasses(mesh, "webhook-alerts")
  },
  TEST_MS,
)

test(
  "team-label passes the kit, and nothing is asked of it where there is no injector",
  async () => {
    await mesh.apply(example("team_label", { label: "team", teams: { shop: "web" } }))
    await kitPasses(mesh, "team-label")
  },
  TEST_MS,
)

async function costs(): Promise<{ workload?: string; cost?: number }[]> {
  const { rows = [] } = await posted<{ rows?: { workload: string; cost: number }[] }>(
    "cost.v1.CostService/List",
  )
  return rows
}

/** Calls a method of the public API with an empty message; empty where it does not answer yet. */
async function posted<Answer extends object>(path: string): Promise<Partial<Answer>> {
  const curl = ["curl", "-sS", "-H", "content-type: application/json", "-d", "{}"]
  const { stdout } = await mesh.exec("default", "client", [
    ...curl,
    `http://conduit-api.conduit:8085/${path}`,
  ])
  try {
    return JSON.parse(stdout) as Answer
  } catch {
    return {}
  }
}
