// What the mesh's trust rests on, who proves what, and what ends when.
import { useQuery } from "@connectrpc/connect-query"
import { useQuery as useAnswer } from "@tanstack/react-query"
import { ApiService, type AuthorityCertificate, type IdentitiesResponse } from "../../../../protos/mod.ts"
import { api, collected } from "../mesh/calls.ts"
import { count, moment, span } from "../mesh/format.ts"
import { useLive } from "../mesh/live.ts"
import { Commands } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name, PlaceLink } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Filters, NothingFits, Table, useFilter } from "../parts/table.tsx"
import { CertificateMark, certificateLevel, endsIn } from "./certificate_mark.tsx"

const DAY_MS = 86_400_000
/** An anchor or issuer that ends sooner is to be replaced now: proxies need time to learn of it. */
const WARN_MS = 60 * DAY_MS

const WORKLOADS: readonly Column<IdentitiesResponse>[] = [
  {
    ...{ id: "workload", title: "Workload" },
    cell: row => <PlaceLink of={row.workload} />,
    by: row => row.workload?.name,
  },
  {
    ...{ id: "namespace", title: "Namespace", minor: "mid" },
    cell: row => <Name>{row.namespace}</Name>,
    by: row => row.namespace,
  },
  { ...{ id: "pod", title: "Pod", minor: true }, cell: row => <Name>{row.pod}</Name>, by: row => row.pod },
  {
    ...{ id: "state", title: "Certificate" },
    cell: row => <CertificateMark of={row} />,
    by: row => -row.state,
  },
  { ...{ id: "ends", title: "Ends", right: true }, cell: endsIn, by: row => row.notAfterMs || undefined },
  {
    ...{ id: "life", title: "Life used", minor: "mid" },
    cell: row => <Life notBeforeMs={row.notBeforeMs} notAfterMs={row.notAfterMs} />,
  },
  {
    ...{ id: "id", title: "Proves to be", minor: "wide" },
    cell: row => <code>{row.spiffeId}</code>,
    by: row => row.spiffeId,
  },
]

/** The board of certificates. */
export function CertificatesPage() {
  const { slowly } = useLive()
  const fits = useFilter()
  const check = useQuery(ApiService.method.check, {}, { refetchInterval: slowly })
  const identities = useAnswer({
    queryKey: ["identities"],
    queryFn: ({ signal }) => collected(api.identities({ target: { kind: "pod" } }, { signal })),
    refetchInterval: slowly,
  })
  return (
    <>
      <PageHead title="Certificates">What the mesh's trust rests on, and what ends when.</PageHead>
      <section>
        <h2>Trust anchors and issuer</h2>
        <Shown of={check} what="trust anchors">
          {({ trustAnchors, issuerChain, nowMs }) =>
            trustAnchors.length === 0 ? (
              <Empty title="This mesh has no identity yet">
                <p>Nothing is encrypted between its proxies. conduit check says why.</p>
              </Empty>
            ) : (
              <div className="cards">
                {trustAnchors.map(one => (
                  <Authority
                    key={one.pem}
                    of={one}
                    what="Trust anchor"
                    nowMs={nowMs}
                    breaks="every call of the mesh"
                  />
                ))}
                {issuerChain
                  .filter(({ pem }) => !trustAnchors.some(anchor => anchor.pem === pem))
                  .map((one, index) => (
                    <Authority
                      key={one.pem}
                      of={one}
                      what={index === 0 ? "Issuer" : "Intermediate"}
                      nowMs={nowMs}
                      breaks="renewals, and within a day every call"
                    />
                  ))}
              </div>
            )
          }
        </Shown>
      </section>
      <section>
        <h2>Workloads</h2>
        <Shown of={identities} what="certificates of workloads">
          {all => {
            const namespaces = [...new Set(all.map(({ namespace }) => namespace))].sort()
            const bad = all.filter(one => certificateLevel(one) !== "well").length
            return all.length === 0 ? (
              <Empty title="No pod has a proxy yet" />
            ) : (
              <>
                <p className="quiet">
                  {count(all.length, "certificate")};{" "}
                  {bad === 0 ? "all of them hold, and renew themselves" : `${bad} not well`}
                </p>
                <Filters namespaces={namespaces} what="certificates" />
                <Table
                  caption="Certificates of workloads"
                  columns={WORKLOADS}
                  rows={all.filter(({ namespace, pod, workload }) =>
                    fits(namespace, `${workload?.name} ${pod}`),
                  )}
                  rowKey={({ namespace, pod }) => `${namespace}/${pod}`}
                  sortedBy="workload"
                  sortable
                  empty={<NothingFits />}
                />
              </>
            )
          }}
        </Shown>
      </section>
      <Commands lines={["conduit identity deploy -A", "conduit check", "conduit upgrade --help"]} />
    </>
  )
}

function Authority({
  of,
  what,
  nowMs,
  breaks,
}: {
  readonly of: AuthorityCertificate
  readonly what: string
  readonly nowMs: number
  readonly breaks: string
}) {
  const leftMs = of.notAfterMs - nowMs
  const level = leftMs <= 0 ? "failing" : leftMs < WARN_MS ? "degraded" : "well"
  return (
    <article className="card">
      <h3>
        {what} <LevelMark level={level} word={false} />
      </h3>
      <p>
        <Name>{of.subject}</Name>
      </p>
      <p>
        <strong>{leftMs > 0 ? `Ends in ${span(leftMs)}` : `Ended ${span(-leftMs)} ago`}</strong>{" "}
        <span className="quiet">({moment(of.notAfterMs)})</span>
      </p>
      <Life notBeforeMs={of.notBeforeMs} notAfterMs={of.notAfterMs} />
      <p className="quiet">Its end breaks {breaks}.</p>
    </article>
  )
}

function Life({ notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number }) {
  if (notAfterMs === 0) return <>–</>
  const used = Math.min(1, Math.max(0, (Date.now() - notBeforeMs) / (notAfterMs - notBeforeMs)))
  return (
    <meter min={0} max={1} high={0.7} optimum={0} value={used} aria-label="Share of its life that is used">
      {Math.round(used * 100)} %
    </meter>
  )
}
