// Protocol hints: what appProtocol and opaque-ports say, and when they say nothing.
import { expect, test } from "bun:test"
import { destinationV1 } from "../../protos/mod.ts"
import { ClusterStore } from "../cluster/mod.ts"
import { readObject } from "../cluster/read_object.ts"
import { resolveInbound, resolveOutbound } from "./resolve.ts"

const { UNSPECIFIED, HTTP1, HTTP2, TCP, TLS } = destinationV1.Protocol
const OPAQUE = "config.conduit.io/opaque-ports"

function storeOf(...objects: unknown[]): ClusterStore {
  const store = new ClusterStore()
  store.apply(
    objects.flatMap(raw => {
      const { object } = readObject(raw)
      return object === null ? [] : [{ put: object }]
    }),
  )
  return store
}

function namespace(opaque: string): unknown {
  return {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: "default", annotations: { [OPAQUE]: opaque } },
  }
}

function service(name: string, ip: string, appProtocol: string, annotations = {}): unknown {
  const ports = [{ port: 80, targetPort: 8080, ...(appProtocol === "" ? {} : { appProtocol }) }]
  const spec = { clusterIP: ip, selector: { app: "web" }, ports }
  return { apiVersion: "v1", kind: "Service", metadata: { name, annotations }, spec }
}

function pod(annotations = {}): unknown {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", labels: { app: "web" }, annotations },
    spec: { containers: [] },
    status: { podIP: "10.0.0.1", conditions: [{ type: "Ready", status: "True" }] },
  }
}

/** Hints of the service, of its endpoint, of the pod's own address, and of the pod's inbound port. */
function hints(store: ClusterStore) {
  const viaService = resolveOutbound(store, "10.96.0.1", 80, "")
  const direct = resolveOutbound(store, "10.0.0.1", 8080, "")
  return [
    viaService.kind === "service" ? viaService.service.protocol : null,
    viaService.kind === "service" ? viaService.endpoints[0]?.protocol : null,
    direct.kind === "endpoint" ? direct.endpoint.protocol : null,
    resolveInbound(store, "default", "web-1", 8080).protocol ?? UNSPECIFIED,
  ]
}

test.each([
  ["http", HTTP1],
  ["HTTP", HTTP1],
  ["kubernetes.io/ws", HTTP1],
  ["kubernetes.io/h2c", HTTP2],
  ["grpc", HTTP2],
  ["https", TLS],
  ["mysql", TCP],
  ["redis", TCP],
  ["example.com/own", UNSPECIFIED],
  ["", UNSPECIFIED],
])("appProtocol %p hints %p to callers and to the pod's own port", (appProtocol, hint) => {
  const store = storeOf(service("web", "10.96.0.1", appProtocol), pod())
  expect(hints(store)).toEqual([hint, UNSPECIFIED, hint, hint])
})

test("opaque-ports of a Service name its own ports and beat appProtocol", () => {
  const store = storeOf(service("web", "10.96.0.1", "http", { [OPAQUE]: "80" }), pod())
  expect(hints(store)).toEqual([TCP, UNSPECIFIED, TCP, TCP])
})

test("opaque-ports of a pod name the pod's ports", () => {
  const store = storeOf(service("web", "10.96.0.1", "http"), pod({ [OPAQUE]: "8080" }))
  expect(hints(store)).toEqual([HTTP1, TCP, TCP, TCP])
})

test("opaque-ports of a namespace hold where an object has none of its own", () => {
  const store = storeOf(namespace("80,8080"), service("web", "10.96.0.1", "http", { [OPAQUE]: "" }), pod())
  expect(hints(store)).toEqual([HTTP1, TCP, TCP, TCP])
})

test("Services that disagree about a pod's port leave it to detection", () => {
  const store = storeOf(service("web", "10.96.0.1", "http"), service("raw", "10.96.0.2", "tcp"), pod())
  expect(hints(store)).toEqual([HTTP1, UNSPECIFIED, UNSPECIFIED, UNSPECIFIED])
})

test("a pod that is not known yet has no hint", () => {
  expect(resolveInbound(new ClusterStore(), "default", "web-1", 8080)).toEqual({})
})

test("behind a port that bypasses its proxy a pod proves no identity", () => {
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  const meshed = (skipped: object) => ({
    ...(pod(skipped) as object),
    metadata: {
      name: "web-1",
      labels: { app: "web", "conduit.io/control-plane-ns": "conduit" },
      annotations: skipped,
    },
    spec: { containers: [{ name: "conduit-proxy" }] },
  })
  const identity = (skipped: object) => {
    const found = resolveOutbound(
      storeOf(service("web", "10.96.0.1", ""), meshed(skipped)),
      "10.96.0.1",
      80,
      "",
      {
        names,
      },
    )
    return found.kind === "service" ? found.endpoints[0]?.identity : null
  }
  expect(identity({})).toBe("default.default.serviceaccount.identity.conduit.cluster.local")
  expect(identity({ "config.conduit.io/skip-inbound-ports": "8000-8100" })).toBe("")
})

test("what the init container was told of bypassing ports counts before the annotation", () => {
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  const told = {
    ...(pod() as object),
    metadata: {
      name: "web-1",
      labels: { app: "web", "conduit.io/control-plane-ns": "conduit" },
      annotations: { "config.conduit.io/skip-inbound-ports": "8080" },
    },
    spec: {
      containers: [{ name: "conduit-proxy" }],
      initContainers: [{ name: "conduit-init", args: ["--inbound-port=4143", "--skip-inbound-ports=9000"] }],
    },
  }
  const found = resolveOutbound(storeOf(service("web", "10.96.0.1", ""), told), "10.96.0.1", 80, "", {
    names,
  })
  expect(found.kind === "service" ? found.endpoints[0]?.identity : null).not.toBe("")
  expect(storeOf(told).pod("default", "web-1")?.skipInboundPorts).toEqual([{ first: 9000, last: 9000 }])
})
