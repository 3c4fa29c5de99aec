// A client that knows nothing of us asks the public API by reflection what there is, and calls it: grpcurl.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { serveApi } from "../../control/api/mod.ts"
import { ClusterStore } from "../../control/cluster/mod.ts"
import type { Listening } from "../../control/serve/mod.ts"
import { localQueries, TelemetryStore } from "../../control/telemetry/mod.ts"
import { ensureGoProgram } from "./go_program.ts"

let grpcurl = ""
let server: Listening

beforeAll(async () => {
  grpcurl = await ensureGoProgram({
    name: "grpcurl",
    module: "grpcurl",
    of: "github.com/fullstorydev/grpcurl/cmd/grpcurl",
  })
  const queries = localQueries(new TelemetryStore(0), () => 0)
  const store = new ClusterStore()
  store.markSynced()
  server = await serveApi(store, queries, { host: "127.0.0.1", port: 0, version: "1.2.3" })
}, 30 * 60_000)

afterAll(() => server?.close())

async function ask(words: readonly string[], ...flags: string[]) {
  const cmd = [grpcurl, "-plaintext", ...flags, `127.0.0.1:${server.port}`, ...words]
  const child = Bun.spawn(cmd, { stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 30_000 })
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { status, stdout, stderr }
}

test("it lists what is served", async () => {
  const { stdout } = await ask(["list"])
  expect(stdout.trim().split("\n")).toEqual([
    "conduit.api.v1.ApiService",
    "conduit.api.v1.TapService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
  ])
})

test("it describes a call and its messages, those of other files too", async () => {
  const call = await ask(["describe", "conduit.api.v1.ApiService.Stat"])
  expect(call.stdout).toContain(
    "rpc Stat ( .conduit.api.v1.StatRequest ) returns ( .conduit.api.v1.StatResponse )",
  )
  const message = await ask(["describe", "conduit.api.v1.StatRequest"])
  expect(message.stdout).toContain(".google.protobuf.FieldMask fields = 15")
  expect((await ask(["describe", "google.protobuf.FieldMask"])).stdout).toContain("repeated string paths = 1")
  expect(await ask(["describe", "conduit.api.v1.Nothing"])).toMatchObject({ status: 1 })
})

test("it calls, and reads the details of an error", async () => {
  const version = await ask(["conduit.api.v1.ApiService/Version"])
  expect(JSON.parse(version.stdout)).toMatchObject({ controlPlane: "1.2.3" })
  const wrong = await ask(["conduit.api.v1.ApiService/Stat"], "-d", '{"target":{"kind":"sheep"}}')
  expect(wrong.stderr).toContain("Code: InvalidArgument")
  expect(wrong.stderr).toContain('"reason": "UNKNOWN_KIND"')
})

test("it finds the server healthy, and a service that is not there unknown", async () => {
  const health = await ask(["grpc.health.v1.Health/Check"])
  expect(JSON.parse(health.stdout)).toEqual({ status: "SERVING" })
  const unknown = await ask(["grpc.health.v1.Health/Check"], "-d", '{"service":"nobody"}')
  expect(unknown.stderr).toContain("Code: NotFound")
})
