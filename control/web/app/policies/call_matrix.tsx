// Who calls whom beside who may, as a matrix: callers down, called across; each cell says how much is called and whether any
// of it fails, or what policies say of a call that nobody makes.
import { keepPreviousData, useQuery } from "@tanstack/react-query"
import { Link } from "@tanstack/react-router"
import { memo } from "react"
import { api } from "../mesh/calls.ts"
import { percent, plain, rate } from "../mesh/format.ts"
import { useLive, usePlace } from "../mesh/live.ts"
import { type Call, KINDS, type Mesh, type Workload } from "../mesh/mesh.ts"
import { levelOf } from "../mesh/trouble.ts"
import { Name, WorkloadLink } from "../parts/name.tsx"
import { Empty } from "../parts/state.tsx"
import { type CallRight, callRights } from "./may_call.ts"

/** Most rows and columns: beyond, a matrix says nothing, and a namespace is to be chosen. */
export const MATRIX_SIDE = 40

/** The matrix. */
export function CallMatrix({ mesh }: { readonly mesh: Mesh }) {
  const { ns = "" } = usePlace()
  const calls = mesh.calls.filter(
    ({ from, to }) =>
      from !== null && to !== null && (ns === "" || from.namespace === ns || to.namespace === ns),
  )
  const known = new Set(calls.flatMap(({ fromKey, toKey }) => [fromKey, toKey]))
  const all = mesh.workloads.filter(({ key, namespace }) => ns === "" || namespace === ns || known.has(key))
  // Where not all fit, those of the namespace, and those with traffic, say more.
  const weight = ({ key, namespace }: Workload): number =>
    (namespace === ns ? 0 : 2) + (known.has(key) ? 0 : 1)
  const shown = [...all]
    .sort((a, b) => weight(a) - weight(b))
    .slice(0, MATRIX_SIDE)
    .sort((a, b) => Number(b.namespace === ns) - Number(a.namespace === ns) || (a.key < b.key ? -1 : 1))
  const [callers, called] = [shown, shown]
  const rights = useRights(ns, all.length)
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
        Figures are calls of this time; words are what policies say where nobody calls. A cell says why where
        it is pointed at.
        {shown.length < all.length &&
          ` ${shown.length} of ${all.length} workloads${ns === "" ? ": choose a namespace for others, and to see who may" : ""}.`}
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
                      right={rights.get(`${caller.key} ${one.key}`)}
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

/** What policies say of the pairs that are shown; nothing where they are too many to be asked about. */
function useRights(ns: string, workloads: number): ReadonlyMap<string, CallRight> {
  const { slowly } = useLive()
  const { data } = useQuery({
    queryKey: ["rights", ns],
    queryFn: async ({ signal }) => {
      const ask = (kind: string) =>
        api.authorization({ target: { kind, namespace: ns }, fields: { paths: FIELDS } }, { signal })
      const answers = await Promise.all(KINDS.map(ask))
      return callRights(answers.flatMap(({ rows }) => rows))
    },
    refetchInterval: slowly,
    placeholderData: keepPreviousData,
    enabled: ns !== "" || workloads <= MATRIX_SIDE,
    structuralSharing: false,
  })
  return data ?? NO_RIGHTS
}

const NO_RIGHTS: ReadonlyMap<string, CallRight> = new Map()
const FIELDS = ["from", "to", "port", "access", "policy", "reason", "requests"]

const Cell = memo(
  function Cell({ from, to, calls, right }: CellProps) {
    const why = right === undefined ? undefined : right.why.map(plain).join("\n")
    if (calls.length === 0) {
      if (from.key === to.key || right === undefined) return <span className="quiet">·</span>
      // Explained, it is said of one call why.
      return (
        <Link
          to="/explain"
          search={{
            from: `${from.namespace}/${from.kind}/${from.name}`,
            to: `${to.namespace}/${to.kind}/${to.name}`,
          }}
          className={right.may === "denied" ? "cell denied" : "quiet"}
          title={why}
          aria-label={`${right.may}: explain a call from ${plain(from.name)} to ${plain(to.name)}`}
        >
          {right.may}
        </Link>
      )
    }
    const rps = calls.reduce((sum, { edge }) => sum + (edge.http?.rps ?? edge.calledRps), 0)
    const bad = calls.find(({ edge }) => ["failing", "degraded"].includes(levelOf(edge.http)))
    const plaintext = calls.find(({ edge }) => !edge.secured)
    const tcpOnly = calls.every(({ edge }) => edge.http === undefined && edge.calledRps === 0)
    return (
      <span className={`cell ${bad === undefined ? "well" : levelOf(bad.edge.http)}`} title={why}>
        {tcpOnly ? "TCP" : rate(rps)}
        {bad !== undefined && <span> {percent(bad.edge.http?.success)}</span>}
        {plaintext !== undefined && <span title={plain(plaintext.edge.reason)}> plaintext</span>}
      </span>
    )
  },
  // Most cells say what policies say, update after update.
  (before, after) =>
    before.calls.length === 0 &&
    after.calls.length === 0 &&
    before.right === after.right &&
    before.from.key === after.from.key &&
    before.to.key === after.to.key,
)

interface CellProps {
  readonly from: Workload
  readonly to: Workload
  readonly calls: readonly Call[]
  readonly right: CallRight | undefined
}
