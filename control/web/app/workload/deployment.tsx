// One Deployment: how it is, who calls it and whom it calls, its routes, pods, connections, policies and identity.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData, useQuery as useAnswer } from "@tanstack/react-query"
import { Link, useParams } from "@tanstack/react-router"
import { ApiService, type IdentitiesResponse, type RouteRow, type StatRow } from "../../../../protos/mod.ts"
import { WorkloadTrends } from "../charts/trends.tsx"
import { api, collected } from "../mesh/calls.ts"
import { byteRate, count, duration, rate, short } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import type { Call, Mesh, Workload } from "../mesh/mesh.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import { failures, levelOf, troublesOf } from "../mesh/trouble.ts"
import { CertificateMark, endsIn } from "../pages/certificate_mark.tsx"
import { Commands, shellWord } from "../parts/commands.tsx"
import { httpColumns, PageHead, Success, Tile } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { EndName, Name, WorkloadLink } from "../parts/name.tsx"
import { Secured } from "../parts/secured.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"
import { PolicySummary } from "../policies/policy_summary.tsx"
import { Icon } from "../shell/icons.tsx"
import { LatencySplit } from "./latency_split.tsx"

/** The page of one workload. */
export function DeploymentPage() {
  const { namespace = "", kind = "", name = "" } = useParams({ strict: false })
  const { mesh, error } = useMesh()
  return (
    <>
      {mesh === null && <PageHead title={<Name>{name}</Name>} />}
      <Shown of={{ data: mesh, error }} what="figures">
        {found => {
          const workload = found.byKey.get(`${namespace}/${kind}/${name}`)
          return workload === undefined ? (
            <Empty title="It is not there">
              <p>
                No {kind} <Name>{name}</Name> runs in namespace <Name>{namespace}</Name> now. It may have been
                deleted or renamed.
              </p>
            </Empty>
          ) : (
            <Deployment mesh={found} workload={workload} key={workload.key} />
          )
        }}
      </Shown>
    </>
  )
}

function Deployment({ mesh, workload }: { readonly mesh: Mesh; readonly workload: Workload }) {
  const { key, namespace, kind, name, http, tcp, meshed, total } = workload
  const trouble = troublesOf(mesh).find(one => one.workload.key === key)
  const resource = shellWord(`${kind === "deployment" ? "deploy" : kind}/${name}`)
  const n = shellWord(namespace)
  const callers = mesh.calls.filter(({ toKey }) => toKey === key)
  const called = mesh.calls.filter(({ fromKey }) => fromKey === key)
  const secured = callers.filter(({ edge }) => edge.secured).length
  return (
    <>
      <PageHead
        title={
          <>
            <Name>{name}</Name> <LevelMark level={levelOf(http)} />
          </>
        }
        aside={
          <nav className="actions" aria-label="More of it">
            <Link to="/live" search={{ to: `${namespace}/${kind}/${name}` }}>
              <Icon name="play" /> Live calls
            </Link>
            <Link to="/explain" search={{ to: `${namespace}/${kind}/${name}` }}>
              <Icon name="arrow" /> Explain a call
            </Link>
            <Link to="/topology" search={{ ns: namespace }}>
              <Icon name="topology" /> Who calls whom
            </Link>
          </nav>
        }
      >
        {kind} in <Name>{namespace}</Name>
      </PageHead>
      {trouble !== undefined && (
        <p className={`notice ${trouble.level}`}>
          <strong>{short(trouble.failuresPerSec)} requests a second fail.</strong>{" "}
          {trouble.causes.length === 0
            ? "It begins here: none of its own calls fails."
            : "Its own calls fail at "}
          {trouble.causes.map((one, index) => (
            <span key={one.key}>
              {index > 0 && ", "}
              <WorkloadLink workload={one} full />
            </span>
          ))}
        </p>
      )}
      <dl className="tiles six">
        <Tile title="Success" figure={<Success http={http} />}>
          {short(failures(http))} failures a second
        </Tile>
        <Tile title="Requests" figure={rate(http?.rps)}>
          from {count(new Set(callers.map(({ fromKey }) => fromKey)).size, "caller")}
          <Besides workload={workload} />
        </Tile>
        <Tile title="Latency p99" figure={duration(http?.latencyMs?.p99)}>
          p50 {duration(http?.latencyMs?.p50)}, p95 {duration(http?.latencyMs?.p95)}
        </Tile>
        <Tile title="TCP connections" figure={tcp === undefined ? "–" : String(tcp.open)}>
          {tcp === undefined
            ? "none"
            : `${byteRate(tcp.readBytesPerSec)} in, ${byteRate(tcp.writeBytesPerSec)} out`}
        </Tile>
        <Tile title="Secured callers" figure={callers.length === 0 ? "–" : `${secured} of ${callers.length}`}>
          {callers.length === 0
            ? "nobody calls it"
            : secured === callers.length
              ? "all by mutual TLS"
              : "see below who is not, and why"}
        </Tile>
        <Tile title="Meshed pods" figure={`${meshed} of ${total}`}>
          {meshed === total ? "every pod has its proxy" : `${count(total - meshed, "pod")} without`}
        </Tile>
      </dl>
      <WorkloadTrends workload={workload} />
      <LatencySplit http={http} callers={callers} called={called} />
      <div className="columns">
        <Neighbours title="Called by" calls={callers} end="from" />
        <Neighbours title="Calls" calls={called} end="to" />
      </div>
      <Routes workload={workload} />
      <PolicySummary workload={workload} />
      <Pods workload={workload} />
      <Commands
        lines={[
          `conduit stat ${resource} -n ${n}`,
          `conduit edges ${resource} -n ${n}`,
          `conduit policy list ${resource} -n ${n}`,
          `conduit tap ${resource} -n ${n}`,
          `kubectl describe ${resource} -n ${n}`,
          `kubectl logs ${resource} -n ${n} -c conduit-proxy`,
        ]}
      />
    </>
  )
}

/** What stands behind requests besides them, where there is any: what was sent again, and what policies refused. */
function Besides({ workload: { namespace, kind, name } }: { readonly workload: Workload }) {
  const { windowMs, every } = useLive()
  const { data } = useQuery(
    ApiService.method.stat,
    { target: { namespace, kind, name }, windowMs, retries: true, refused: true },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  const { retriesRps = 0, refusedRps = 0 } = data?.rows[0] ?? {}
  return (
    <>
      {retriesRps > 0 && `, ${rate(retriesRps)} sent again`}
      {refusedRps > 0 && `, ${rate(refusedRps)} refused besides`}
    </>
  )
}

function Neighbours({ title, calls, end }: { title: string; calls: readonly Call[]; end: "from" | "to" }) {
  const columns: readonly Column<Call>[] = [
    {
      ...{ id: "who", title: end === "from" ? "Caller" : "Called" },
      cell: call => <EndName workload={call[end]} name={end === "from" ? call.fromKey : call.toKey} />,
    },
    ...httpColumns<Call>(({ edge }) => edge.http).filter(({ id }) => id === "success" || id === "p99"),
    {
      ...{ id: "rps", title: "Requests", right: true },
      cell: ({ edge }) => rate(edge.http?.rps ?? (edge.calledRps > 0 ? edge.calledRps : undefined)),
    },
    { ...{ id: "secured", title: "mTLS" }, cell: ({ edge }) => <Secured edge={edge} /> },
  ]
  return (
    <section>
      <h2>{title}</h2>
      <Table
        caption={title}
        columns={columns}
        rows={calls}
        rowKey={({ fromKey, toKey, edge }) =>
          `${fromKey} ${toKey} ${edge.clientId} ${edge.serverId} ${edge.secured}`
        }
        empty={
          <p className="quiet">
            {end === "from" ? "Nobody calls it in this time." : "It calls nobody in this time."}
          </p>
        }
      />
    </section>
  )
}

const ROUTES: readonly Column<RouteRow>[] = [
  {
    ...{ id: "route", title: "Route" },
    cell: ({ route, service }) => (
      <>
        <Name>{route}</Name> <span className="quiet">of {service?.name}</span>
      </>
    ),
  },
  ...httpColumns<RouteRow>(row => row.http),
]

function Routes({ workload: { namespace, kind, name } }: { readonly workload: Workload }) {
  const { windowMs, every } = useLive()
  const routes = useQuery(
    ApiService.method.routes,
    { target: { namespace, kind, name }, windowMs },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  return (
    <section>
      <h2>Routes</h2>
      <Shown of={routes} what="routes">
        {({ rows }) => (
          <Table
            caption="Routes"
            columns={ROUTES}
            rows={rows}
            rowKey={({ route, service }) => `${service?.name} ${route}`}
            empty={<p className="quiet">No Service leads to it.</p>}
          />
        )}
      </Shown>
    </section>
  )
}

interface PodRow {
  readonly identity: IdentitiesResponse
  readonly stat: StatRow | undefined
}

const PODS: readonly Column<PodRow>[] = [
  { ...{ id: "pod", title: "Pod" }, cell: ({ identity }) => <Name>{identity.pod}</Name> },
  ...httpColumns<PodRow>(({ stat }) => stat?.http),
  {
    ...{ id: "tcp", title: "TCP", right: true, minor: true },
    cell: ({ stat }) => (stat?.tcp === undefined ? "–" : String(stat.tcp.open)),
  },
  {
    ...{ id: "certificate", title: "Certificate" },
    cell: ({ identity }) => <CertificateMark of={identity} />,
  },
  { ...{ id: "ends", title: "Renewed before", minor: true }, cell: ({ identity }) => endsIn(identity) },
]

function Pods({ workload: { namespace, kind, name, total, meshed } }: { readonly workload: Workload }) {
  const { windowMs, every, slowly } = useLive()
  const target = { namespace, kind, name }
  const identities = useAnswer({
    queryKey: ["identities", namespace, kind, name],
    queryFn: ({ signal }) => collected(api.identities({ target }, { signal })),
    refetchInterval: slowly,
  })
  const stat = useQuery(
    ApiService.method.stat,
    { target: { namespace, kind: "pod" }, windowMs },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  return (
    <section>
      <h2>Pods and identity</h2>
      <Shown of={identities} what="pods">
        {all => (
          <>
            <Table
              caption="Pods"
              columns={PODS}
              rows={all.map(identity => ({
                identity,
                stat: stat.data?.rows.find(({ resource }) => resource?.name === identity.pod),
              }))}
              rowKey={({ identity }) => identity.pod}
              empty={<p className="quiet">No pod of it has a proxy: conduit inject adds one.</p>}
            />
            {all[0]?.spiffeId !== undefined && all[0].spiffeId !== "" && (
              <p className="quiet">
                Proves to be <code>{all[0].spiffeId}</code>
              </p>
            )}
            {meshed < total && (
              <p className="quiet">{count(total - meshed, "pod")} without proxy, not shown here.</p>
            )}
          </>
        )}
      </Shown>
    </section>
  )
}
