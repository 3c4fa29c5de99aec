// The first page: is the application well, which Deployment is not, who is hurt, and where does it begin?
import { Link } from "@tanstack/react-router"
import { MeshTrends } from "../charts/trends.tsx"
import { byteRate, count, duration, percent, rate, short } from "../mesh/format.ts"
import type { Mesh, Workload } from "../mesh/mesh.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import { type Trouble, troublesOf } from "../mesh/trouble.ts"
import { Commands } from "../parts/commands.tsx"
import { httpColumns, PageHead, Success, Tile } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name, WorkloadLink } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"
import { type NamespaceSum, namespaceSums, sumOf } from "./sums.ts"

/** Most troubles that are shown one by one. */
const SHOWN_TROUBLES = 20

/** The overview. */
export function OverviewPage() {
  const { mesh, error } = useMesh()
  return (
    <>
      {mesh === null && <PageHead title="Overview" />}
      <Shown of={{ data: mesh, error }} what="figures">
        {found => <Overview mesh={found} />}
      </Shown>
    </>
  )
}

function Overview({ mesh }: { readonly mesh: Mesh }) {
  const troubles = troublesOf(mesh)
  if (mesh.workloads.length === 0) {
    return (
      <Empty title="Nothing runs in this mesh yet">
        <p>Put the proxy beside an application that the cluster runs:</p>
        <Commands lines={["kubectl get deploy web -o yaml | conduit inject - | kubectl apply -f -"]} />
      </Empty>
    )
  }
  const all = sumOf(mesh.workloads)
  const entrances = mesh.calls.filter(({ edge }) => edge.http !== undefined || edge.tcp !== undefined)
  const secured = entrances.filter(({ edge }) => edge.secured).length
  const unmeshed = mesh.workloads.filter(({ meshed, total }) => meshed < total)
  return (
    <>
      <Headline mesh={mesh} troubles={troubles} />
      <dl className="tiles six">
        <Tile title="Success" figure={<Success http={all.http} />}>
          {short(all.failuresPerSec)} failures a second
        </Tile>
        <Tile title="Requests" figure={rate(all.http?.rps)}>
          answered by {count(all.serving, "workload")}
        </Tile>
        <Tile title="Slowest p99" figure={duration(all.slowest?.http?.latencyMs?.p99)}>
          {all.slowest === undefined ? "no traffic" : <WorkloadLink workload={all.slowest} full />}
        </Tile>
        <Tile title="TCP connections" figure={String(all.open)}>
          {byteRate(all.bytesPerSec)}
        </Tile>
        <Tile
          title="Secured calls"
          figure={entrances.length === 0 ? "–" : `${secured} of ${entrances.length}`}
        >
          {secured === entrances.length ? (
            "all by mutual TLS"
          ) : (
            <Link to="/topology">who is not, and why</Link>
          )}
        </Tile>
        <Tile title="Meshed pods" figure={`${all.meshed} of ${all.total}`}>
          {unmeshed.length === 0
            ? "every pod has its proxy"
            : `${count(unmeshed.length, "workload")} without`}
        </Tile>
      </dl>
      {troubles.length > 0 && (
        <section>
          <h2>Failing now</h2>
          <ol className="troubles">
            {troubles.slice(0, SHOWN_TROUBLES).map(trouble => (
              <TroubleRow key={trouble.workload.key} trouble={trouble} />
            ))}
          </ol>
          {troubles.length > SHOWN_TROUBLES && (
            <p>
              <Link to="/deployments" search={{ sort: "success" }}>
                {troubles.length - SHOWN_TROUBLES} more
              </Link>
            </p>
          )}
        </section>
      )}
      <section>
        <h2>Namespaces</h2>
        <Table
          caption="Namespaces"
          columns={NAMESPACES}
          rows={namespaceSums(mesh.workloads)}
          rowKey={row => row.name}
        />
      </section>
      <MeshTrends namespaces={mesh.namespaces} />
      {unmeshed.length > 0 && <Unmeshed workloads={unmeshed} />}
      <Commands lines={["conduit stat deploy -A", "conduit edges deploy -A", "conduit check"]} />
    </>
  )
}

function Headline({ mesh, troubles }: { readonly mesh: Mesh; readonly troubles: readonly Trouble[] }) {
  const failing = troubles.filter(({ level }) => level === "failing")
  const [worst] = troubles
  const level =
    failing.length > 0
      ? "failing"
      : worst !== undefined
        ? "degraded"
        : sumOf(mesh.workloads).serving > 0
          ? "well"
          : "idle"
  const words =
    worst === undefined
      ? level === "idle"
        ? "No traffic in this time"
        : "All is well"
      : failing.length > 0
        ? `${count(failing.length, "workload")} failing`
        : `${count(troubles.length, "workload")} degraded`
  return (
    <header className={`headline ${level}`}>
      <LevelMark level={level} word={false} />
      <div>
        <h1>{words}</h1>
        <p>
          {worst === undefined ? (
            `${count(mesh.workloads.length, "workload")} in ${count(mesh.namespaces.length, "namespace")}`
          ) : (
            <>
              {worst.causes.length === 0 ? "It begins at " : "Most failures are at "}
              <WorkloadLink workload={worst.workload} full />
              {worst.hurts.length > 0 && <>, which hurts {count(worst.hurts.length, "caller")}</>}
            </>
          )}
        </p>
      </div>
    </header>
  )
}

function TroubleRow({ trouble }: { readonly trouble: Trouble }) {
  const { workload, level, failuresPerSec, hurts, causes } = trouble
  return (
    <li className={level}>
      <div className="trouble-name">
        <LevelMark level={level} />
        <WorkloadLink workload={workload} full />
      </div>
      <p>
        <strong>{percent(1 - (workload.http?.success ?? 1))}</strong> of {rate(workload.http?.rps)} fail:{" "}
        {short(failuresPerSec)} a second.
      </p>
      <p className="quiet">
        {causes.length === 0 ? (
          "It begins here: none of its own calls fails."
        ) : (
          <>
            Its own calls fail at <WorkloadList workloads={causes} />.
          </>
        )}{" "}
        {hurts.length === 0 ? (
          "No meshed caller sees it."
        ) : (
          <>
            It hurts <WorkloadList workloads={hurts.map(one => one.workload)} />.
          </>
        )}
      </p>
    </li>
  )
}

function WorkloadList({ workloads }: { readonly workloads: readonly Workload[] }) {
  return workloads.map((workload, index) => (
    <span key={workload.key}>
      {index > 0 && ", "}
      <WorkloadLink workload={workload} full />
    </span>
  ))
}

function Unmeshed({ workloads }: { readonly workloads: readonly Workload[] }) {
  return (
    <section>
      <h2>Without proxy</h2>
      <ul className="plain">
        {workloads.map(workload => (
          <li key={workload.key}>
            <WorkloadLink workload={workload} full />: {workload.meshed} of {count(workload.total, "pod")}{" "}
            meshed
          </li>
        ))}
      </ul>
      <p className="quiet">
        Their calls are in plaintext and counted by nobody. conduit inject, or the annotation
        conduit.io/inject: enabled on their namespace and a rollout, adds the proxy.
      </p>
    </section>
  )
}

const NAMESPACES: readonly Column<NamespaceSum>[] = [
  {
    ...{ id: "name", title: "Namespace" },
    cell: row => (
      <Link to="/deployments" search={{ ns: row.name }} className="workload">
        <Name>{row.name}</Name>
      </Link>
    ),
  },
  { ...{ id: "level", title: "State" }, cell: row => <LevelMark level={row.level} /> },
  { ...{ id: "workloads", title: "Workloads", right: true, minor: true }, cell: row => row.workloads },
  {
    ...{ id: "meshed", title: "Meshed", right: true, minor: true },
    cell: row => `${row.meshed}/${row.total}`,
  },
  ...httpColumns<NamespaceSum>(row => row.http).filter(({ id }) => id === "success" || id === "rps"),
  {
    ...{ id: "p99", title: "Slowest p99", right: true },
    cell: row => duration(row.slowest?.http?.latencyMs?.p99),
  },
]
