// Who calls whom, as a matrix: callers down, called across; each cell says how much, and whether any of it fails.
import { percent, plain, rate } from "../mesh/format.ts"
import { usePlace } from "../mesh/live.ts"
import type { Call, Mesh, Workload } from "../mesh/mesh.ts"
import { levelOf } from "../mesh/trouble.ts"
import { Name, WorkloadLink } from "../parts/name.tsx"
import { Empty } from "../parts/state.tsx"

/** Most rows and columns: beyond, a matrix says nothing, and a namespace is to be chosen. */
export const MATRIX_SIDE = 40

/** The matrix. */
export function CallMatrix({ mesh }: { readonly mesh: Mesh }) {
  const { ns = "" } = usePlace()
  const calls = mesh.calls.filter(
    ({ from, to }) =>
      from !== null && to !== null && (ns === "" || from.namespace === ns || to.namespace === ns),
  )
  const ends = (of: (call: Call) => Workload | null): Workload[] => {
    const found = new Map(
      calls.flatMap(call => (of(call) === null ? [] : [[of(call)?.key ?? "", of(call) as Workload]])),
    )
    return [...found.values()].sort((a, b) => (a.key < b.key ? -1 : 1)).slice(0, MATRIX_SIDE)
  }
  const callers = ends(({ from }) => from)
  const called = ends(({ to }) => to)
  if (calls.length === 0)
    return (
      <Empty title="Nobody calls anybody in this time">
        <p>Calls between meshed workloads are shown here as soon as there are any.</p>
      </Empty>
    )
  return (
    <section>
      <h2>Who calls whom</h2>
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
                      calls={calls.filter(
                        ({ fromKey, toKey }) => fromKey === caller.key && toKey === one.key,
                      )}
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

function Cell({ calls }: { readonly calls: readonly Call[] }) {
  if (calls.length === 0) return <span className="quiet">·</span>
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
