// All workloads with their golden signals.
import { useQuery } from "@connectrpc/connect-query"
import { useEffect } from "react"
import { ApiService } from "../../../../protos/mod.ts"
import { byteRate, short } from "../mesh/format.ts"
import { HISTORY_POINTS, history, POINT_MS } from "../mesh/history.ts"
import { usePlace } from "../mesh/live.ts"
import type { Mesh, Workload } from "../mesh/mesh.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import { levelOf } from "../mesh/trouble.ts"
import { Commands, shellWord } from "../parts/commands.tsx"
import { httpColumns, PageHead } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name, WorkloadLink } from "../parts/name.tsx"
import { Spark } from "../parts/spark.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Filters, NothingFits, Table, useFilter } from "../parts/table.tsx"

const ORDER = ["failing", "degraded", "well", "idle"]

const COLUMNS: readonly Column<Workload>[] = [
  { ...{ id: "name", title: "Name" }, cell: row => <WorkloadLink workload={row} />, by: row => row.name },
  {
    ...{ id: "namespace", title: "Namespace", minor: true },
    cell: row => <Name>{row.namespace}</Name>,
    by: row => row.namespace,
  },
  {
    ...{ id: "state", title: "State" },
    cell: row => <LevelMark level={levelOf(row.http)} />,
    by: row => ORDER.indexOf(levelOf(row.http)),
  },
  {
    ...{ id: "meshed", title: "Meshed", right: true, minor: "wide" },
    cell: row => `${row.meshed}/${row.total}`,
    by: row => row.meshed - row.total,
  },
  ...httpColumns<Workload>(row => row.http).map(
    (column): Column<Workload> => (column.id === "p95" ? { ...column, minor: "wide" } : column),
  ),
  { ...{ id: "spark", title: "Last 5 min", minor: "mid" }, cell: row => <Spark of={row.key} /> },
  {
    ...{ id: "tcp", title: "TCP", right: true, minor: "wide" },
    cell: row => (row.tcp === undefined ? "–" : short(Number(row.tcp.open))),
    by: row => (row.tcp === undefined ? undefined : Number(row.tcp.open)),
  },
  {
    ...{ id: "bytes", title: "Traffic", right: true, minor: "wide" },
    cell: row => byteRate(bytesOf(row)),
    by: bytesOf,
  },
]

function bytesOf({ tcp }: Workload): number | undefined {
  return tcp === undefined ? undefined : tcp.readBytesPerSec + tcp.writeBytesPerSec
}

/** The table of workloads. */
export function DeploymentsPage() {
  const { mesh, error } = useMesh()
  return (
    <>
      <PageHead title="Deployments">What each answered, as its own proxies counted it.</PageHead>
      <Shown of={{ data: mesh, error }} what="Deployments">
        {found => <Deployments mesh={found} />}
      </Shown>
    </>
  )
}

/** Asks once for what sparklines begin with. */
function usePast(): void {
  const { data } = useQuery(
    ApiService.method.timeSeries,
    { target: { kind: "deployment" }, rangeMs: HISTORY_POINTS * POINT_MS, stepMs: POINT_MS },
    { staleTime: Number.POSITIVE_INFINITY },
  )
  useEffect(() => {
    if (data !== undefined) history.begin(data)
  }, [data])
}

function Deployments({ mesh }: { readonly mesh: Mesh }) {
  usePast()
  const fits = useFilter()
  const { ns = "" } = usePlace()
  if (mesh.workloads.length === 0)
    return (
      <Empty title="No Deployments yet">
        <p>What the cluster runs is shown here as soon as it is there.</p>
      </Empty>
    )
  const rows = mesh.workloads.filter(({ namespace, name, kind }) => fits(namespace, `${name} ${kind}`))
  return (
    <>
      <Filters namespaces={mesh.namespaces} what="Deployments" />
      <Table
        caption="Deployments"
        columns={COLUMNS}
        rows={rows}
        rowKey={row => row.key}
        sortedBy="name"
        sortable
        empty={<NothingFits />}
      />
      <Commands
        lines={[
          `conduit stat deploy ${ns === "" ? "-A" : `-n ${shellWord(ns)}`} -o wide`,
          `kubectl get deploy ${ns === "" ? "-A" : `-n ${shellWord(ns)}`}`,
        ]}
      />
    </>
  )
}
