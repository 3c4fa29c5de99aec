// Which policies hold on a workload, and what they decided.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import { ApiService, type DecisionFigures, type WorkloadPolicies } from "../../../../protos/mod.ts"
import { plain, rate } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import type { Workload } from "../mesh/mesh.ts"
import { Name } from "../parts/name.tsx"
import { Shown } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"

/** One that decides. */
export interface Decider {
  readonly key: string
  readonly name: string
  readonly action: string
  readonly ports: string
  readonly decided: DecisionFigures | undefined
  readonly problems: readonly string[]
}

/** All that decide about a workload: its policies, the default, and what no policy allowed. */
export function decidersOf({
  policies,
  byDefault,
  defaultPolicy,
  notAllowed,
  byOthers,
}: WorkloadPolicies): Decider[] {
  const one = (key: string, name: string, action: string, decided: DecisionFigures | undefined): Decider => ({
    ...{ key, name, action, decided, ports: "", problems: [] },
  })
  const some = (figures: DecisionFigures | undefined): boolean =>
    figures !== undefined && figures.allowedRps + figures.deniedRps + figures.auditedRps > 0
  return [
    ...policies.map(({ namespace, name, action, ports, decided, problems }) => ({
      ...{ key: `${namespace}/${name}`, name, action, decided, problems },
      ports: ports.length === 0 ? "all ports" : ports.join(", "),
    })),
    one("default", defaultPolicy, "Default", byDefault),
    ...(some(notAllowed) ? [one("none", "no Allow matches", "Deny", notAllowed)] : []),
    ...(some(byOthers) ? [one("others", "probes of the kubelet", "Allow", byOthers)] : []),
  ]
}

/** Columns of those who decide. */
export const DECIDERS: readonly Column<Decider>[] = [
  {
    ...{ id: "policy", title: "Policy" },
    cell: ({ name, ports, problems }) => (
      <>
        <Name>{name}</Name> <span className="quiet">{ports}</span>
        {problems.map(problem => (
          <span key={problem} className="problem">
            {plain(problem)}
          </span>
        ))}
      </>
    ),
  },
  {
    ...{ id: "action", title: "Action" },
    cell: ({ action }) => <span className={`tag ${action.toLowerCase()}`}>{action}</span>,
  },
  { ...{ id: "allowed", title: "Allowed", right: true }, cell: ({ decided }) => some(decided?.allowedRps) },
  { ...{ id: "denied", title: "Denied", right: true }, cell: ({ decided }) => some(decided?.deniedRps) },
  {
    ...{ id: "audited", title: "Audited", right: true, minor: "mid" },
    cell: ({ decided }) => some(decided?.auditedRps),
  },
]

function some(perSecond: number | undefined): string {
  return perSecond === undefined || perSecond === 0 ? "–" : rate(perSecond)
}

/** Policies of one workload. */
export function PolicySummary({ workload: { namespace, kind, name } }: { readonly workload: Workload }) {
  const { windowMs, every } = useLive()
  const policies = useQuery(
    ApiService.method.policies,
    { target: { namespace, kind, name }, windowMs },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  return (
    <section>
      <h2>Who may call it</h2>
      <Shown of={policies} what="policies">
        {({ workloads }) => {
          const [own] = workloads
          return own === undefined ? (
            <p className="quiet">It has no pods that policies could hold on.</p>
          ) : (
            <Table caption="Policies" columns={DECIDERS} rows={decidersOf(own)} rowKey={({ key }) => key} />
          )
        }}
      </Shown>
    </section>
  )
}
