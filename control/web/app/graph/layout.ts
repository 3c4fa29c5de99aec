// Where things stand in the graph. A layout is made anew only when what is shown changes, not when figures do, and what
// stood there before stays near where it was.
import type { ElkNode } from "elkjs"
import ELK from "elkjs/lib/elk-api.js"
// The layout runs beside the page, in a worker of its own.
import workerUrl from "elkjs/lib/elk-worker.min.js" with { type: "file" }

/** A node that is laid out. */
export interface Box {
  readonly id: string
  /** Namespace around it; null for one that stands alone. */
  readonly group: string | null
}

/** Place and size of a node; of one within a group, from the group's corner. */
export interface Placed {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

/** Size of a node. */
export const NODE = { width: 190, height: 72 } as const

/** Room for the figures of calls between nodes. */
const SPACING = { "elk.layered.spacing.nodeNodeBetweenLayers": "110", "elk.spacing.nodeNode": "30" } as const

let elk: InstanceType<typeof ELK> | null = null

/** Lays nodes out from caller to called. */
export async function layOut(
  boxes: readonly Box[],
  edges: readonly { readonly id: string; readonly from: string; readonly to: string }[],
): Promise<ReadonlyMap<string, Placed>> {
  elk ??= new ELK({ workerUrl: new URL(workerUrl, window.location.origin).href })
  const groups = [...new Set(boxes.flatMap(({ group }) => group ?? []))]
  const node = ({ id }: Box): ElkNode => ({ id, ...NODE })
  const graph: ElkNode = {
    id: "root",
    layoutOptions: {
      "elk.algorithm": "layered",
      "elk.direction": "RIGHT",
      "elk.hierarchyHandling": "INCLUDE_CHILDREN",
      ...SPACING,
      "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
      "elk.spacing.componentComponent": "48",
    },
    children: [
      ...boxes.filter(({ group }) => group === null).map(node),
      ...groups.map(group => ({
        id: `group ${group}`,
        layoutOptions: { ...SPACING, "elk.padding": "[top=48,left=20,bottom=20,right=20]" },
        children: boxes.filter(box => box.group === group).map(node),
      })),
    ],
    edges: edges.map(({ id, from, to }) => ({ id, sources: [from], targets: [to] })),
  }
  const done = await elk.layout(graph)
  const placed = new Map<string, Placed>()
  const take = ({ id, x = 0, y = 0, width = 0, height = 0, children = [] }: ElkNode): void => {
    placed.set(id, { x, y, width, height })
    for (const child of children) take(child)
  }
  for (const child of done.children ?? []) take(child)
  return placed
}
