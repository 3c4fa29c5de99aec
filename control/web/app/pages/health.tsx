// The mesh's own health: check lines as conduit check has them, versions, and the control plane's pods.
import { useQuery } from "@connectrpc/connect-query"
import { ApiService, type CheckResponse, type Fault, FaultKind } from "../../../../protos/mod.ts"
import { count, plain, span } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import type { Mesh, Workload } from "../mesh/mesh.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import type { Level } from "../mesh/trouble.ts"
import { Commands } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"

const DAY_MS = 86_400_000

interface Line {
  readonly level: Level
  readonly words: string
  readonly faults?: readonly Fault[]
  readonly hint?: string
}

/** What is looked at, what is said when it is well, and what to do when it is not. */
const KINDS: readonly { kind: FaultKind; well: string; ill: string; hint: string }[] = [
  {
    kind: FaultKind.OBJECT,
    well: "every object is understood",
    ill: "some objects are not understood",
    hint: "what is not understood is not in force: correct it",
  },
  {
    kind: FaultKind.POLICY,
    well: "every policy holds on what it names",
    ill: "some policies do not hold on what they name",
    hint: "conduit policy list shows them",
  },
  {
    kind: FaultKind.ROUTE,
    well: "every route leads somewhere",
    ill: "some routes lead nowhere",
    hint: "conduit routes svc -A shows them",
  },
  {
    kind: FaultKind.OPAQUE_PORT,
    well: "callers and pods agree on opaque ports",
    ill: "callers and pods disagree on opaque ports",
    hint: "set config.conduit.io/opaque-ports on the Service and on the pods alike",
  },
  {
    kind: FaultKind.NO_IDENTITY,
    well: "every endpoint has an identity",
    ill: "some endpoints have no identity",
    hint: "inject the proxy into the pods behind it; their traffic is not encrypted",
  },
  {
    kind: FaultKind.INJECTED,
    well: "no Service asks for faults",
    ill: "some Services ask for faults, which their callers meet",
    hint: "kubectl annotate svc NAME fault.conduit.io/delay- fault.conduit.io/abort- ends it",
  },
  {
    kind: FaultKind.PLUGIN,
    well: "every plugin answers",
    ill: "some plugins do not answer, or find something wrong themselves",
    hint: "the page of plugins says more; traffic goes on without them",
  },
]

/** What is wrong and still works. */
const DEGRADING: ReadonlySet<FaultKind> = new Set([
  FaultKind.NO_IDENTITY,
  FaultKind.INJECTED,
  FaultKind.PLUGIN,
])

/** The page of the mesh itself. */
export function HealthPage() {
  const { slowly } = useLive()
  const { mesh } = useMesh()
  const check = useQuery(ApiService.method.check, {}, { refetchInterval: slowly })
  const version = useQuery(ApiService.method.version, {}, { refetchInterval: slowly })
  return (
    <>
      <PageHead title="Health">What the control plane finds, as conduit check has it.</PageHead>
      <Shown of={check} what="check lines">
        {answer => (
          <ul className="checks">
            {[...certificateLines(answer), ...faultLines(answer)].map(line => (
              <CheckLine key={line.words} line={line} />
            ))}
          </ul>
        )}
      </Shown>
      <section>
        <h2>Versions</h2>
        <Shown of={version} what="versions">
          {({ controlPlane, proxies }) => (
            <ul className="checks">
              <CheckLine line={{ level: "well", words: `control plane ${controlPlane}` }} />
              {proxies.map(proxy => (
                <CheckLine
                  key={proxy.version}
                  line={{
                    level: proxy.version === controlPlane ? "well" : "degraded",
                    words: `${count(proxy.pods, "proxy", "proxies")} of ${proxy.version}`,
                    ...(proxy.version === controlPlane
                      ? {}
                      : { hint: "kubectl rollout restart deploy renews them" }),
                  }}
                />
              ))}
              {proxies.length === 0 && <CheckLine line={{ level: "idle", words: "no proxy reports" }} />}
            </ul>
          )}
        </Shown>
      </section>
      <section>
        <h2>Control plane</h2>
        {mesh !== null && <Plane mesh={mesh} />}
      </section>
      <Commands lines={["conduit check", "conduit version", "kubectl get pods -n conduit"]} />
    </>
  )
}

const PLANE: readonly Column<Workload>[] = [
  { ...{ id: "name", title: "Service" }, cell: row => <Name>{row.name}</Name> },
  { ...{ id: "pods", title: "Pods", right: true }, cell: row => row.total },
  { ...{ id: "state", title: "State" }, cell: row => <PlaneMark pods={row.total} /> },
]

function Plane({ mesh }: { readonly mesh: Mesh }) {
  return (
    <Table
      caption="Services of the control plane"
      columns={PLANE}
      rows={mesh.plane}
      rowKey={({ key }) => key}
      empty={<Empty title="The control plane runs outside of this cluster's Deployments" />}
    />
  )
}

function PlaneMark({ pods }: { readonly pods: number }) {
  return (
    <>
      <LevelMark level={pods === 0 ? "failing" : "well"} word={false} /> {pods === 0 ? "no pod runs" : "runs"}
    </>
  )
}

function CheckLine({ line: { level, words, faults = [], hint } }: { readonly line: Line }) {
  return (
    <li>
      <LevelMark level={level} word={false} />
      <div>
        <span>{words}</span>
        {faults.map(({ where, message }) => (
          <p key={`${where} ${message}`}>
            <strong>
              <Name>{where}</Name>
            </strong>
            : {plain(message)}
          </p>
        ))}
        {level !== "well" && hint !== undefined && <p className="quiet">What to do: {hint}.</p>}
      </div>
    </li>
  )
}

function faultLines({ faults, leftOut }: CheckResponse): Line[] {
  const lines = KINDS.map(({ kind, well, ill, hint }): Line => {
    const own = faults.filter(fault => fault.kind === kind)
    return own.length === 0
      ? { level: "well", words: well }
      : {
          level: DEGRADING.has(kind) ? "degraded" : "failing",
          words: ill,
          faults: own,
          hint,
        }
  })
  return leftOut === 0
    ? lines
    : [...lines, { level: "degraded", words: `${count(leftOut, "fault")} more, left out as too many` }]
}

function certificateLines({ trustAnchors, issuerChain, nowMs }: CheckResponse): Line[] {
  if (trustAnchors.length === 0)
    return [{ level: "degraded", words: "the mesh has no identity", hint: "conduit install makes one" }]
  const soonest = Math.min(...[...trustAnchors, ...issuerChain].map(({ notAfterMs }) => notAfterMs)) - nowMs
  const level: Level = soonest <= 0 ? "failing" : soonest < 60 * DAY_MS ? "degraded" : "well"
  const words =
    soonest <= 0
      ? "a trust anchor or the issuer has ended"
      : `trust anchors and issuer hold for ${span(soonest)}`
  return [{ level, words, hint: "replace them before they end: conduit upgrade --help says how" }]
}
