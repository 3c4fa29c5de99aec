// Stat of names that requests bear: the authorities that were called, and the routes that were met. No pod stands behind a
// name, so there are none to count; a name is in the namespace of what was called.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code } from "@connectrpc/connect"
import type { ResourceSelector, StatRequest, StatRowSchema } from "../../protos/mod.ts"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import {
  calledBy,
  compareResources,
  isSelected,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  type Selection,
  select,
} from "../resources/mod.ts"
import { apiError, invalid } from "../rpc/mod.ts"
import { FigureSum, type TelemetryQueries } from "../telemetry/mod.ts"
import { figuresOf } from "./figures.ts"
import { routeFigures, routesOf, servicesOf } from "./routes.ts"

/** Kinds of names. */
export const AUTHORITY = "authority"
export const ROUTE = "route"

type Row = MessageInitShape<typeof StatRowSchema>

/** Whether a kind is one of names. */
export function isNameKind(kind: string): boolean {
  return kind === AUTHORITY || kind === ROUTE
}

/**
 * Rows of authorities or routes, ordered.
 *
 * @throws ConnectError InvalidArgument for labels, which names have none of; NotFound for a name that nothing bore within the
 *   window; what else cannot be selected, or when telemetry cannot be asked
 */
export async function statNames(
  store: ClusterStore,
  queries: TelemetryQueries,
  request: StatRequest,
  target: ResourceSelector,
  windowMs: number,
): Promise<Row[]> {
  if (target.labelSelector !== "") {
    const sentence = `target.label_selector chooses by labels, and names such as ${target.kind === ROUTE ? "routes" : "authorities"} have none; choose by from or to`
    throw invalid("CONTRADICTION", "target.label_selector", sentence)
  }
  const ends = {
    from: request.from === undefined ? null : select(store, request.from, "from"),
    to: request.to === undefined ? null : select(store, request.to, "to"),
  }
  const rows = await (target.kind === ROUTE ? routeRows : authorityRows)(
    store,
    queries,
    target,
    ends,
    windowMs,
  )
  if (target.name === "") return rows
  const named = rows.filter(({ resource }) => resource?.name === target.name)
  if (named.length > 0) return named
  const where = target.namespace === "" ? "" : ` in namespace "${target.namespace}"`
  const sentence = `${target.kind} "${target.name}" was not seen within the window${where}`
  throw apiError(Code.NotFound, sentence, { reason: "NOT_KNOWN", field: "target.name" })
}

interface Ends {
  readonly from: Selection | null
  readonly to: Selection | null
}

async function routeRows(
  store: ClusterStore,
  queries: TelemetryQueries,
  { namespace }: ResourceSelector,
  { from, to }: Ends,
  windowMs: number,
): Promise<Row[]> {
  const services =
    to === null
      ? select(
          store,
          { namespace, kind: "service", name: "", labelSelector: "" } as ResourceSelector,
          "target",
        ).resources
      : servicesOf(store, to)
  const found = await routesOf(store, queries, services, from, windowMs)
  return found.map(({ route, service, sum }) => {
    return {
      resource: { namespace: service.namespace, kind: ROUTE, name: route },
      service,
      ...routeFigures(sum),
      retriesRps: sum?.retriesRps() ?? 0,
    }
  })
}

async function authorityRows(
  store: ClusterStore,
  queries: TelemetryQueries,
  { namespace }: ResourceSelector,
  { from, to }: Ends,
  windowMs: number,
): Promise<Row[]> {
  // Who is called counts what came, by whatever name; callers alone know which Service they meant, and what is outside.
  const byCallers = from !== null || to?.kind === "service"
  const { INBOUND, OUTBOUND } = telemetryQueryV1.Direction
  const { traffic } = await queries.traffic(windowMs, byCallers ? OUTBOUND : INBOUND, true)
  const names = new Map<string, { readonly resource: ResourceName; readonly sum: FigureSum }>()
  for (const row of traffic) {
    const { reporter } = row
    // Connections outside into which nobody looks are known by the host of their TLS alone.
    const authority = row.authority || row.host
    if (reporter === undefined || authority === "") continue
    const outside = row.host !== ""
    const of = byCallers ? (row.dst?.namespace ?? "") : reporter.namespace
    if (to === null && namespace !== "" && of !== namespace && !outside) continue
    if (from !== null && !isSelected(from, resourcesOfName(store, reporter, from.kind))) continue
    const called =
      to === null ? [] : byCallers ? calledBy(store, row, to.kind) : resourcesOfName(store, reporter, to.kind)
    if (to !== null && !isSelected(to, called)) continue
    const resource = { namespace: of, kind: AUTHORITY, name: authority }
    const key = resourceKey(resource)
    const known = names.get(key) ?? { resource, sum: new FigureSum() }
    names.set(key, known)
    // Connections are of no authority, unless that is all that is known of what they lead to.
    known.sum.add(outside ? row : { ...row, hasTcp: false, open: 0n, readBytes: 0, writeBytes: 0 })
  }
  return [...names.values()]
    .map(({ resource, sum }) => ({ resource, ...figuresOf(sum) }))
    .filter(({ http, tcp }) => http !== undefined || tcp !== undefined)
    .sort((a, b) => compareResources(a.resource, b.resource))
}
