// Controllers as conversations: pods as they are, what is to be done.
import { expect, test } from "bun:test"
import fc from "fast-check"
import type { WorkloadSpec } from "../objects/kube_object.ts"
import {
  limits,
  type PodView,
  planDaemonSet,
  planDeployment,
  planJob,
  planReplicaSet,
  planStatefulSet,
} from "./plan.ts"

const template = { spec: { containers: [] } }

function pod(name: string, hash: string, more: Partial<PodView> = {}): PodView {
  return { name, hash, ready: true, terminating: false, phase: "Running", createdMs: 0, ...more }
}

function deployment(
  replicas: number,
  rolling?: { maxSurge: number | string; maxUnavailable: number | string },
): WorkloadSpec {
  return { template, replicas, ...(rolling ? { strategy: { rollingUpdate: rolling } } : {}) }
}

test("a new Deployment gets all its pods at once", () => {
  expect(planDeployment(deployment(3), "a", [])).toEqual({ create: ["", "", ""], remove: [] })
})

test("a single pod is replaced only after its successor is ready", () => {
  const old = pod("old", "a")
  expect(planDeployment(deployment(1), "b", [old])).toEqual({ create: [""], remove: [] })
  const starting = pod("new", "b", { ready: false })
  expect(planDeployment(deployment(1), "b", [old, starting])).toEqual({ create: [], remove: [] })
  expect(planDeployment(deployment(1), "b", [old, pod("new", "b")])).toEqual({ create: [], remove: ["old"] })
})

test("an old pod that is not ready goes at once", () => {
  const plan = planDeployment(deployment(1), "b", [pod("broken", "a", { ready: false })])
  expect(plan).toEqual({ create: [""], remove: ["broken"] })
})

test("Recreate waits until every old pod is gone", () => {
  const spec = { ...deployment(2), strategy: { type: "Recreate" } }
  expect(planDeployment(spec, "b", [pod("old", "a")])).toEqual({ create: [], remove: ["old"] })
  expect(planDeployment(spec, "b", [pod("old", "a", { terminating: true })])).toEqual({
    create: [],
    remove: [],
  })
  expect(planDeployment(spec, "b", [])).toEqual({ create: ["", ""], remove: [] })
})

test("scaling down removes pods that are not ready first, then the youngest", () => {
  const pods = [
    pod("a", "h", { createdMs: 1 }),
    pod("b", "h", { createdMs: 2 }),
    pod("c", "h", { ready: false }),
  ]
  expect(planDeployment(deployment(1), "h", pods).remove).toEqual(["c", "b"])
  expect(planReplicaSet(deployment(2), pods).remove).toEqual(["c"])
})

test("percentages of surge round up, of unavailability down, and both zero still move", () => {
  expect(limits(deployment(3), 3)).toEqual({ maxSurge: 1, maxUnavailable: 0 })
  expect(limits(deployment(8), 8)).toEqual({ maxSurge: 2, maxUnavailable: 2 })
  expect(limits(deployment(4, { maxSurge: 0, maxUnavailable: 0 }), 4)).toEqual({
    maxSurge: 1,
    maxUnavailable: 0,
  })
})

test("a rollout never has fewer ready pods or more pods than allowed, and ends", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 0, max: 3 }),
      fc.infiniteStream(fc.nat({ max: 5 })),
      (replicas, maxSurge, maxUnavailable, choices) => {
        const spec = deployment(replicas, { maxSurge, maxUnavailable })
        const allowed = limits(spec, replicas)
        let pods = Array.from({ length: replicas }, (_, index) => pod(`old${index}`, "a"))
        let next = 0
        for (let step = 0; step < 200; step++) {
          const plan = planDeployment(spec, "b", pods)
          const removed = new Set(plan.remove)
          pods = pods.map(one => (removed.has(one.name) ? { ...one, terminating: true, ready: false } : one))
          for (const _ of plan.create) pods.push(pod(`new${next++}`, "b", { ready: false }))
          const alive = pods.filter(one => !one.terminating)
          expect(alive.length).toBeLessThanOrEqual(replicas + allowed.maxSurge)
          expect(alive.filter(one => one.ready).length).toBeGreaterThanOrEqual(
            replicas - allowed.maxUnavailable,
          )
          // The world moves on a little: a pod becomes ready, or one that was ending is gone.
          const changing = pods.filter(one => one.terminating || !one.ready)
          const chosen = changing[(choices.next().value ?? 0) % Math.max(1, changing.length)]
          if (chosen === undefined) break
          pods = pods.flatMap(one =>
            one !== chosen ? [one] : one.terminating ? [] : [{ ...one, ready: true }],
          )
        }
        expect(pods.map(one => [one.hash, one.ready])).toEqual(
          Array.from({ length: replicas }, () => ["b", true]),
        )
      },
    ),
  )
})

test("a StatefulSet has stable names and is updated from the last, one by one", () => {
  const spec = { template, replicas: 2 }
  expect(planStatefulSet("db", spec, "a", []).create).toEqual(["db-0"])
  const pods = [pod("db-0", "a"), pod("db-1", "a")]
  expect(planStatefulSet("db", spec, "b", pods)).toEqual({ create: [], remove: ["db-1"] })
  const ending = [pod("db-0", "a"), pod("db-1", "a", { terminating: true })]
  expect(planStatefulSet("db", spec, "b", ending)).toEqual({ create: [], remove: [] })
  expect(planStatefulSet("db", spec, "b", [pod("db-0", "a")]).create).toEqual(["db-1"])
  const half = [pod("db-0", "a"), pod("db-1", "b")]
  expect(planStatefulSet("db", spec, "b", half)).toEqual({ create: [], remove: ["db-0"] })
  expect(planStatefulSet("db", { template, replicas: 1 }, "a", pods).remove).toEqual(["db-1"])
})

test("pods of a StatefulSet start in order, each when those before it are ready", () => {
  const spec = { template, replicas: 3 }
  const starting = pod("db-0", "a", { ready: false })
  expect(planStatefulSet("db", spec, "a", [starting])).toEqual({ create: [], remove: [] })
  expect(planStatefulSet("db", spec, "a", [pod("db-0", "a")]).create).toEqual(["db-1"])
  const first = pod("db-0", "a", { terminating: true })
  expect(planStatefulSet("db", spec, "a", [first, pod("db-1", "a")]).create).toEqual([])
  expect(planStatefulSet("db", spec, "a", [pod("db-1", "a"), pod("db-2", "a")]).create).toEqual(["db-0"])
  const parallel = { ...spec, podManagementPolicy: "Parallel" }
  expect(planStatefulSet("db", parallel, "a", [starting]).create).toEqual(["db-1", "db-2"])
})

test("a StatefulSet shrinks from the highest, one at a time", () => {
  const spec = { template, replicas: 1 }
  // In the order of numbers, not of letters.
  const pods = ["db-2", "db-10", "db-0", "db-9"].map(name => pod(name, "a"))
  expect(planStatefulSet("db", spec, "a", pods).remove).toEqual(["db-10"])
  const ending = pods.map(each => (each.name === "db-10" ? { ...each, terminating: true } : each))
  expect(planStatefulSet("db", spec, "a", ending)).toEqual({ create: [], remove: [] })
  const parallel = { ...spec, podManagementPolicy: "Parallel" }
  expect(planStatefulSet("db", parallel, "a", pods).remove).toEqual(["db-10", "db-9", "db-2"])
})

test("an edit mends a StatefulSet whose first pod never became ready", () => {
  const spec = { template, replicas: 2 }
  const broken = pod("db-0", "a", { ready: false })
  expect(planStatefulSet("db", spec, "b", [broken])).toEqual({ create: [], remove: ["db-0"] })
})

test("a DaemonSet has one pod, replaced after it has gone", () => {
  expect(planDaemonSet("a", []).create).toHaveLength(1)
  expect(planDaemonSet("b", [pod("d", "a")])).toEqual({ create: [], remove: ["d"] })
  expect(planDaemonSet("b", [pod("d", "a", { terminating: true })])).toEqual({ create: [], remove: [] })
})

test("a Job runs until enough succeeded or too many failed", () => {
  const spec = { template, completions: 3, parallelism: 2, backoffLimit: 1 }
  const done = (name: string, phase: PodView["phase"]) => pod(name, "a", { phase, ready: false })
  expect(planJob(spec, "a", []).create).toHaveLength(2)
  expect(planJob(spec, "a", [done("1", "Succeeded"), done("2", "Succeeded")]).create).toHaveLength(1)
  expect(planJob(spec, "a", [done("1", "Failed")]).create).toHaveLength(2)
  expect(planJob(spec, "a", [done("1", "Failed"), done("2", "Failed")]).create).toHaveLength(0)
  expect(
    planJob(
      spec,
      "a",
      ["1", "2", "3"].map(name => done(name, "Succeeded")),
    ).create,
  ).toHaveLength(0)
})
