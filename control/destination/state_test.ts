// States put together from encoded parts: they decode as if encoded whole, and deltas lead from state to state.
import { expect, test } from "bun:test"
import { fromBinary, toJson } from "@bufbuild/protobuf"
import fc from "fast-check"
import { destinationV1 } from "../../protos/mod.ts"
import type { EndpointInit, Resolution } from "./resolve.ts"
import { changeBody, outboundState, unchangedBody } from "./state.ts"

function decode(body: Uint8Array): destinationV1.WatchResponse {
  return fromBinary(destinationV1.WatchResponseSchema, body)
}

function service(endpoints: readonly EndpointInit[], name = "web"): Resolution {
  return {
    kind: "service",
    service: { namespace: "shop", name, port: 80 },
    endpoints,
    backends: [],
    origins: [],
    dependsOn: ["service/shop/web"],
  }
}

function text(endpoint: destinationV1.Endpoint): string {
  return JSON.stringify(toJson(destinationV1.EndpointSchema, endpoint))
}

const endpointArbitrary = fc.record({
  ip: fc.oneof(
    fc.constantFrom(Uint8Array.of(10, 0, 0, 1), Uint8Array.of(10, 0, 0, 2), Uint8Array.of(0, 0, 0, 0)),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  ),
  port: fc.constantFrom(1, 80, 127, 128, 16384, 65535),
  zone: fc.constantFrom("", "a"),
  pod: fc.string(),
  meshed: fc.boolean(),
})

const endpointsArbitrary = fc.uniqueArray(endpointArbitrary, {
  selector: ({ ip, port }) => `${ip.join(".")} ${port}`,
  maxLength: 8,
})

test("a delta applied to the state before gives the state after, whatever both are", () => {
  fc.assert(
    fc.property(endpointsArbitrary, endpointsArbitrary, (first, second) => {
      const before = outboundState(service(first))
      const after = outboundState(service(second))
      const known = new Map<string, string>()
      const { update } = decode(before.full)
      if (update.case !== "destination" || update.value.kind.case !== "service") throw new Error("no service")
      for (const endpoint of update.value.kind.value.endpoints)
        known.set(`${endpoint.ip} ${endpoint.port}`, text(endpoint))
      const change = decode(changeBody(before, after))
      expect(change.version).toBe(after.version)
      if (change.update.case !== "endpoints") throw new Error(`no delta but ${change.update.case}`)
      for (const { ip, port } of change.update.value.removed) expect(known.delete(`${ip} ${port}`)).toBe(true)
      for (const endpoint of change.update.value.added)
        known.set(`${endpoint.ip} ${endpoint.port}`, text(endpoint))
      const whole = decode(after.full).update
      if (whole.case !== "destination" || whole.value.kind.case !== "service") throw new Error("no service")
      expect([...known.values()].sort()).toEqual(whole.value.kind.value.endpoints.map(text).sort())
    }),
  )
})

test("the version is of the content: equal for equal states, different for any difference", () => {
  const endpoint = { ip: Uint8Array.of(10, 0, 0, 1), port: 80 }
  const version = outboundState(service([endpoint])).version
  expect(outboundState(service([{ ...endpoint }])).version).toBe(version)
  const others = [
    outboundState(service([])),
    outboundState(service([endpoint], "other")),
    outboundState(service([{ ...endpoint, meshed: true }])),
    outboundState({ kind: "endpoint", endpoint }),
    outboundState({ kind: "external" }),
  ]
  expect(new Set([version, ...others.map(state => state.version)]).size).toBe(6)
})

test("what changes beside endpoints, or into another kind, is told whole", () => {
  const web = outboundState(service([]))
  for (const other of [outboundState(service([], "renamed")), outboundState({ kind: "external" })]) {
    expect(changeBody(web, other)).toBe(other.full)
    expect(changeBody(other, web)).toBe(web.full)
  }
})

test("unchanged names the current version", () => {
  const state = outboundState({ kind: "external" })
  expect(decode(unchangedBody(state))).toMatchObject({
    version: state.version,
    update: { case: "unchanged" },
  })
})
