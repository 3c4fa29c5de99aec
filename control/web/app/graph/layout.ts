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
export const NODE = { width: 196, height: 76 } as const

/** Room for the figures of calls between nodes. */
const SPACING = { "elk.layered.spacing.nodeNodeBetweenLayers": "36", "elk.spacing.nodeNode": "30" } as const

let elk: InstanceType<typeof ELK> | null = null

/** A point of the plane. */
export interface Point {
  readonly x: number
  readonly y: number
}

/** Where everything stands. */
export interface Layout {
  readonly nodes: ReadonlyMap<string, Placed>
  /** The way of each edge around the nodes, from its caller to its called side. */
  readonly ways: ReadonlyMap<string, readonly Point[]>
  /** Middle of the label of each edge. */
  readonly labels: ReadonlyMap<string, Point>
}

/** Room for a rate. */
const LABEL = { width: 72, height: 26 } as const

/** Lays nodes out from caller to called. */
export async function layOut(
  direction: "RIGHT" | "DOWN",
  boxes: readonly Box[],
  edges: readonly { readonly id: string; readonly from: string; readonly to: string }[],
): Promise<Layout> {
  elk ??= new ELK({ workerUrl: new URL(workerUrl, window.location.origin).href })
  const groups = [...new Set(boxes.flatMap(({ group }) => group ?? []))]
  const node = ({ id }: Box): ElkNode => ({ id, ...NODE })
  const graph: ElkNode = {
    id: "root",
    layoutOptions: {
      "elk.algorithm": "layered",
      "elk.direction": direction,
      "elk.hierarchyHandling": "INCLUDE_CHILDREN",
      "elk.edgeRouting": "ORTHOGONAL",
      "elk.json.edgeCoords": "ROOT",
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
    edges: edges.map(({ id, from, to }) => ({
      ...{ id, sources: [from], targets: [to] },
      labels: [{ id: `label ${id}`, text: id, ...LABEL, layoutOptions: { "elk.edgeLabels.inline": "true" } }],
    })),
  }
  const done = await elk.layout(graph)
  const placed = new Map<string, Placed>()
  const take = ({ id, x = 0, y = 0, width = 0, height = 0, children = [] }: ElkNode): void => {
    placed.set(id, { x, y, width, height })
    for (const child of children) take(child)
  }
  for (const child of done.children ?? []) take(child)
  const ways = new Map<string, readonly Point[]>()
  const labels = new Map<string, Point>()
  for (const { id, sections = [], labels: [label] = [] } of done.edges ?? []) {
    const [section] = sections
    if (section !== undefined)
      ways.set(id, [section.startPoint, ...(section.bendPoints ?? []), section.endPoint])
    const { x = 0, y = 0 } = label ?? {}
    labels.set(id, { x: x + LABEL.width / 2, y: y + LABEL.height / 2 })
  }
  return { nodes: placed, ways, labels }
}

/** Smallest part of the plane that is shown at first, pixels: a few nodes are not blown up. */
const LEAST = { width: 860, height: 520 } as const

/** What a layout takes of the plane, ways around nodes and their labels too. */
export function boundsOf({ nodes, ways, labels }: Layout): Placed {
  // Nodes within a group are within its place.
  const corners = [...nodes].flatMap(([id, { x, y, width, height }]) =>
    id.startsWith("group ") || ![...nodes.keys()].some(one => one.startsWith("group "))
      ? [
          { x, y },
          { x: x + width, y: y + height },
        ]
      : [],
  )
  const ends = [...labels.values()].flatMap(({ x, y }) => [
    { x: x - LABEL.width / 2, y },
    { x: x + LABEL.width / 2, y },
  ])
  const points = [...corners, ...ends, ...[...ways.values()].flat()]
  const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)]
  const span = (of: number[], least: number): readonly [number, number] => {
    const [from, to] = [Math.min(...of), Math.max(...of)]
    const size = Math.max(least, to - from)
    return [(from + to - size) / 2, size]
  }
  const least = Math.min(LEAST.width, window.innerWidth)
  const [[x, width], [y, height]] = [span(xs, least), span(ys, LEAST.height)]
  return { x, y, width, height }
}

/** A way as a path of SVG, its corners rounded. */
export function pathOf(way: readonly Point[], radius = 10): string {
  const [first] = way
  if (first === undefined) return ""
  let path = `M${first.x} ${first.y}`
  for (let index = 1; index < way.length; index++) {
    const [before, at, after] = [way[index - 1], way[index], way[index + 1]]
    if (before === undefined || at === undefined) continue
    if (after === undefined) {
      path += `L${at.x} ${at.y}`
      continue
    }
    const [into, out] = [towards(at, before, radius), towards(at, after, radius)]
    path += `L${into.x} ${into.y}Q${at.x} ${at.y} ${out.x} ${out.y}`
  }
  return path
}

/** The point that lies up to `length` from one towards another, and never past the half of the way. */
function towards(from: Point, to: Point, length: number): Point {
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const whole = Math.hypot(dx, dy)
  const share = whole === 0 ? 0 : Math.min(length, whole / 2) / whole
  return { x: from.x + dx * share, y: from.y + dy * share }
}
