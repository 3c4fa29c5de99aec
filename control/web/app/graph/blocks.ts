// Where things stand in a graph that is too dense to be laid out by its calls: each namespace is a block of its workloads in
// rows, by name. It takes no time, and nothing ever moves but for what comes and goes.
import type { Box, Layout, Placed, Point } from "./layout.ts"

/** More calls than this are not laid out one by one: the engine takes 8 s for 200, and minutes for 1,000. */
export const MAX_LAID_OUT_CALLS = 120
/** Nodes that each have more calls than this are a knot, however they are laid out; few calls are none. */
const MAX_CALLS_A_NODE = 4
const FEW_CALLS = 40

/** Whether a graph is drawn in blocks, with the calls of one node at a time. */
export function isDense(nodes: number, calls: number): boolean {
  return calls > MAX_LAID_OUT_CALLS || (calls > FEW_CALLS && calls > MAX_CALLS_A_NODE * nodes)
}

/** Size of a node: its name alone. */
export const SMALL_NODE = { width: 196, height: 44 } as const
const GAP = { x: 18, y: 14 } as const
const PADDING = { top: 60, side: 20 } as const
const BLOCK_GAP = 60

interface Block {
  readonly name: string
  readonly own: readonly Box[]
  readonly columns: number
  readonly width: number
  readonly height: number
}

/** Lays nodes out in blocks, as large as they can be shown in a place that is `aspect` times as wide as high. */
export function inBlocks(boxes: readonly Box[], aspect: number): Layout {
  const byName = new Intl.Collator("en", { numeric: true })
  if (boxes.every(({ group }) => group === null))
    return inRing([...boxes].sort((a, b) => byName.compare(a.id, b.id)))
  const blocks = [...new Set(boxes.map(({ group }) => group ?? ""))].map((name): Block => {
    const own = boxes.filter(({ group }) => (group ?? "") === name)
    own.sort((a, b) => byName.compare(a.id, b.id))
    const columns = Math.max(1, Math.round(Math.sqrt(own.length / 2.2)))
    const rows = Math.ceil(own.length / columns)
    const width = columns * (SMALL_NODE.width + GAP.x) - GAP.x + 2 * PADDING.side
    const height = rows * (SMALL_NODE.height + GAP.y) - GAP.y + PADDING.top + PADDING.side
    return { name, own, columns, width, height }
  })
  let best = inRows(blocks, 1)
  for (let perRow = 2; perRow <= blocks.length; perRow++) {
    const other = inRows(blocks, perRow)
    if (shownSize(other, aspect) > shownSize(best, aspect)) best = other
  }
  return { nodes: best.nodes, ways: new Map(), labels: new Map() }
}

/** Room of a node on the ring, and how many times as wide as high the ring is. */
const [RING_STEP, RING_ASPECT] = [220, 1.8]

/** Nodes that no namespace is drawn around stand in a ring: no call passes behind a third one. */
function inRing(boxes: readonly Box[]): Layout {
  const high = (boxes.length * RING_STEP) / (Math.PI * (1 + RING_ASPECT))
  const nodes = boxes.map(({ id }, index): [string, Placed] => {
    const angle = (2 * Math.PI * index) / boxes.length - Math.PI / 2
    const [x, y] = [Math.cos(angle) * high * RING_ASPECT, Math.sin(angle) * high]
    return [id, { x: x - SMALL_NODE.width / 2, y: y - SMALL_NODE.height / 2, ...SMALL_NODE }]
  })
  return { nodes: new Map(nodes), ways: new Map(), labels: new Map() }
}

interface Rows {
  readonly nodes: ReadonlyMap<string, Placed>
  readonly width: number
  readonly height: number
}

function shownSize({ width, height }: Rows, aspect: number): number {
  return Math.min(aspect / width, 1 / height)
}

function inRows(blocks: readonly Block[], perRow: number): Rows {
  const nodes = new Map<string, Placed>()
  let [x, y, rowHeight, widest] = [0, 0, 0, 0]
  for (const [index, { name, own, columns, width, height }] of blocks.entries()) {
    if (index > 0 && index % perRow === 0) [x, y, rowHeight] = [0, y + rowHeight + BLOCK_GAP, 0]
    if (name !== "") nodes.set(`group ${name}`, { x, y, width, height })
    // Nodes of a block are placed from its corner; what stands alone is placed from the graph's.
    const [left, top] = name === "" ? [x, y] : [0, 0]
    for (const [index, { id }] of own.entries())
      nodes.set(id, {
        x: left + PADDING.side + (index % columns) * (SMALL_NODE.width + GAP.x),
        y: top + PADDING.top + Math.floor(index / columns) * (SMALL_NODE.height + GAP.y),
        ...SMALL_NODE,
      })
    widest = Math.max(widest, x + width)
    x += width + BLOCK_GAP
    rowHeight = Math.max(rowHeight, height)
  }
  return { nodes, width: widest, height: y + rowHeight }
}

/** The middle of a node, from the graph's corner. */
export function middleOf({ nodes }: Layout, { id, group }: Box): Point {
  const own = nodes.get(id) ?? { x: 0, y: 0, ...SMALL_NODE }
  const around = group === null ? undefined : nodes.get(`group ${group}`)
  return { x: own.x + own.width / 2 + (around?.x ?? 0), y: own.y + own.height / 2 + (around?.y ?? 0) }
}

/** A way from one middle to another, bent to the right of who goes it: back and forth are told apart. */
export function bowOf(from: Point, to: Point): { readonly path: string; readonly label: Point } {
  const [dx, dy] = [to.x - from.x, to.y - from.y]
  const bend = { x: (from.x + to.x) / 2 - dy * 0.12, y: (from.y + to.y) / 2 + dx * 0.12 }
  const path = `M${from.x.toFixed(0)} ${from.y.toFixed(0)}Q${bend.x.toFixed(0)} ${bend.y.toFixed(0)} ${to.x.toFixed(0)} ${to.y.toFixed(0)}`
  return { path, label: { x: (from.x + 2 * bend.x + to.x) / 4, y: (from.y + 2 * bend.y + to.y) / 4 } }
}
