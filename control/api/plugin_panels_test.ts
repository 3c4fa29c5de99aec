// Panels of plugins: what a plugin's own service answers comes as texts and numbers, bounded, whatever it holds.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { create, createFileRegistry, type DescService, toBinary } from "@bufbuild/protobuf"
import {
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt"
import { readPlugin } from "../../deploy/plugin_object/mod.ts"
import { type pluginHooksV1, PluginPanelKind, pluginV1 } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import { LabPlugin } from "../plugins/lab.ts"
import { PluginSupervisor, pluginWays } from "../plugins/mod.ts"
import { MAX_PANEL_ROWS, MAX_PANEL_TEXT_CHARS, PANELS_KEPT_MS, PluginPanels } from "./plugin_panels.ts"
import { PluginServices } from "./plugin_services.ts"

const PATIENCE_MS = 10_000
const QUIET = { debug() {}, info() {}, warn() {}, error() {} }

const field = (name: string, number: number, type: Type, more: object = {}) => ({
  ...{ name, jsonName: name, number, type, label: Label.OPTIONAL },
  ...more,
})
const SET = create(FileDescriptorSetSchema, {
  file: [
    {
      ...{ name: "lab.proto", package: "lab.v1", syntax: "proto3" },
      enumType: [
        {
          name: "State",
          value: [
            { name: "UNKNOWN", number: 0 },
            { name: "WELL", number: 1 },
          ],
        },
      ],
      messageType: [
        { name: "Empty" },
        {
          name: "Row",
          field: [
            field("name", 1, Type.STRING),
            field("cost", 2, Type.DOUBLE),
            field("calls", 3, Type.UINT64),
            field("state", 4, Type.ENUM, { typeName: ".lab.v1.State" }),
            field("meshed", 5, Type.BOOL),
          ],
        },
        {
          name: "Rows",
          field: [field("rows", 1, Type.MESSAGE, { typeName: ".lab.v1.Row", label: Label.REPEATED })],
        },
      ],
      service: [
        { name: "Lab", method: [{ name: "List", inputType: ".lab.v1.Empty", outputType: ".lab.v1.Rows" }] },
      ],
    },
  ],
})
const SERVICE = createFileRegistry(SET).getService("lab.v1.Lab") as DescService
const PANEL = { title: "Cost", service: "lab.v1.Lab", method: "List", rows: "rows" }
const COLUMNS = ["name", "cost", "calls", "state", "meshed"].map(name => ({
  title: name,
  field: name,
  unit: "",
}))

let lab: LabPlugin
let store: ClusterStore
let supervisor: PluginSupervisor
let services: PluginServices
let panels: PluginPanels
let nowMs = 0
let calls = 0
let answer: () => Promise<object> | object = () => ({ rows: [] })
let generation = 0

beforeAll(async () => {
  lab = await LabPlugin.start(pluginV1.Hook.API)
  lab.behaviour.route = router =>
    router.service(SERVICE, {
      list: () => {
        calls++
        return answer()
      },
    } as object)
  store = new ClusterStore()
  store.markSynced()
  supervisor = new PluginSupervisor({
    ...{ store, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
    ...{ hooks: new Set(["Api"] as const), way: pluginWays(store, undefined, Math.random) },
    nowMs: () => performance.now(),
  })
  services = new PluginServices(supervisor, () => {})
  panels = new PluginPanels(services, supervisor, () => nowMs)
})

afterAll(async () => {
  services.stop()
  supervisor.stop()
  await lab[Symbol.asyncDispose]()
})

/** Hands out panels, and waits until they are known, or refused. */
async function handOut(...handed: readonly object[]): Promise<void> {
  lab.behaviour.services = () => ({
    ...{ descriptors: toBinary(FileDescriptorSetSchema, SET), services: ["lab.v1.Lab"] },
    panels: handed as pluginHooksV1.Panel[],
  })
  const of = () => supervisor.report()[0]?.hooks.get("Api")?.figures()
  generation++
  const spec = {
    address: lab.address,
    deadline: "2s",
    hooks: [{ name: "Api" }],
    configuration: { generation },
  }
  const raw = { apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name: "lab" }, spec }
  const { plugin } = readPlugin(raw)
  if (plugin === null) throw new Error("the plugin is not read")
  store.apply([{ put: { kind: "plugin", namespace: "", name: "lab", plugin } }])
  const end = performance.now() + PATIENCE_MS
  while ((of()?.calls ?? 0) === 0) {
    if (performance.now() > end) throw new Error("it was not asked")
    await Bun.sleep(5)
  }
  // What was answered is looked at in the same turn of the loop.
  await Bun.sleep(5)
}

async function shown() {
  nowMs += PANELS_KEPT_MS
  return (await panels.panels()).panels ?? []
}

const cellsOf = (panel: Awaited<ReturnType<typeof shown>>[number] | undefined) =>
  (panel?.rows ?? []).map(row => (row.cells ?? []).map(cell => cell.value?.value))

test("a panel has the columns that it names, as texts and numbers", async () => {
  await handOut({
    ...PANEL,
    columns: COLUMNS.map(one => ({ ...one, unit: one.field === "cost" ? "EUR" : "" })),
  })
  answer = () => ({ rows: [{ name: "shop/web", cost: 1.5, calls: 12n, state: 1, meshed: true }] })
  const [panel] = await shown()
  expect(panel).toMatchObject({ plugin: "lab", title: "Cost", kind: PluginPanelKind.TABLE, leftOut: 0 })
  expect(panel?.columns?.[1]).toEqual({ title: "cost", unit: "EUR" })
  expect(cellsOf(panel)).toEqual([["shop/web", 1.5, 12, "WELL", "yes"]])
})

test("hostile texts and numbers come in one line, cut short, or not at all", async () => {
  const name = `<script>alert(1)</script>\u202e\n${"x".repeat(1000)}`
  answer = () => ({
    rows: [{ name, cost: Number.POSITIVE_INFINITY, calls: 2n ** 63n, state: 77, meshed: false }],
  })
  const [cells] = cellsOf((await shown())[0])
  const [text = "", ...rest] = cells ?? []
  expect(String(text)).toHaveLength(MAX_PANEL_TEXT_CHARS)
  expect(String(text)).toStartWith("<script>alert(1)</script> xxx")
  expect(rest).toEqual([undefined, 2 ** 63, "77", "no"])
})

test("of many rows the first are told, and how many are left out", async () => {
  answer = () => ({ rows: Array.from({ length: MAX_PANEL_ROWS + 3 }, (_, n) => ({ name: `w${n}` })) })
  const [panel] = await shown()
  expect([panel?.rows?.length, panel?.leftOut]).toEqual([MAX_PANEL_ROWS, 3])
})

test("a panel whose plugin does not answer says so, and many who look ask once", async () => {
  answer = () => new Promise(() => {})
  await handOut({ ...PANEL, columns: COLUMNS, title: "Slow" })
  nowMs += PANELS_KEPT_MS
  const before = calls
  const all = await Promise.all([panels.panels(), panels.panels(), panels.panels()])
  expect(calls - before).toBe(1)
  expect(all[0]?.panels?.[0]).toMatchObject({ title: "Slow", error: "it did not answer within 2000 ms" })
})

test.each([
  ["no title", { ...PANEL, title: " ", columns: COLUMNS }, "panels[0].title must have 1 to 80 characters"],
  ["no column", { ...PANEL, columns: [] }, "must have 1 to 12 entries"],
  [
    "a method of nobody's",
    { ...PANEL, method: "Drop", columns: COLUMNS },
    "which services and descriptors do not have",
  ],
  ["rows that are none", { ...PANEL, rows: "name", columns: COLUMNS }, "is no repeated message"],
  ["a field that rows lack", { ...PANEL, columns: [{ title: "a", field: "price" }] }, "does not have"],
  ["a large figure of a text", { ...PANEL, kind: 2, columns: COLUMNS.slice(0, 1) }, "which is no number"],
  ["a line without a time", { ...PANEL, kind: 4, columns: COLUMNS.slice(1, 2) }, "needs the time"],
])("an answer with %s is refused whole, what was stays", async (_what, panel, message) => {
  answer = () => ({ rows: [] })
  await handOut({ ...PANEL, title: "Before", columns: COLUMNS })
  await handOut(panel)
  expect(supervisor.report()[0]?.hooks.get("Api")?.figures().lastError).toContain(message)
  expect((await shown()).map(({ title }) => title)).toEqual(["Before"])
})
