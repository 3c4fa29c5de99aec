import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { type Edge, EdgeSchema, type StatRow, StatRowSchema } from "../../../../protos/mod.ts"
import { meshOf } from "./mesh.ts"
import { levelOf, troublesOf } from "./trouble.ts"

const resource = (name: string, namespace = "shop") => ({ namespace, kind: "deployment", name })
const http = (success: number, rps = 10) => ({
  ...{ success, rps, responses: BigInt(rps * 60) },
  failures: BigInt(Math.round(rps * 60 * (1 - success))),
})
const row = (name: string, success: number, rps = 10): StatRow =>
  create(StatRowSchema, { resource: resource(name), http: http(success, rps), meshedPods: 1, totalPods: 1 })
const edge = (from: string, to: string, success: number, rps = 10): Edge =>
  create(EdgeSchema, { from: resource(from), to: resource(to), http: http(success, rps), secured: true })

test("failures are followed to where they begin, and to all whom they hurt", () => {
  const rows = [row("load", 1), row("web", 0.9, 40), row("pay", 0.5, 8), row("cart", 1), row("slow", 0.98)]
  const edges = [edge("load", "web", 0.9, 40), edge("web", "pay", 0.5, 8), edge("web", "cart", 1)]
  const told = troublesOf(meshOf(rows, edges, 0)).map(({ workload, level, hurts, causes }) => ({
    name: workload.name,
    level,
    hurts: hurts.map(one => `${one.workload.name}${one.direct ? "" : " in turn"}`),
    causes: causes.map(({ name }) => name),
  }))
  expect(told).toEqual([
    { name: "pay", level: "failing", hurts: ["web", "load in turn"], causes: [] },
    { name: "slow", level: "degraded", hurts: [], causes: [] },
    { name: "web", level: "failing", hurts: ["load"], causes: ["pay"] },
  ])
})

test("two that call each other and fail are told, and end", () => {
  const rows = [row("a", 0.5), row("b", 0.5)]
  const found = troublesOf(meshOf(rows, [edge("a", "b", 0.5), edge("b", "a", 0.5), edge("a", "a", 0.5)], 0))
  expect(found.map(({ workload, hurts }) => [workload.name, hurts.length])).toEqual([
    ["a", 1],
    ["b", 1],
  ])
})

test("a few responses, and none, are no failure", () => {
  const figures = (success: number, responses: number) =>
    create(StatRowSchema, { http: { success, responses: BigInt(responses), failures: 1n } }).http
  expect(levelOf(undefined)).toBe("idle")
  expect(levelOf(figures(0, 1))).toBe("well")
  expect(levelOf(figures(0, 5))).toBe("failing")
  expect(levelOf(figures(0.98, 50))).toBe("degraded")
})

test("the control plane's own Deployments are none of the application's", () => {
  const plane = ["conduit-api", "conduit-destination"].map(name =>
    create(StatRowSchema, { resource: resource(name, "mesh"), totalPods: 1 }),
  )
  const mesh = meshOf([...plane, row("web", 1)], [], 0)
  expect([mesh.workloads.length, mesh.plane.length, mesh.namespaces]).toEqual([1, 2, ["shop"]])
})
