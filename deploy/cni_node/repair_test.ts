// Which pods are repaired, by what the API says of them.
import { expect, test } from "bun:test"
import type { Pod } from "../cni/mod.ts"
import { inject } from "../inject/mod.ts"
import { repairOf } from "./repair.ts"

const INSTALLED_MS = Date.parse("2026-01-02T03:04:05.500Z")
const BEFORE = "2026-01-02T03:04:05Z"
const AFTER = "2026-01-02T03:04:08Z"

function pod(status: Record<string, unknown>, spec: Record<string, unknown> = {}, cni = true): Pod {
  const { template } = inject(
    { metadata: {}, spec: { containers: [{ name: "web" }] } },
    {
      namespace: "shop",
      workload: { kind: "Deployment", name: "web" },
      byDefault: "enabled",
      conduitNamespace: "conduit",
      version: "1",
      nativeSidecar: true,
      cni,
      settings: { "skip-outbound-ports": "3306" },
    },
  )
  return {
    metadata: { ...template.metadata, namespace: "shop", name: "web-1", uid: "u" },
    spec: { ...template.spec, ...spec },
    status: { phase: "Pending", startTime: BEFORE, podIPs: [{ ip: "10.1.0.5" }], ...status },
  }
}

function validate(state: object, more: object = {}): Record<string, unknown> {
  return { initContainerStatuses: [{ name: "conduit-validate", restartCount: 0, state, ...more }] }
}

const RUNNING = validate({ running: {} })
const FAILED = validate({ terminated: { exitCode: 1 } })
const AGAIN = validate({ running: {} }, { restartCount: 1, lastState: { terminated: { exitCode: 1 } } })

test("a pod that started before the plugin is repaired while it waits, as its conduit-validate says", () => {
  expect(repairOf(pod(RUNNING), INSTALLED_MS)).toEqual({
    key: "u 0 ",
    pod: "shop/web-1",
    addresses: ["10.1.0.5"],
    args: ["--inbound-port=4143", "--outbound-port=4140", "--proxy-uid=2102", "--skip-outbound-ports=3306"],
  })
})

test.each<[string, Pod, boolean]>([
  ["started before, and its proof failed", pod(FAILED), true],
  ["started after, and its proof failed", pod({ ...FAILED, startTime: AFTER }), true],
  ["started after, and its proof failed the last time", pod({ ...AGAIN, startTime: AFTER }), true],
  ["started after, and its proof runs", pod({ ...RUNNING, startTime: AFTER }), false],
  ["saw its redirect", pod(validate({ terminated: { exitCode: 0 } })), false],
  ["has no address yet", pod({ ...RUNNING, podIPs: [] }), false],
  ["has an address that is none", pod({ ...RUNNING, podIPs: [{ ip: "--x" }] }), false],
  ["has ended", pod({ ...FAILED, phase: "Failed" }), false],
  ["is on the node's own network", pod(RUNNING, { hostNetwork: true }), false],
  ["has conduit-init", pod(RUNNING, {}, false), false],
  ["has not begun", pod({}), false],
  [
    "has settings that cannot be used",
    pod(RUNNING, { initContainers: [{ name: "conduit-validate", args: ["-x"] }, { name: "conduit-proxy" }] }),
    false,
  ],
])("a pod that %s: %#", (_, given, repaired) => {
  expect(repairOf(given, INSTALLED_MS) !== null).toBe(repaired)
})

test("each failed attempt of a pod is a reason of its own", () => {
  const keys = [RUNNING, FAILED, AGAIN].map(status => repairOf(pod(status), INSTALLED_MS)?.key)
  expect(new Set(keys).size).toBe(3)
})
