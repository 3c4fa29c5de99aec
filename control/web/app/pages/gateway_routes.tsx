// Routes of the Gateway API: what is said of them, and where requests go beside where they are meant to go.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import {
  ApiService,
  type GatewayBackend,
  type GatewayRoute,
  type GatewayRule,
} from "../../../../protos/mod.ts"
import { plain } from "../mesh/format.ts"
import { useLive, usePlace } from "../mesh/live.ts"
import { Commands, shellWord } from "../parts/commands.tsx"
import { httpColumns, PageHead } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Filters, NothingFits, Table, useFilter } from "../parts/table.tsx"

/** The page of gateway routes. */
export function GatewayRoutesPage() {
  const { windowMs, every } = useLive()
  const { ns = "" } = usePlace()
  const fits = useFilter()
  const answer = useQuery(
    ApiService.method.gatewayRoutes,
    { windowMs },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  const where = ns === "" ? "-A" : `-n ${shellWord(ns)}`
  return (
    <>
      <PageHead title="Gateway routes">
        HTTPRoutes and others that bind a Service: their rules, and the shares of their backends.
      </PageHead>
      <Shown of={answer} what="gateway routes">
        {({ routes, leftOut }) => {
          if (routes.length === 0)
            return (
              <Empty title="No route binds a Service">
                <p>
                  An HTTPRoute whose parentRefs name a Service (group: "", kind: Service) directs what is sent
                  to it: by path or header, to versions by weight, with timeouts and retries.
                </p>
              </Empty>
            )
          const shown = routes.filter(({ resource, parents }) =>
            fits(resource?.namespace ?? "", `${resource?.name} ${parents.map(({ name }) => name).join(" ")}`),
          )
          return (
            <>
              <Filters
                namespaces={[...new Set(routes.map(({ resource }) => resource?.namespace ?? ""))]}
                what="routes"
              />
              {shown.length === 0 && <NothingFits />}
              {shown.map(route => (
                <RouteSection
                  key={`${route.resource?.kind} ${route.resource?.namespace}/${route.resource?.name}`}
                  route={route}
                />
              ))}
              {leftOut > 0 && <p className="quiet">{leftOut} more routes are not shown.</p>}
            </>
          )
        }}
      </Shown>
      <Commands
        lines={[`kubectl get httproute,grpcroute ${where}`, `conduit routes svc ${where}`, "conduit check"]}
      />
    </>
  )
}

function RouteSection({ route: { resource, parents, conditions, rules } }: { readonly route: GatewayRoute }) {
  const faults = conditions.filter(({ well }) => !well)
  return (
    <section>
      <div className="section-head">
        <h2>
          <span className="quiet">
            <Name>{resource?.namespace ?? ""}</Name>/
          </span>
          <Name>{resource?.name ?? ""}</Name> <span className="tag">{plain(resource?.kind ?? "")}</span>
        </h2>
        <span className="quiet">
          for{" "}
          <Name>{[...new Set(parents.map(({ namespace, name }) => `${name}.${namespace}`))].join(", ")}</Name>
        </span>
      </div>
      {faults.map(({ parent, type, reason, message }) => (
        <p key={`${parent} ${type} ${reason}`} className="notice degraded">
          <LevelMark level="degraded" word={false} />{" "}
          <strong>
            {plain(type)}: {plain(reason)}
          </strong>{" "}
          {plain(message)}
        </p>
      ))}
      {rules.map(rule => (
        <Rule key={rule.name} rule={rule} />
      ))}
    </section>
  )
}

const BACKENDS: readonly Column<GatewayBackend>[] = [
  {
    ...{ id: "backend", title: "Backend" },
    cell: ({ service, port }) => (
      <Name>{`${service?.name}.${service?.namespace}${port === 0 ? "" : `:${port}`}`}</Name>
    ),
  },
  { ...{ id: "share", title: "Share" }, cell: backend => <Share of={backend} /> },
  { ...{ id: "weight", title: "Weight", right: true, minor: true }, cell: ({ weight }) => weight },
  ...httpColumns<GatewayBackend>(({ http }) => http),
]

function Rule({ rule: { name, matches, backends } }: { readonly rule: GatewayRule }) {
  return (
    <div className="rule">
      <p>
        <strong>
          <Name>{name}</Name>
        </strong>{" "}
        <span className="quiet">
          {matches.length === 0 ? "all that comes" : matches.map(plain).join("; or ")}
        </span>
      </p>
      <Table
        caption={`Backends of ${plain(name)}`}
        columns={BACKENDS}
        rows={backends}
        rowKey={({ service, port }) => `${service?.namespace}/${service?.name}:${port}`}
        empty={<p className="quiet">It answers by itself: no backend.</p>}
      />
    </div>
  )
}

/** The share that a backend has as a bar, and where its weight wants it to end as a line. */
function Share({ of: { wanted, actual } }: { readonly of: GatewayBackend }) {
  return (
    <div className="share-bar">
      <svg viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">
        <rect className="ground" width="100" height="14" />
        {actual !== undefined && <rect className="actual" width={actual * 100} height="14" />}
        <line className="wanted" x1={wanted * 100} x2={wanted * 100} y1="0" y2="14" />
      </svg>
      <span>
        {actual === undefined ? "no traffic" : wholePercent(actual)}{" "}
        <span className="quiet">of {wholePercent(wanted)}</span>
      </span>
    </div>
  )
}

/** Shares of traffic move: tenths say nothing. */
function wholePercent(share: number): string {
  return `${Math.round(share * 100)} %`
}
