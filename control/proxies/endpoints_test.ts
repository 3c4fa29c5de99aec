// Endpoints of a Service as people see them.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { EndpointsRequestSchema } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { endpoints } from "./endpoints.ts"

function pod(name: string, podIP: string, meshed: boolean): object {
  const mark = meshed ? { "conduit.io/control-plane-ns": "conduit" } : {}
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "shop", labels: { app: "web", ...mark } },
    spec: {
      serviceAccountName: "web",
      containers: [{ name: "app" }, ...(meshed ? [{ name: "conduit-proxy" }] : [])],
    },
    status: { podIP, phase: "Running", conditions: [{ type: "Ready", status: "True" }] },
  }
}

test("an endpoint bears the name that its proxy proves; without a proxy, or without identity, none", () => {
  const service = {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name: "web", namespace: "shop" },
    spec: { clusterIP: "10.96.0.9", selector: { app: "web" }, ports: [{ port: 80 }] },
  }
  const items = [service, pod("a", "10.0.0.1", true), pod("b", "10.0.0.2", false)]
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items })
  const store = new ClusterStore()
  store.apply([...readManifestFile("shop.json", text).objects.values()].map(put => ({ put })))
  const request = create(EndpointsRequestSchema, { namespace: "shop" })
  const identities = (answer: ReturnType<typeof endpoints>) =>
    answer.services?.[0]?.endpoints?.map(({ identity = "" }) => identity)
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  expect(identities(endpoints(store, request, names))).toEqual([
    "web.shop.serviceaccount.identity.conduit.cluster.local",
    "",
  ])
  expect(identities(endpoints(store, request))).toEqual(["", ""])
})
