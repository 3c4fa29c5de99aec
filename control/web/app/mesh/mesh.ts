// The mesh as all pages see it: workloads with their figures, and who calls whom.
import type { Edge, HttpFigures, Resource, StatRow, TcpFigures } from "../../../../protos/mod.ts"

/** A Deployment, or what else keeps pods. */
export interface Workload {
  /** `namespace/kind/name`. */
  readonly key: string
  readonly namespace: string
  readonly kind: string
  readonly name: string
  readonly meshed: number
  readonly total: number
  readonly http: HttpFigures | undefined
  readonly tcp: TcpFigures | undefined
}

/** One workload calls another; edges of several identities are told apart by the API, and here. */
export interface Call {
  readonly from: Workload | null
  readonly to: Workload | null
  readonly fromKey: string
  readonly toKey: string
  readonly edge: Edge
}

/** The mesh at one moment. */
export interface Mesh {
  /** Workloads of applications, ordered by namespace and name. */
  readonly workloads: readonly Workload[]
  /** The control plane's own. */
  readonly plane: readonly Workload[]
  readonly calls: readonly Call[]
  readonly byKey: ReadonlyMap<string, Workload>
  readonly namespaces: readonly string[]
  /** When the figures came, milliseconds since 1970. */
  readonly updatedAtMs: number
}

/** Kinds that keep pods and serve. */
export const KINDS = ["deployment", "statefulset", "daemonset"] as const

/** Key of a resource. */
export function keyOf(resource: Resource | undefined): string {
  return resource === undefined ? "" : `${resource.namespace}/${resource.kind}/${resource.name}`
}

/** Puts the answers together. */
export function meshOf(rows: readonly StatRow[], edges: readonly Edge[], updatedAtMs: number): Mesh {
  const all = rows.map(workloadOf).sort((a, b) => (a.key < b.key ? -1 : 1))
  const planes = planeNamespaces(all)
  const workloads = all.filter(({ namespace }) => !planes.has(namespace))
  const byKey = new Map(all.map(one => [one.key, one]))
  const calls = edges.map(edge => {
    const [fromKey, toKey] = [keyOf(edge.from), keyOf(edge.to)]
    return { from: byKey.get(fromKey) ?? null, to: byKey.get(toKey) ?? null, fromKey, toKey, edge }
  })
  return {
    workloads,
    plane: all.filter(({ namespace }) => planes.has(namespace)),
    calls,
    byKey,
    namespaces: [...new Set(workloads.map(({ namespace }) => namespace))],
    updatedAtMs,
  }
}

function workloadOf({ resource, meshedPods, totalPods, http, tcp }: StatRow): Workload {
  const { namespace = "", kind = "", name = "" } = resource ?? {}
  return { key: keyOf(resource), namespace, kind, name, meshed: meshedPods, total: totalPods, http, tcp }
}

/** Where a control plane runs: its API and what tells proxies where things are, together. */
function planeNamespaces(all: readonly Workload[]): ReadonlySet<string> {
  const has = (namespace: string, name: string) =>
    all.some(one => one.namespace === namespace && one.name === name)
  const namespaces = [...new Set(all.map(({ namespace }) => namespace))]
  return new Set(namespaces.filter(one => has(one, "conduit-api") && has(one, "conduit-destination")))
}
