// Routes as watchers meet them: consumer routes reach their own namespace only, endpoints of backends come as deltas, and
// whatever changes what a route refers to reaches those who watch.
import { expect, test } from "bun:test"
import { fromBinary } from "@bufbuild/protobuf"
import { destinationV1 } from "../../protos/mod.ts"
import { ClusterStore, objectKey, readManifestFile } from "../cluster/mod.ts"
import { Topics } from "./topic.ts"

const service = (name: string, namespace: string, ip: string) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace },
  spec: { clusterIP: ip, selector: { app: name }, ports: [{ port: 80, targetPort: 8080 }] },
})
const pod = (name: string, app: string, ip: string) => ({
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name, namespace: "shop", labels: { app } },
  spec: { containers: [] },
  status: { podIP: ip, podIPs: [{ ip }], phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
})
const route = (name: string, namespace: string, backend: string) => ({
  apiVersion: "gateway.networking.k8s.io/v1",
  kind: "HTTPRoute",
  metadata: { name, namespace },
  spec: {
    parentRefs: [{ kind: "Service", group: "", name: "web", namespace: "shop" }],
    rules: [{ backendRefs: [{ name: backend, namespace: "shop", port: 80 }] }],
  },
})

class Bench {
  readonly store = new ClusterStore()
  readonly topics = new Topics(this.store, {
    names: { trustDomain: "cluster.local", controlNamespace: "conduit" },
  })

  put(...objects: object[]): void {
    const { objects: read, problems } = readManifestFile(
      "x.json",
      JSON.stringify({ kind: "List", items: objects }),
    )
    expect(problems).toEqual([])
    this.store.apply([...read.values()].map(object => ({ put: object })))
    this.topics.flush()
  }

  remove(kind: string, namespace: string, name: string): void {
    this.store.apply([{ remove: objectKey({ kind, namespace, name }) }])
    this.topics.flush()
  }

  watch(namespace: string) {
    const bodies: Uint8Array[] = []
    this.topics.watch({ kind: "outbound", ip: "10.96.0.1", port: 80 }, "", {
      namespace,
      update: body => bodies.push(body),
    })
    const updates = () => bodies.map(body => fromBinary(destinationV1.WatchResponseSchema, body).update)
    return { bodies, updates, last: () => updates().at(-1) }
  }
}

function bench(): Bench {
  const made = new Bench()
  made.put(
    service("web", "shop", "10.96.0.1"),
    service("v2", "shop", "10.96.0.2"),
    pod("a", "v2", "10.1.0.1"),
  )
  return made
}

function whole(update: destinationV1.WatchResponse["update"] | undefined): destinationV1.Service {
  if (update?.case !== "destination" || update.value.kind.case !== "service")
    throw new Error(`no state: ${update?.case}`)
  return update.value.kind.value
}

const rulesOf = (update: destinationV1.WatchResponse["update"] | undefined) =>
  whole(update).routes.map(({ name }) => name)

test("a consumer's route reaches clients of its namespace, the producer's all others", () => {
  const { put, remove, watch } = bound(bench())
  const shop = watch("shop")
  const far = watch("far")
  put(route("producer", "shop", "v2"))
  put(route("consumer", "far", "web"))
  expect(rulesOf(shop.last())).toEqual(["producer/0"])
  expect(rulesOf(far.last())).toEqual(["consumer/0"])
  expect(shop.bodies.length).toBe(2)
  remove("httproute", "far", "consumer")
  expect(rulesOf(far.last())).toEqual(["producer/0"])
  expect(whole(far.last()).backends.map(({ name, endpoints }) => [name, endpoints.length])).toEqual([
    ["v2", 1],
  ])
})

test("clients of all namespaces without routes of their own share one encoding", () => {
  const made = bench()
  const watchers = ["shop", "a", "b", "c"].map(namespace => made.watch(namespace))
  made.put(route("producer", "shop", "v2"))
  made.put(pod("b", "v2", "10.1.0.2"))
  const last = watchers.map(({ bodies }) => bodies.at(-1))
  expect(new Set(last).size).toBe(1)
})

test("endpoints of a backend come as a delta of that backend", () => {
  const made = bench()
  made.put(route("producer", "shop", "v2"))
  const shop = made.watch("shop")
  made.put(pod("b", "v2", "10.1.0.2"))
  const added = shop.last()
  if (added?.case !== "endpoints") throw new Error(`no delta: ${added?.case}`)
  expect(added.value.added).toEqual([])
  expect(
    added.value.backends.map(({ backend, added: list }) => [backend, list.map(({ pod: name }) => name)]),
  ).toEqual([[1, ["b"]]])
  made.remove("pod", "shop", "a")
  const removed = shop.last()
  if (removed?.case !== "endpoints") throw new Error(`no delta: ${removed?.case}`)
  expect(removed.value.backends[0]?.removed.map(({ ip, port }) => `${ip.join(".")}:${port}`)).toEqual([
    "10.1.0.1:8080",
  ])
})

test("endpoints of a backend bear the identity of their pods, and a pod that joins the mesh comes as a delta", () => {
  const made = bench()
  made.put(route("producer", "shop", "v2"))
  const shop = made.watch("shop")
  const identities = () => whole(shop.last()).backends[0]?.endpoints.map(({ identity }) => identity)
  expect(identities()).toEqual([""])
  const plain = pod("a", "v2", "10.1.0.1")
  const spec = { serviceAccountName: "seller", containers: [{ name: "conduit-proxy" }] }
  const labels = { ...plain.metadata.labels, "conduit.io/control-plane-ns": "conduit" }
  made.put({ ...plain, metadata: { ...plain.metadata, labels }, spec })
  const joined = shop.last()
  if (joined?.case !== "endpoints") throw new Error(`no delta: ${joined?.case}`)
  const identity = "seller.shop.serviceaccount.identity.conduit.cluster.local"
  expect(joined.value.backends[0]?.added.map(endpoint => endpoint.identity)).toEqual([identity])
  expect(whole(made.watch("shop").last()).backends[0]?.endpoints[0]?.identity).toBe(identity)
})

test("a backend that appears, and one that goes, reaches those who watch", () => {
  const made = bench()
  made.put(route("producer", "shop", "v3"))
  const shop = made.watch("shop")
  expect(whole(shop.last()).routes[0]?.backends[0]?.fault).toContain('there is no Service "v3"')
  made.put(service("v3", "shop", "10.96.0.3"))
  expect(whole(shop.last()).routes[0]?.backends[0]).toMatchObject({ backend: 1, fault: "" })
  made.remove("service", "shop", "v3")
  expect(whole(shop.last()).routes[0]?.backends[0]?.fault).toContain('there is no Service "v3"')
})

test("a Service's annotations come with it, and with rules that are silent", () => {
  const made = bench()
  const annotated = {
    ...service("web", "shop", "10.96.0.1"),
    metadata: {
      name: "web",
      namespace: "shop",
      annotations: { "retry.conduit.io/http": "503", "timeout.conduit.io/request": "2s" },
    },
  }
  made.put(annotated)
  const shop = made.watch("shop")
  expect(whole(shop.last())).toMatchObject({
    retry: { codes: [503], attempts: 1 },
    timeouts: { requestMs: 2000 },
  })
  made.put(route("producer", "shop", "v2"))
  expect(whole(shop.last()).routes[0]).toMatchObject({
    retry: { codes: [503] },
    timeouts: { requestMs: 2000 },
  })
})

function bound(made: Bench) {
  return { put: made.put.bind(made), remove: made.remove.bind(made), watch: made.watch.bind(made) }
}
