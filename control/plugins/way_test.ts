import { expect, test } from "bun:test"
import type { Plugin } from "../../deploy/plugin_object/mod.ts"
import { ClusterStore, readObject } from "../cluster/mod.ts"
import type { MeshTransport } from "../tls/mod.ts"
import { pluginWays } from "./way.ts"

function storeOf(clusterIP: string, ...podIPs: string[]): ClusterStore {
  const store = new ClusterStore()
  const labels = { app: "hours", "conduit.io/control-plane-ns": "conduit" }
  const metadata = { name: "hours", namespace: "plugins" }
  const objects = [
    {
      ...{ apiVersion: "v1", kind: "Service", metadata },
      spec: { clusterIP, selector: { app: "hours" }, ports: [{ port: 80, targetPort: 9090 }] },
    },
    {
      ...{ apiVersion: "v1", kind: "Pod", metadata: { ...metadata, labels } },
      spec: { containers: [{ name: "conduit-proxy" }] },
      status: {
        ...{ phase: "Running", podIPs: podIPs.map(ip => ({ ip })), podIP: podIPs[0] },
        conditions: [{ type: "Ready", status: "True" }],
      },
    },
  ]
  for (const object of objects) {
    const { object: put } = readObject(object)
    if (put !== null) store.apply([{ put }])
  }
  return store
}

const PLUGIN = {
  address: { kind: "service", namespace: "plugins", name: "hours", port: 80 },
  tls: null,
} as unknown as Plugin

/** Where a plugin of a meshed pod is called. */
function called(store: ClusterStore, random: number): string {
  let found = ""
  const meshed = (_pod: unknown, address: string): MeshTransport => {
    found = address
    return () => ({}) as ReturnType<MeshTransport>
  }
  pluginWays(store, meshed, () => random)(PLUGIN)
  return found
}

test.each([
  ["10.96.0.9", "10.0.0.1:9090"],
  ["fd00::9", "[fd00:1::1]:9090"],
])("a pod of two families is called by that of the plugin's Service, %s", (clusterIP, address) => {
  const store = storeOf(clusterIP, "10.0.0.1", "fd00:1::1")
  expect([0, 0.5, 0.99].map(random => called(store, random))).toEqual([address, address, address])
})

test("a headless Service is called by the first family that its pods have", () => {
  expect(called(storeOf("None", "10.0.0.1", "fd00:1::1"), 0.9)).toBe("10.0.0.1:9090")
  expect(called(storeOf("None", "fd00:1::1"), 0.9)).toBe("[fd00:1::1]:9090")
})

test.each([
  [() => new ClusterStore(), 'there is no Service "hours" in namespace "plugins"'],
  [() => storeOf("10.96.0.9"), 'Service "plugins/hours" has no endpoint that is ready'],
])("where there is no way a sentence says why", (store, message) => {
  expect(() => called(store(), 0)).toThrow(message)
})
