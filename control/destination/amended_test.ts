// What becomes of endpoints that plugins amend, above all where one would leave a Service without any.
import { expect, test } from "bun:test"
import type { AmendmentRecord } from "../cluster/mod.ts"
import { amended, type PlacedEndpoint } from "./amended.ts"

type Changes = Readonly<Record<string, Partial<{ remove: boolean; weight: number; zone: string }>>>

const placed: PlacedEndpoint[] = ["10.0.0.1", "10.0.0.2"].map(ip => ({
  ...{ ip, port: 80 },
  endpoint: { port: 80, zone: "a" },
}))

function amendment(changes: Changes, add: AmendmentRecord["add"] = [], plugin = "p"): AmendmentRecord {
  const change = Object.entries(changes).map(
    ([ip, { remove = false, weight = null, zone = null }]) => [`${ip} 80`, { remove, weight, zone }] as const,
  )
  return {
    ...{ kind: "amendment", namespace: "shop", name: `web:80:${plugin}`, service: "web", port: 80 },
    ...{ plugin, order: 0, add, change: new Map(change) },
  }
}

function left(...amendments: AmendmentRecord[]): string[] {
  const add = (_ip: string, port: number, zone: string) => ({ port, zone })
  return amended(placed, amendments, add).map(
    ({ ip, endpoint: { weight, zone } }) => `${ip} ${weight ?? "-"} ${zone}`,
  )
}

const AS_THEY_WERE = ["10.0.0.1 - a", "10.0.0.2 - a"]
const EXTRA = { ip: "192.0.2.1", port: 80, weight: 3, zone: "b", identity: "" }

test("weights and zones change, endpoints go and come", () => {
  expect(left(amendment({ "10.0.0.1": { weight: 5, zone: "b" } }))).toEqual(["10.0.0.1 5 b", "10.0.0.2 - a"])
  expect(left(amendment({ "10.0.0.1": { remove: true } }, [EXTRA]))).toEqual([
    "10.0.0.2 - a",
    "192.0.2.1 3 b",
  ])
  expect(left(amendment({ "10.9.9.9": { remove: true } }))).toEqual(AS_THEY_WERE)
})

test("none is left out where all would be, by one plugin or by two", () => {
  const first = { "10.0.0.1": { remove: true } }
  const second = { "10.0.0.2": { remove: true } }
  expect(left(amendment({ ...first, ...second }))).toEqual(AS_THEY_WERE)
  expect(left(amendment(first), amendment(second, [], "q"))).toEqual(AS_THEY_WERE)
})

test("none is drained where all would be, and what is added counts as one that serves", () => {
  const drain = { "10.0.0.1": { weight: 0 }, "10.0.0.2": { weight: 0 } }
  expect(left(amendment(drain))).toEqual(AS_THEY_WERE)
  expect(left(amendment({ "10.0.0.1": { weight: 0 }, "10.0.0.2": { remove: true } }))).toEqual(AS_THEY_WERE)
  expect(left(amendment(drain, [EXTRA]))).toEqual(["10.0.0.1 0 a", "10.0.0.2 0 a", "192.0.2.1 3 b"])
})

test("an endpoint that is there as well stays as it is", () => {
  expect(left(amendment({}, [{ ...EXTRA, ip: "10.0.0.1" }]))).toEqual(AS_THEY_WERE)
})
