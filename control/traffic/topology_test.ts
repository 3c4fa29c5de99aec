// Topology: workloads and edges in one answer, of a large mesh the part with the most traffic.
import { expect, test } from "bun:test"
import { create } from "@bufbuild/protobuf"
import { TopologyRequestSchema, telemetryV1 } from "../../protos/mod.ts"
import { ClusterStore, readManifestFile } from "../cluster/mod.ts"
import { localQueries, TelemetryStore } from "../telemetry/mod.ts"
import { MAX_TOPOLOGY_NODES, topology } from "./topology.ts"

const NOW = 1_750_000_060_000
const START = NOW - 60_000

function pod(deployment: string, namespace: string): object {
  const owner = { apiVersion: "apps/v1", kind: "StatefulSet", name: deployment, controller: true }
  return {
    ...{ apiVersion: "v1", kind: "Pod", spec: { containers: [{ name: "app" }] } },
    metadata: { name: `${deployment}-0`, namespace, ownerReferences: [owner] },
    status: { phase: "Running" },
  }
}

/** Requests that a pod was asked, or asked, over the minute. */
function report(
  store: TelemetryStore,
  namespace: string,
  name: string,
  labels: Record<string, string>,
  total: number,
) {
  const stream = store.openStream(
    create(telemetryV1.ReporterSchema, {
      ...{ namespace, pod: `${name}-0`, workloadKind: "statefulset", workload: name },
      startedAtMs: BigInt(START),
    }),
  )
  for (let second = 0; second <= 60; second++) {
    const series = { id: 1, metric: "response_total", labels: { classification: "success", ...labels } }
    const samples = [{ seriesId: 1, value: (total * second) / 60 }]
    stream?.take(
      create(telemetryV1.ReportRequestSchema, { samples, ...(second === 0 ? { series: [series] } : {}) }),
      START + second * 1000,
    )
  }
}

async function graphOf(pods: object[], telemetry: TelemetryStore, namespace = "") {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: pods })
  const store = new ClusterStore()
  store.apply([...readManifestFile("mesh.json", text).objects.values()].map(put => ({ put })))
  store.markSynced()
  const queries = localQueries(telemetry, () => NOW)
  return await topology(store, queries, create(TopologyRequestSchema, { namespace, windowMs: 60_000 }))
}

test("workloads stand with what they were asked, and with those that they talk to in other namespaces", async () => {
  const telemetry = new TelemetryStore(START - 1)
  const called = {
    direction: "outbound",
    dst_namespace: "data",
    dst_service: "db",
    dst_statefulset: "db",
    dst_pod: "db-0",
    tls: "true",
  }
  report(telemetry, "shop", "web", called, 120)
  report(telemetry, "data", "db", { direction: "inbound" }, 120)
  const pods = [pod("web", "shop"), pod("idle", "shop"), pod("db", "data"), pod("lone", "data")]
  const { nodes = [], edges = [] } = await graphOf(pods, telemetry, "shop")
  const seen = nodes.map(({ resource, totalPods, http }) => [
    resource?.name,
    totalPods,
    Number(http?.responses ?? 0),
  ])
  expect(seen).toEqual([
    ["db", 1, 120],
    ["idle", 1, 0],
    ["web", 1, 0],
  ])
  expect(
    edges.map(({ from, to, secured, http }) => [from?.name, to?.name, secured, Number(http?.responses)]),
  ).toEqual([["web", "db", true, 120]])
})

test("of too many workloads those with traffic are kept, and the rest is counted", async () => {
  const telemetry = new TelemetryStore(START - 1)
  report(telemetry, "shop", "zebra", { direction: "inbound" }, 60)
  const names = Array.from({ length: MAX_TOPOLOGY_NODES + 20 }, (_, index) => `w${index}`)
  const { nodes = [], leftOutNodes } = await graphOf(
    [...names, "zebra"].map(name => pod(name, "shop")),
    telemetry,
  )
  expect(nodes).toHaveLength(MAX_TOPOLOGY_NODES)
  expect(leftOutNodes).toBe(21)
  expect(nodes.at(-1)?.resource?.name).toBe("zebra")
})
