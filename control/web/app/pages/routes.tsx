// Traffic per route: what callers saw, and what was sent for it, retries included.
import { useQuery } from "@connectrpc/connect-query"
import { keepPreviousData } from "@tanstack/react-query"
import { ApiService, type RouteRow } from "../../../../protos/mod.ts"
import { percent, rate } from "../mesh/format.ts"
import { useLive, usePlace } from "../mesh/live.ts"
import { Commands, shellWord } from "../parts/commands.tsx"
import { httpColumns, PageHead } from "../parts/figures.tsx"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Filters, NothingFits, Table, useFilter } from "../parts/table.tsx"

/** Fewer retries a second than this are the noise of two counters that are not read at once. */
const NOISE_RPS = 0.01

const COLUMNS: readonly Column<RouteRow>[] = [
  {
    ...{ id: "service", title: "Service" },
    cell: ({ service }) => <Name>{service?.name ?? ""}</Name>,
    by: row => row.service?.name,
  },
  {
    ...{ id: "namespace", title: "Namespace", minor: true },
    cell: ({ service }) => <Name>{service?.namespace ?? ""}</Name>,
    by: row => row.service?.namespace,
  },
  { ...{ id: "route", title: "Route" }, cell: ({ route }) => <Name>{route}</Name>, by: row => row.route },
  ...httpColumns<RouteRow>(row => row.http),
  {
    ...{ id: "actual", title: "Success as sent", right: true, minor: true },
    cell: ({ actual }) => percent(actual?.success),
    by: row => row.actual?.success,
  },
  {
    ...{ id: "retries", title: "Retries", right: true, minor: true },
    cell: row => rate(retriesOf(row)),
    by: retriesOf,
  },
]

function retriesOf({ http, actual }: RouteRow): number | undefined {
  if (http === undefined || actual === undefined) return undefined
  const more = actual.rps - http.rps
  return more < NOISE_RPS ? 0 : more
}

/** The table of routes. */
export function RoutesPage() {
  const { windowMs, every } = useLive()
  const { ns = "" } = usePlace()
  const fits = useFilter()
  const routes = useQuery(
    ApiService.method.routes,
    { target: { kind: "service" }, windowMs },
    { refetchInterval: every, placeholderData: keepPreviousData },
  )
  return (
    <>
      <PageHead title="Routes">
        Rules of HTTPRoute and GRPCRoute, as callers saw them and as they were sent; “default” is what met
        none.
      </PageHead>
      <Shown of={routes} what="routes">
        {({ rows }) => {
          const withTraffic = rows.filter(({ route, http }) => route !== "default" || http !== undefined)
          if (withTraffic.length === 0)
            return (
              <Empty title="No route has had traffic">
                <p>
                  Requests to Services are counted here by the route that they met. A longer time may show
                  some.
                </p>
              </Empty>
            )
          const names = [...new Set(withTraffic.map(({ service }) => service?.namespace ?? ""))].sort()
          return (
            <>
              <Filters namespaces={names} what="routes" />
              <Table
                caption="Routes"
                columns={COLUMNS}
                rows={withTraffic.filter(({ route, service }) =>
                  fits(service?.namespace ?? "", `${service?.name} ${route}`),
                )}
                rowKey={({ route, service }) => `${service?.namespace}/${service?.name} ${route}`}
                sortedBy="service"
                sortable
                empty={<NothingFits />}
              />
            </>
          )
        }}
      </Shown>
      <Commands
        lines={[
          `conduit routes svc ${ns === "" ? "-A" : `-n ${shellWord(ns)}`}`,
          `kubectl get httproute,grpcroute ${ns === "" ? "-A" : `-n ${shellWord(ns)}`}`,
        ]}
      />
    </>
  )
}
