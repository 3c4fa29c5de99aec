// Services of plugins under the public API: called as its own are, told by reflection, gone with their plugin.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { create, createFileRegistry, type DescService, type Message, toBinary } from "@bufbuild/protobuf"
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt"
import { Code, ConnectError, createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { readPlugin } from "../../deploy/plugin_object/mod.ts"
import { grpcReflectionV1 } from "../../protos/grpc/mod.ts"
import { pluginV1 } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import { BREAKER_FAILURES } from "../plugins/hook_calls.ts"
import { LabPlugin } from "../plugins/lab.ts"
import { PluginSupervisor, pluginWays } from "../plugins/mod.ts"
import type { Listening } from "../serve/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { serveApi } from "./service.ts"

const PATIENCE_MS = 10_000
const QUIET = { debug() {}, info() {}, warn() {}, error() {} }

function descriptors(packageName: string, streams = false): FileDescriptorProto {
  const field = (name: string, type: FieldDescriptorProto_Type) => ({
    ...{ name, jsonName: name, number: 1, type },
    label: FieldDescriptorProto_Label.OPTIONAL,
  })
  const method = { inputType: `.${packageName}.Question`, outputType: `.${packageName}.Price` }
  return create(FileDescriptorProtoSchema, {
    ...{ name: `${packageName}.proto`, package: packageName, syntax: "proto3" },
    messageType: [
      { name: "Question", field: [field("workload", FieldDescriptorProto_Type.STRING)] },
      { name: "Price", field: [field("euros", FieldDescriptorProto_Type.DOUBLE)] },
    ],
    service: [
      {
        name: "CostService",
        method: [
          { name: "Price", ...method },
          { name: "Follow", ...method, serverStreaming: true, clientStreaming: streams },
        ],
      },
    ],
  })
}

const FILE = descriptors("cost.v1")
const SERVICE = createFileRegistry(create(FileDescriptorSetSchema, { file: [FILE] })).getService(
  "cost.v1.CostService",
) as DescService

let lab: LabPlugin
let store: ClusterStore
let supervisor: PluginSupervisor
let server: Listening
let base = ""

beforeAll(async () => {
  lab = await LabPlugin.start(pluginV1.Hook.API)
  says(FILE, "cost.v1.CostService")
  const price = (request: Message) => {
    const { workload } = request as Message & { workload: string }
    if (workload === "") throw new ConnectError("workload is missing", Code.InvalidArgument)
    return { euros: workload.length } as object
  }
  const implementation = {
    price,
    async *follow(request: Message) {
      yield price(request)
      yield price(request)
    },
  }
  lab.behaviour.route = router => router.service(SERVICE, implementation as object)
  store = new ClusterStore()
  store.markSynced()
  supervisor = new PluginSupervisor({
    ...{ store, log: QUIET, trustDomain: "cluster.local", version: "0.1.0" },
    hooks: new Set(["Api"] as const),
    way: pluginWays(store, undefined, Math.random),
    nowMs: () => performance.now(),
  })
  const queries = localQueries(new TelemetryStore(0), () => 0)
  server = await serveApi(store, queries, { host: "127.0.0.1", port: 0, version: "1", plugins: supervisor })
  base = `http://127.0.0.1:${server.port}`
})

afterAll(async () => {
  supervisor.stop()
  server.close()
  await lab[Symbol.asyncDispose]()
})

function says(file: FileDescriptorProto, ...services: string[]): void {
  const set = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file: [file] }))
  lab.behaviour.services = () => ({ descriptors: set, services })
}

function apply(configuration: object): void {
  const spec = { address: lab.address, hooks: [{ name: "Api" }], configuration }
  const raw = { apiVersion: "conduit.io/v1alpha1", kind: "Plugin", metadata: { name: "cost" }, spec }
  const { plugin } = readPlugin(raw)
  if (plugin === null) throw new Error("the plugin is not read")
  store.apply([{ put: { kind: "plugin", namespace: "", name: "cost", plugin } }])
}

async function json(body: object): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${base}/cost.v1.CostService/Price`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  })
  return { status: answer.status, body: await answer.json() }
}

async function until(what: string, look: () => Promise<boolean> | boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}: ${lastError()}`)
    await Bun.sleep(10)
  }
}

const lastError = () => supervisor.report()[0]?.hooks.get("Api")?.figures().lastError ?? ""

async function reflected(): Promise<string[]> {
  const client = createClient(grpcReflectionV1.ServerReflection, createGrpcTransport({ baseUrl: base }))
  const question = { messageRequest: { case: "listServices" as const, value: "" } }
  for await (const { messageResponse } of client.serverReflectionInfo(
    (async function* () {
      yield question
    })(),
  )) {
    if (messageResponse.case === "listServicesResponse")
      return messageResponse.value.service.map(({ name }) => name)
  }
  return []
}

test("a service is called by JSON and by gRPC, streams too, and its errors are its own", async () => {
  expect(await json({ workload: "web" })).toMatchObject({ status: 404, body: { code: "unimplemented" } })
  apply({ at: 1 })
  await until("it is mounted", async () => (await json({ workload: "web" })).status === 200)
  expect(await json({ workload: "web" })).toEqual({ status: 200, body: { euros: 3 } })
  expect(await json({})).toMatchObject({
    status: 400,
    body: { code: "invalid_argument", message: "workload is missing" },
  })
  expect(await json({ worklaod: "web" })).toMatchObject({ status: 400 })
  const client = createClient(SERVICE, createGrpcTransport({ baseUrl: base })) as unknown as {
    follow(request: object): AsyncIterable<{ euros: number }>
  }
  const prices = []
  for await (const { euros } of client.follow({ workload: "cart" })) prices.push(euros)
  expect(prices).toEqual([4, 4])
  expect(await reflected()).toContain("cost.v1.CostService")
})

test("a caller that asks wrongly again and again closes the service to nobody", async () => {
  for (let times = 0; times <= BREAKER_FAILURES; times++) expect((await json({})).status).toBe(400)
  expect((await json({ workload: "web" })).status).toBe(200)
})

test("while the plugin is away its callers are told, and nobody else is", async () => {
  lab.die()
  await json({ workload: "web" })
  await until("it is missed", () => supervisor.report()[0]?.state === "Unreachable")
  const { status, body } = await json({ workload: "web" })
  expect({ status, code: (body as { code: string }).code }).toEqual({ status: 503, code: "unavailable" })
  const version = await fetch(`${base}/conduit.api.v1.ApiService/Version`, {
    ...{ method: "POST", headers: { "content-type": "application/json" }, body: "{}" },
  })
  expect(version.status).toBe(200)
  await lab.listen()
  await until("it is back", async () => (await json({ workload: "web" })).status === 200)
})

test.each([
  [
    "a name of ours",
    () => says(descriptors("conduit.api.v1"), "conduit.api.v1.CostService"),
    "not a plugin's to serve",
  ],
  ["a name that its descriptors lack", () => says(FILE, "cost.v1.Other"), "which is not in descriptors"],
  [
    "a stream from its callers",
    () => says(descriptors("cost.v2", true), "cost.v2.CostService"),
    "takes a stream of messages",
  ],
  [
    "garbage as descriptors",
    () => {
      lab.behaviour.services = () => ({ descriptors: new Uint8Array([1, 2, 3]), services: ["a.B"] })
    },
    "",
  ],
] as const)("with %s nothing of it is mounted, what was stays", async (what, change, message) => {
  const errors = () => supervisor.report()[0]?.hooks.get("Api")?.figures().errors ?? 0
  change()
  apply({ what })
  await until("it is refused", () => errors() > 0)
  expect(lastError()).toContain(message)
  expect((await json({ workload: "web" })).status).toBe(200)
  expect((await reflected()).filter(name => name.startsWith("cost."))).toEqual(["cost.v1.CostService"])
})

test("with its plugin a service is gone", async () => {
  store.apply([{ remove: "plugin//cost" }])
  await until("it is gone", async () => (await json({ workload: "web" })).status === 404)
  expect(await reflected()).not.toContain("cost.v1.CostService")
})
