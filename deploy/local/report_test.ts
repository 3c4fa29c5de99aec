// When a mesh counts as up, and when waiting for it makes no sense.
import { expect, test } from "bun:test"
import type { ContainerStatus } from "./pod/pod_status.ts"
import { isWell, Patience, type PodReport } from "./report.ts"

function container(more: Partial<ContainerStatus> = {}): ContainerStatus {
  return {
    name: "c",
    kind: "main",
    state: "running",
    reason: "",
    pid: 1,
    ready: true,
    started: true,
    restarts: 0,
    exitCode: null,
    probed: false,
    runningSinceMs: 1000,
    ...more,
  }
}

function pod(name: string, of: ContainerStatus, more: Partial<PodReport> = {}): PodReport {
  return {
    namespace: "shop",
    name,
    workload: null,
    ip: "10.244.0.10",
    ips: [],
    meshed: false,
    skipped: null,
    ready: of.ready,
    phase: "Running",
    terminating: false,
    reason: "",
    restarts: of.restarts,
    labels: {},
    createdMs: 0,
    sandboxPid: 1,
    pid: 1,
    containers: [of],
    ...more,
  }
}

test("a container that nobody probes is well only after it has held for a moment", () => {
  expect(isWell(pod("a", container()), 1100)).toBe(false)
  expect(isWell(pod("a", container()), 1500)).toBe(true)
  expect(isWell(pod("a", container({ probed: true })), 1100)).toBe(true)
  expect(isWell(pod("a", container({ ready: false })), 9000)).toBe(false)
  expect(isWell(pod("a", container({ ready: false }), { phase: "Succeeded" }), 9000)).toBe(true)
})

test("a pod that crashed while others were starting gets one more try after they are well", () => {
  const patience = new Patience()
  const waiting = (restarts: number) => pod("a", container({ ready: false, state: "waiting", restarts }))
  const starting = pod("b", container({ ready: false }))
  expect(patience.isOver([waiting(3), starting])).toBe(false)
  expect(patience.isOver([waiting(3)])).toBe(false)
  expect(patience.isOver([waiting(3)])).toBe(false)
  expect(patience.isOver([pod("a", container({ ready: false, restarts: 4 }))])).toBe(false)
  expect(patience.isOver([waiting(4)])).toBe(true)
})

test("a pod that failed for good is not waited for", () => {
  expect(new Patience().isOver([pod("a", container({ ready: false }), { phase: "Failed" })])).toBe(true)
  expect(new Patience().isOver([])).toBe(false)
})
