// Who calls whom beside who may, as a matrix: callers down, called across; each cell says how much is called and whether any
// of it fails, or what policies say of a call that nobody makes.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { ApiService } from "../../../../protos/mod.ts"
import { percent, plain, rate } from "../mesh/format.ts"
import { useLive, usePlace } from "../mesh/live.ts"
import { type Call, keyOf, type Mesh, type Workload } from "../mesh/mesh.ts"
import { levelOf } from "../mesh/trouble.ts"
import { Name, WorkloadLink } from "../parts/name.tsx"
import { Empty } from "../parts/state.tsx"
import { type MayCall, mayCall } from "./may_call.ts"

/** Most rows and columns: beyond, a matrix says nothing, and a namespace is to be chosen. */
export const MATRIX_SIDE = 40

/** The matrix. */
export function CallMatrix({ mesh }: { readonly mesh: Mesh }) {
  const { ns = "" } = usePlace()
  const calls = mesh.calls.filter(
    ({ from, to }) =>
      from !== null && to !== null && (ns === "" || from.namespace === ns || to.namespace === ns),
  )
  const { windowMs, slowly } = useLive()
  // The same question as of the table below: it is asked once.
  const policies = useQuery(
    ApiService.method.policies,
    { target: { kind: "deployment" }, windowMs },
    { refetchInterval: slowly, placeholderData: keepPreviousData },
  )
  const held = new Map(policies.data?.workloads.map(one => [keyOf(one.resource), one]))
  const known = new Set(calls.flatMap(({ fromKey, toKey }) => [fromKey, toKey]))
  const all = mesh.workloads.filter(({ key, namespace }) => ns === "" || namespace === ns || known.has(key))
  // Where not all fit, those with traffic say more.
  const shown = [...all.filter(({ key }) => known.has(key)), ...all.filter(({ key }) => !known.has(key))]
    .slice(0, MATRIX_SIDE)
    .sort((a, b) => (a.key < b.key ? -1 : 1))
  const [callers, called] = [shown, shown]
  if (shown.length === 0)
    return (
      <Empty title="Nobody calls anybody in this time">
        <p>Calls between meshed workloads are shown here as soon as there are any.</p>
      </Empty>
    )
  const byPair = Map.groupBy(calls, ({ fromKey, toKey }) => `${fromKey} ${toKey}`)
  return (
    <section>
      <h2>Who calls whom, and who may</h2>
      <p className="quiet">
        Figures are calls of this time; words are what policies say where nobody calls.
        {shown.length < all.length &&
          ` ${shown.length} of ${all.length} workloads: choose a namespace for others.`}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reached by the keyboard (WCAG 2.1.1) */}
      <section className="table matrix" tabIndex={0} aria-label="Who calls whom">
        <table>
          <caption className="hidden">Callers in rows, called workloads in columns</caption>
          <thead>
            <tr>
              <th scope="col">
                <span className="quiet">Caller ↓ Called →</span>
              </th>
              {called.map(one => (
                <th key={one.key} scope="col">
                  <span className="quiet">
                    <Name>{one.namespace}</Name>/
                  </span>
                  <Name>{one.name}</Name>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {callers.map(caller => (
              <tr key={caller.key}>
                <th scope="row">
                  <WorkloadLink workload={caller} full />
                </th>
                {called.map(one => (
                  <td key={one.key}>
                    <Cell
                      from={caller}
                      to={one}
                      calls={byPair.get(`${caller.key} ${one.key}`) ?? []}
                      may={mayCall(caller, held.get(one.key))}
                    />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </section>
  )
}

const WORDS: Readonly<Record<MayCall, string>> = {
  may: "may",
  denied: "denied",
  depends: "by policy",
  unknown: "·",
}

function Cell({
  from,
  to,
  calls,
  may,
}: {
  readonly from: Workload
  readonly to: Workload
  readonly calls: readonly Call[]
  readonly may: MayCall
}) {
  if (calls.length === 0) {
    if (from.key === to.key || may === "unknown") return <span className="quiet">·</span>
    // Explained, it is said of one call why.
    return may === "depends" ? (
      <Link
        to="/explain"
        search={{ from: `${from.namespace}/${from.kind}/${from.name}`, to: `${to.name}.${to.namespace}` }}
        className="quiet"
        aria-label={`by policy: explain a call from ${plain(from.name)} to ${plain(to.name)}`}
      >
        {WORDS[may]}
      </Link>
    ) : (
      <span className={may === "denied" ? "cell denied" : "quiet"}>{WORDS[may]}</span>
    )
  }
  const rps = calls.reduce((sum, { edge }) => sum + (edge.http?.rps ?? edge.calledRps), 0)
  const bad = calls.find(({ edge }) => ["failing", "degraded"].includes(levelOf(edge.http)))
  const plaintext = calls.find(({ edge }) => !edge.secured)
  const tcpOnly = calls.every(({ edge }) => edge.http === undefined && edge.calledRps === 0)
  return (
    <span className={`cell ${bad === undefined ? "well" : levelOf(bad.edge.http)}`}>
      {tcpOnly ? "TCP" : rate(rps)}
      {bad !== undefined && <span> {percent(bad.edge.http?.success)}</span>}
      {plaintext !== undefined && <span title={plain(plaintext.edge.reason)}> plaintext</span>}
    </span>
  )
}
