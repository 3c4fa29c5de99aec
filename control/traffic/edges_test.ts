// Edges as the callers' proxies counted them: one row for who calls whom, secured and not apart.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { EdgesRequestSchema, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { edges } from "./edges.ts"

const NOW = 1_750_000_060_000
const START = NOW - 60_000

type Labels = Readonly<Record<string, string>>

const objectsOf = (deployment: string) => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: ${deployment}, namespace: shop }
spec: { template: {} }
---
apiVersion: v1
kind: Service
metadata: { name: ${deployment}, namespace: shop }
spec: { ports: [{ port: 80 }] }
`

function shop(): ClusterStore {
  const { objects, problems } = readManifestFile(
    "shop.yaml",
    [objectsOf("web"), objectsOf("cart")].join("---"),
  )
  expect(problems).toEqual([])
  const store = new ClusterStore()
  store.apply([...objects.values()].map(put => ({ put })))
  store.markSynced()
  return store
}

function identityOf(account: string): string {
  return `${account}.shop.serviceaccount.identity.conduit.cluster.local`
}

const id = { client_id: identityOf("web"), server_id: identityOf("cart") }
const SECURED = { dst_deployment: "cart", dst_pod: "cart-1", tls: "true", ...id }
const NO_ENDPOINT = { tls: "no_identity", classification: "failure" }
const PLAIN = { dst_deployment: "cart", dst_pod: "cart-2", tls: "no_identity" }

async function toldOf(kind: string, responses: readonly (readonly [Labels, number])[], store = shop()) {
  const telemetry = new TelemetryStore(START - 1)
  const stream = telemetry.openStream(
    create(telemetryV1.ReporterSchema, {
      namespace: "shop",
      pod: "web-1",
      workloadKind: "deployment",
      workload: "web",
      startedAtMs: BigInt(START),
    }),
  )
  if (stream === null) throw new Error("no room")
  const shared = { direction: "outbound", dst_namespace: "shop", dst_service: "cart" }
  const series = responses.map(([labels], index) => ({
    id: index + 1,
    metric: "response_total",
    labels: { ...shared, classification: "success", ...labels },
  }))
  for (let second = 0; second <= 60; second++) {
    const samples = responses.map(([, total], index) => ({
      seriesId: index + 1,
      value: (total * second) / 60,
    }))
    const report = { samples, ...(second === 0 ? { series } : {}) }
    stream.take(create(telemetryV1.ReportRequestSchema, report), START + second * 1000)
  }
  const request = create(EdgesRequestSchema, {
    target: { kind, namespace: "shop", name: "", labelSelector: "" },
    windowMs: 60_000,
  })
  const { edges: rows = [] } = await edges(
    store,
    localQueries(telemetry, () => NOW),
    request,
  )
  return rows
}

async function edgesOf(kind: string, responses: readonly (readonly [Labels, number])[]) {
  return (await toldOf(kind, responses)).map(({ from, to, secured, reason, http }) => ({
    pair: `${from?.name} ${to?.kind}/${to?.name}`,
    secured,
    reason,
    responses: Number(http?.responses),
    success: http?.success,
  }))
}

test.each([
  ["deployment", "web deployment/cart"],
  ["service", "web service/cart"],
])("requests that got no endpoint fail on the row of those that did, seen by %s", async (kind, pair) => {
  const rows = await edgesOf(kind, [
    [NO_ENDPOINT, 60],
    [SECURED, 180],
  ])
  expect(rows).toEqual([{ pair, secured: true, reason: "", responses: 240, success: 0.75 }])
})

test("where none got one, the Service is what was called, and that is the reason", async () => {
  expect(await edgesOf("deployment", [[NO_ENDPOINT, 60]])).toEqual([
    {
      pair: "web service/cart",
      secured: false,
      reason: "no request reached a pod of the Service",
      responses: 60,
      success: 0,
    },
  ])
})

test("what is secured and what is not stay apart, whatever else fails", async () => {
  const rows = await edgesOf("deployment", [
    [NO_ENDPOINT, 60],
    [SECURED, 60],
    [{ ...PLAIN, ...id }, 60],
  ])
  expect(rows.map(({ secured, responses }) => [secured, responses])).toEqual([
    [true, 120],
    [false, 60],
  ])
})

test("an endpoint that is no pod and answers is never shown as secured", async () => {
  const rows = await edgesOf("service", [
    [{ tls: "no_identity" }, 60],
    [SECURED, 60],
  ])
  expect(rows.map(({ secured, reason }) => [secured, reason])).toEqual([
    [true, ""],
    [false, "the called side is outside of the mesh"],
  ])
})

test("several reasons of one pair are one row", async () => {
  const rows = await edgesOf("deployment", [
    [PLAIN, 60],
    [{ ...PLAIN, tls: "disabled" }, 60],
  ])
  expect(rows).toMatchObject([{ secured: false, responses: 120 }])
  expect(rows[0]?.reason?.split("; ")).toHaveLength(2)
})

test("what is called outside of the cluster is an end by its host, and what nobody names one for all", async () => {
  const outside = { dst_namespace: "", dst_service: "", tls: "no_identity" }
  const rows = await edgesOf("deployment", [
    [{ ...outside, authority: "api.example:8080" }, 60],
    [outside, 60],
    // Refused by the caller's own proxy.
    [{ ...outside, authority: "denied.example", tls: "", classification: "failure" }, 60],
  ])
  expect(rows.map(({ pair, secured, reason }) => [pair, secured, reason])).toEqual([
    ["web external/api.example:8080", false, "the called side is outside of the mesh"],
    ["web external/denied.example", false, "no request got further than the caller's proxy"],
    ["web external/unnamed", false, "the called side is outside of the mesh"],
  ])
})

test("a caller's identity is that of its service account, also of pods that have gone, and of none in plaintext", async () => {
  const { client_id: _, ...secured } = SECURED
  const pod = `
apiVersion: v1
kind: Pod
metadata:
  name: web-2
  namespace: shop
  ownerReferences: [{ apiVersion: apps/v1, kind: Deployment, name: web, controller: true }]
spec: { serviceAccountName: front, containers: [{ name: app }] }
`
  const store = shop()
  store.apply([...readManifestFile("pod.yaml", pod).objects.values()].map(put => ({ put })))
  const rows = await toldOf(
    "deployment",
    [
      [secured, 60],
      [PLAIN, 60],
    ],
    store,
  )
  expect(rows.map(({ secured: is, clientId }) => [is, clientId])).toEqual([
    [true, identityOf("front")],
    [false, ""],
  ])
})
