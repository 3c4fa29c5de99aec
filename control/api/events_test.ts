// Events: rollouts, policies and routes as they change, the latest first.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { EventKind, EventsRequestSchema } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { EVENTS_KEPT_MS, EventRing, MAX_EVENTS } from "./events.ts"

const START = 1_750_000_000_000

function objects(...all: object[]) {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: all })
  const read = readManifestFile("shop.json", text)
  expect(read.problems).toEqual([])
  return [...read.objects.values()]
}

function pod(name: string, hash: string): object {
  const owner = { apiVersion: "apps/v1", kind: "ReplicaSet", name: `web-${hash}`, controller: true }
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      ...{ name, namespace: "shop", ownerReferences: [owner] },
      labels: { app: "web", "pod-template-hash": hash },
    },
    spec: { containers: [{ name: "app" }] },
  }
}

function replicaSet(hash: string): object {
  const owner = { apiVersion: "apps/v1", kind: "Deployment", name: "web", controller: true }
  return {
    ...{ apiVersion: "apps/v1", kind: "ReplicaSet", spec: { template: {} } },
    metadata: { name: `web-${hash}`, namespace: "shop", ownerReferences: [owner] },
  }
}

function policy(action: string): object {
  return {
    ...{ apiVersion: "policy.conduit.io/v1alpha1", kind: "AuthorizationPolicy" },
    metadata: { name: "clients", namespace: "shop" },
    spec: { target: { kind: "Namespace" }, action, rules: [{ from: [{ namespaces: ["shop"] }] }] },
  }
}

const ROUTE = {
  ...{
    apiVersion: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    metadata: { name: "split", namespace: "shop" },
  },
  spec: {
    parentRefs: [{ group: "", kind: "Service", name: "web" }],
    rules: [{ backendRefs: [{ name: "web", port: 80 }] }],
  },
}

function watched() {
  const clock = { nowMs: START }
  const store = new ClusterStore()
  const ring = new EventRing(store, () => clock.nowMs)
  const put = (...all: object[]): void => {
    clock.nowMs += 1000
    store.apply(objects(...all).map(object => ({ put: object })))
  }
  put({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "web", namespace: "shop" },
    spec: { template: {} },
  })
  put(replicaSet("a"), pod("web-1", "a"), policy("Audit"))
  store.markSynced()
  const seen = (request: { namespace?: string; windowMs?: number } = {}) => {
    const { events = [] } = ring.since(create(EventsRequestSchema, request), clock.nowMs)
    return events.map(({ kind, resource, what }) => `${kind} ${resource?.kind}/${resource?.name} ${what}`)
  }
  return { clock, store, ring, put, seen }
}

test("what was there at the start is no event; pods of a new template, policies and routes are", () => {
  const { put, seen, store } = watched()
  expect(seen()).toEqual([])
  put(replicaSet("b"), pod("web-2", "b"))
  put(pod("web-3", "b"), pod("web-4", "a"))
  put(policy("Deny"))
  put(ROUTE)
  store.apply([{ remove: "httproute/shop/split" }, { remove: "authorizationpolicy/shop/clients" }])
  expect(seen()).toEqual([
    `${EventKind.ROUTE} httproute/split deleted`,
    `${EventKind.POLICY} authorizationpolicy/clients deleted`,
    `${EventKind.ROUTE} httproute/split created`,
    `${EventKind.POLICY} authorizationpolicy/clients changed`,
    `${EventKind.ROLLOUT} deployment/web rollout of revision b`,
  ])
  expect(seen({ namespace: "other" })).toEqual([])
})

test("a window shows what is in it, an hour is kept, and of very many the latest", () => {
  const { put, seen, clock, ring } = watched()
  put(policy("Deny"))
  clock.nowMs += 60_000
  expect(seen({ windowMs: 30_000 })).toEqual([])
  expect(seen({ windowMs: 90_000 })).toHaveLength(1)
  for (let index = 0; index < MAX_EVENTS + 10; index++) put(policy(index % 2 === 0 ? "Audit" : "Deny"))
  expect(seen().length).toBeLessThanOrEqual(MAX_EVENTS)
  clock.nowMs += EVENTS_KEPT_MS + 1
  expect(seen()).toEqual([])
  expect(() => seen({ windowMs: EVENTS_KEPT_MS + 1 })).toThrow("window_ms must be 3600000 at most")
  ring.stop()
})
