// Who may call whom beside who does; a policy tried on live traffic before it is applied; policies learnt from it.
import { useMutation, useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import { memo, useState } from "react"
import { learnedYaml } from "../../../../deploy/policy/mod.ts"
import {
  ApiService,
  PolicyChange,
  type PolicyDecision,
  type Resource,
  type WhatIfResponse,
  type WhatIfRow,
} from "../../../../protos/mod.ts"
import { reasonOf } from "../mesh/calls.ts"
import { count, plain, rate } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import { keyOf, type Mesh } from "../mesh/mesh.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import { Commands, CopyButton } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { Name, PlaceLink } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Filters, NothingFits, Table, useFilter } from "../parts/table.tsx"
import { CallMatrix } from "./call_matrix.tsx"
import { DECIDERS, type Decider, decidersOf } from "./policy_summary.tsx"

const TEMPLATE = `apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata:
  name: web-clients
  namespace: NAMESPACE
spec:
  target: { kind: Deployment, name: NAME }
  action: Allow
  rules:
    - from:
        - namespaces: [NAMESPACE]
`

/** The page of policies. */
export function PoliciesPage() {
  const { mesh, error } = useMesh()
  return (
    <>
      <PageHead title="Policies">
        Who may call whom, who does, and what a change would do to live traffic.
      </PageHead>
      <Shown of={{ data: mesh, error }} what="calls">
        {found => (
          <>
            <CallMatrix mesh={found} />
            <Deciders />
            <WhatIf mesh={found} />
          </>
        )}
      </Shown>
      <Commands
        lines={[
          "conduit policy list deploy -A",
          "conduit policy what-if policy.yaml",
          "conduit policy learn deploy -A",
          "kubectl get authorizationpolicies -A",
        ]}
      />
    </>
  )
}

interface Row extends Decider {
  readonly resource: Resource | undefined
  readonly workload: string
  readonly namespace: string
}

const ROWS: readonly Column<Row>[] = [
  {
    ...{ id: "workload", title: "Workload" },
    cell: row => <PlaceLink of={row.resource} />,
    by: row => row.workload,
  },
  {
    ...{ id: "namespace", title: "Namespace", minor: true },
    cell: row => <Name>{row.namespace}</Name>,
    by: row => row.namespace,
  },
  ...(DECIDERS as readonly Column<Row>[]),
]

function Deciders() {
  const { windowMs, every } = useLive()
  const { mesh } = useMesh()
  const fits = useFilter()
  const policies = useQuery(
    ApiService.method.policies,
    { target: { kind: "deployment" }, windowMs },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  return (
    <section>
      <h2>What decides</h2>
      <Shown of={policies} what="policies">
        {({ workloads, unused }) => {
          const own = new Set(mesh?.workloads.map(({ key }) => key))
          const rows = workloads
            .filter(({ resource }) => own.has(keyOf(resource)))
            .flatMap(workload => {
              const { resource } = workload
              const { namespace = "", name = "" } = resource ?? {}
              return decidersOf(workload).map((one): Row => ({ ...one, resource, workload: name, namespace }))
            })
          return (
            <>
              <Filters namespaces={mesh?.namespaces ?? []} what="policies" />
              <Table
                caption="What decides who may call"
                columns={ROWS}
                rows={rows.filter(({ namespace, workload, name }) => fits(namespace, `${workload} ${name}`))}
                rowKey={({ namespace, workload, key }) => `${namespace}/${workload} ${key}`}
                sortedBy="workload"
                sortable
                empty={<NothingFits />}
              />
              {unused.map(({ namespace, name, problems }) => (
                <p key={`${namespace}/${name}`} className="notice degraded">
                  <strong>
                    <Name>{`${namespace}/${name}`}</Name> holds on nothing.
                  </strong>{" "}
                  {problems.map(plain).join("; ")}
                </p>
              ))}
            </>
          )
        }}
      </Shown>
    </section>
  )
}

const CHANGES: Readonly<Partial<Record<PolicyChange, readonly [string, string]>>> = {
  [PolicyChange.DENIED]: ["deny", "would be denied"],
  [PolicyChange.ALLOWED]: ["allow", "would be allowed"],
  [PolicyChange.UNCHANGED]: ["", "stays"],
}

const WHAT_IF: readonly Column<WhatIfRow>[] = [
  {
    ...{ id: "change", title: "Change" },
    cell: ({ change, after }) => {
      const [kind, words] = CHANGES[change] ?? ["", "unknown"]
      return (
        <span className={`tag ${kind}`}>
          {kind === "" ? `${words} ${after?.allowed === true ? "allowed" : "denied"}` : words}
        </span>
      )
    },
  },
  {
    ...{ id: "from", title: "Caller" },
    cell: ({ from, clientId, clientIps }) => (
      <Name>{from === undefined ? clientId || clientIps.join(", ") : `${from.namespace}/${from.name}`}</Name>
    ),
  },
  {
    ...{ id: "to", title: "Called" },
    cell: ({ to, port }) => <Name>{`${to?.namespace}/${to?.name}:${port}`}</Name>,
  },
  {
    ...{ id: "what", title: "Request", minor: true },
    cell: ({ method, path, protocol }) => <Name>{method === "" ? protocol : `${method} ${path}`}</Name>,
  },
  { ...{ id: "rps", title: "Rate", right: true }, cell: row => rate(row.rps) },
  { ...{ id: "why", title: "Why", minor: true }, cell: ({ after }) => <Why decision={after} /> },
]

function Why({ decision }: { readonly decision: PolicyDecision | undefined }) {
  if (decision === undefined) return <>–</>
  return (
    <span className="quiet">
      {decision.policy !== "" && <Name>{decision.policy}</Name>} {plain(decision.reason)}
    </span>
  )
}

const WhatIf = memo(function WhatIf({ mesh }: { readonly mesh: Mesh }) {
  const { windowMs } = useLive()
  const [first] = mesh.workloads
  const [text, setText] = useState(
    TEMPLATE.replaceAll("NAMESPACE", first?.namespace ?? "default").replace("NAME", first?.name ?? "web"),
  )
  const [target, setTarget] = useState(first?.key ?? "")
  const tried = useMutation(ApiService.method.whatIf)
  const learnt = useMutation(ApiService.method.learn)
  const workload = mesh.byKey.get(target)
  const learn = async (): Promise<void> => {
    if (workload === undefined) return
    const { namespace, kind, name } = workload
    const { policies, unproven } = await learnt.mutateAsync({ target: { namespace, kind, name } })
    if (policies.length > 0) setText(learnedYaml(policies, unproven))
  }
  const error = tried.error ?? learnt.error
  return (
    <section>
      <h2>Try a policy</h2>
      <p className="quiet">
        It is held against the traffic of the chosen time; nothing is applied. A policy that is learnt allows
        what was seen in the last hour, and no more.
      </p>
      <div className="form-row">
        <label>
          Workload{" "}
          <select value={target} onChange={event => setTarget(event.target.value)}>
            {mesh.workloads.map(({ key, namespace, name }) => (
              <option key={key} value={key}>
                {`${plain(namespace)}/${plain(name)}`}
              </option>
            ))}
          </select>
        </label>
        <button type="button" disabled={learnt.isPending} onClick={() => void learn().catch(() => {})}>
          {learnt.isPending ? "Learning …" : "Learn its policy"}
        </button>
      </div>
      <label className="editor">
        <span>Policies (YAML)</span>
        <textarea
          value={text}
          rows={14}
          spellCheck={false}
          onChange={({ target }) => setText(target.value)}
        />
      </label>
      <div className="form-row">
        <button
          type="button"
          className="primary"
          disabled={tried.isPending}
          onClick={() => tried.mutate({ files: [{ name: "policy.yaml", content: text }], windowMs })}
        >
          {tried.isPending ? "Trying …" : "Try on live traffic"}
        </button>
        <CopyButton text={text} what="the policies" words="Copy" />
      </div>
      <div aria-live="polite">
        {learnt.data !== undefined && learnt.data.policies.length === 0 && (
          <p className="notice degraded">No traffic of it was seen, so there is nothing to learn.</p>
        )}
        {error !== null && <p className="notice failing">{plain(reasonOf(error))}</p>}
        {tried.data !== undefined && <Outcome of={tried.data} />}
      </div>
    </section>
  )
}, haveSameWorkloads)

/** Figures bear on nothing here. */
function haveSameWorkloads(a: { readonly mesh: Mesh }, b: { readonly mesh: Mesh }): boolean {
  const [before, after] = [a.mesh.workloads, b.mesh.workloads]
  return before.length === after.length && before.every(({ key }, index) => key === after[index]?.key)
}

function Outcome({ of: { problems, rows, notes, unjudged } }: { readonly of: WhatIfResponse }) {
  if (problems.length > 0)
    return (
      <ul className="notice failing">
        {problems.map(({ where, message }) => (
          <li key={`${where} ${message}`}>
            <strong>{plain(where)}</strong>: {plain(message)}
          </li>
        ))}
      </ul>
    )
  const denied = rows.filter(({ change }) => change === PolicyChange.DENIED)
  const allowed = rows.filter(({ change }) => change === PolicyChange.ALLOWED)
  const sum = (some: readonly WhatIfRow[]): string => rate(some.reduce((all, { rps }) => all + rps, 0))
  return (
    <>
      <p className={`notice ${denied.length > 0 ? "failing" : "well"}`}>
        <strong>
          {denied.length === 0
            ? "Nothing of the live traffic would be denied."
            : `${sum(denied)} would be denied.`}
        </strong>{" "}
        {allowed.length > 0 && `${sum(allowed)} that is denied now would pass. `}
        {unjudged > 0n && `${count(Number(unjudged), "request")} could not be judged. `}
        {notes.map(plain).join("; ")}
      </p>
      <Table
        caption="Live traffic under the tried policies"
        columns={WHAT_IF}
        rows={rows}
        rowKey={row =>
          `${keyOf(row.from)} ${row.clientId} ${row.clientIps.join()} ${keyOf(row.to)} ${row.port} ${row.method} ${row.path} ${row.protocol} ${row.change}`
        }
        empty={<Empty title="There was no traffic in this time to try it on" />}
      />
    </>
  )
}
