// Calls as Prometheus is told of them.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect"
import { ApiService, StatResponseSchema, VersionResponseSchema } from "../../protos/mod.ts"
import { CallMetrics } from "./call_metrics.ts"

test("calls are counted by method and code, and by how long they took", async () => {
  const clock = { nowMs: 0 }
  let asked = 0
  const calls = new CallMetrics(() => clock.nowMs)
  const transport = createRouterTransport(
    router => {
      router.service(ApiService, {
        version() {
          clock.nowMs += 20
          return create(VersionResponseSchema)
        },
        stat() {
          clock.nowMs += 20_000
          if (++asked > 1) throw new ConnectError("none", Code.NotFound)
          return create(StatResponseSchema)
        },
      })
    },
    { router: { interceptors: [calls.interceptor] } },
  )
  const client = createClient(ApiService, transport)
  await client.version({})
  await client.version({})
  await client.stat({})
  await expect(client.stat({})).rejects.toThrow("none")
  const figure = (name: string, labels: Record<string, string>) =>
    calls
      .metrics()
      .find(
        one =>
          one.name === name && Object.entries(labels).every(([key, value]) => one.labels?.[key] === value),
      )?.value
  expect(figure("grpc_server_started_total", { grpc_method: "Version" })).toBe(2)
  expect(figure("grpc_server_handled_total", { grpc_method: "Version", grpc_code: "OK" })).toBe(2)
  expect(figure("grpc_server_handled_total", { grpc_method: "Stat", grpc_code: "OK" })).toBe(1)
  expect(figure("grpc_server_handled_total", { grpc_method: "Stat", grpc_code: "NotFound" })).toBe(1)
  const bucket = (grpc_method: string, le: string) =>
    figure("grpc_server_handling_seconds_bucket", { grpc_method, le })
  expect([bucket("Version", "0.01"), bucket("Version", "0.025"), bucket("Version", "+Inf")]).toEqual([
    0, 2, 2,
  ])
  expect([bucket("Stat", "10"), bucket("Stat", "+Inf")]).toEqual([0, 2])
  expect(figure("grpc_server_handling_seconds_sum", { grpc_method: "Stat" })).toBe(40)
})
