// The graph of who calls whom: workloads as nodes, namespaces around them or in their place, calls of two nodes as one.
import type { HttpFigures } from "../../../../protos/mod.ts"
import { count } from "../mesh/format.ts"
import { keyOf, type Mesh, type Workload } from "../mesh/mesh.ts"
import { type Level, levelOf } from "../mesh/trouble.ts"

/** A node: a workload, or a namespace that is collapsed. */
export interface PictureNode {
  readonly id: string
  readonly name: string
  readonly namespace: string
  /** What is shown beside the name: `deployment`, or how many workloads are within. */
  readonly about: string
  readonly workload: Workload | null
  readonly level: Level
  readonly rps: number | undefined
  readonly success: number | undefined
  readonly collapsed: boolean
}

/** Calls from one node to another. */
export interface PictureEdge {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly rps: number
  readonly success: number | undefined
  readonly level: Level
  readonly secured: boolean
  /** Why it is not secured; empty where it is. */
  readonly reason: string
  /** Only bytes are counted. */
  readonly tcpOnly: boolean
}

/** What is drawn. */
export interface Picture {
  readonly nodes: readonly PictureNode[]
  readonly edges: readonly PictureEdge[]
}

/** Draws the mesh. @param collapsed  namespaces that are one node @param only  the namespace that is shown, and its neighbours */
export function pictureOf(mesh: Mesh, collapsed: ReadonlySet<string>, only: string): Picture {
  const plane = new Set(mesh.plane.map(({ key }) => key))
  const calls = mesh.calls.filter(
    ({ edge, fromKey, toKey }) =>
      !plane.has(fromKey) &&
      !plane.has(toKey) &&
      (only === "" || edge.from?.namespace === only || edge.to?.namespace === only),
  )
  const nodes = new Map<string, PictureNode>()
  const idOf = (key: string, namespace: string): string =>
    collapsed.has(namespace) ? `namespace ${namespace}` : key
  const add = (key: string): string => {
    const [namespace = "", kind = "", ...rest] = key.split("/")
    const workload = mesh.byKey.get(key) ?? null
    const id = idOf(key, namespace)
    if (nodes.has(id)) return id
    nodes.set(
      id,
      collapsed.has(namespace)
        ? namespaceNode(mesh, namespace, id)
        : {
            ...{ id, namespace, workload, name: rest.join("/"), about: kind, collapsed: false },
            level: levelOf(workload?.http),
            rps: workload?.http?.rps,
            success: workload?.http?.success,
          },
    )
    return id
  }
  for (const { key, namespace } of mesh.workloads) if (only === "" || namespace === only) add(key)
  const sums = new Map<string, { from: string; to: string; of: (typeof calls)[number]["edge"][] }>()
  for (const { edge } of calls) {
    const [from, to] = [add(keyOf(edge.from)), add(keyOf(edge.to))]
    if (from === to) continue
    const id = `${from} → ${to}`
    const sum = sums.get(id) ?? { from, to, of: [] }
    sum.of.push(edge)
    sums.set(id, sum)
  }
  const edges = [...sums].map(([id, { from, to, of }]): PictureEdge => {
    const https = of.flatMap(({ http }) => http ?? [])
    const plaintext = of.filter(({ secured }) => !secured)
    const http = added(https)
    return {
      ...{ id, from, to, level: levelOf(http), success: http?.success },
      rps:
        https.reduce((sum, { rps }) => sum + rps, 0) + of.reduce((sum, { calledRps }) => sum + calledRps, 0),
      secured: plaintext.length === 0,
      reason: [...new Set(plaintext.map(({ reason }) => reason))].join("; "),
      tcpOnly: https.length === 0 && of.every(({ calledRps }) => calledRps === 0),
    }
  })
  return { nodes: [...nodes.values()].sort((a, b) => (a.id < b.id ? -1 : 1)), edges }
}

function namespaceNode(mesh: Mesh, namespace: string, id: string): PictureNode {
  const own = mesh.workloads.filter(one => one.namespace === namespace)
  const levels = own.map(({ http }) => levelOf(http))
  const http = added(own.flatMap(({ http: figures }) => figures ?? []))
  return {
    ...{
      id,
      namespace,
      name: namespace,
      about: count(own.length, "workload"),
      workload: null,
      collapsed: true,
    },
    level: (["failing", "degraded", "well"] as const).find(level => levels.includes(level)) ?? "idle",
    rps: http?.rps,
    success: http?.success,
  }
}

/** Figures in sum, without latencies; undefined for none. */
function added(all: readonly HttpFigures[]): HttpFigures | undefined {
  const [first] = all
  if (first === undefined) return undefined
  const responses = all.reduce((sum, one) => sum + one.responses, 0n)
  const failures = all.reduce((sum, one) => sum + one.failures, 0n)
  const success = responses === 0n ? 1 : Number(responses - failures) / Number(responses)
  return { ...first, responses, failures, success, rps: all.reduce((sum, { rps }) => sum + rps, 0) }
}
