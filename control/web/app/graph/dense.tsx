// A graph of so many calls that all of them at once say nothing: they are drawn faintly, and those of the node that is
// pointed at, focused or looked for stand out, with their rates.
import {
  Background,
  Controls,
  type Node as FlowNode,
  Handle,
  type NodeProps,
  Position,
  ReactFlow,
  ViewportPortal,
} from "@xyflow/react"
import { memo, useDeferredValue, useMemo, useRef, useState } from "react"
import { plain, rate } from "../mesh/format.ts"
import { usePlace, useSetPlace } from "../mesh/live.ts"
import { LevelMark } from "../parts/level.tsx"
import { Name } from "../parts/name.tsx"
import { bowOf, inBlocks, middleOf } from "./blocks.ts"
import type { Box } from "./layout.ts"
import { nodeIdAt, opensByKey } from "./node_focus.ts"
import type { Picture, PictureEdge, PictureNode } from "./picture.ts"

/** Most rates that are written beside the calls of one node: more would lie on each other. */
const MAX_LABELS = 40

type SmallFlowNode = FlowNode<{ readonly node: PictureNode; readonly dim: boolean }, "workload">
type GroupFlowNode = FlowNode<{ readonly name: string }, "namespace">

/** The graph. */
export function DenseGraph({
  picture: { nodes, edges },
  open,
}: {
  readonly picture: Picture
  readonly open: (node: PictureNode) => void
}) {
  const { q = "" } = usePlace()
  const setPlace = useSetPlace()
  const [pointed, setPointed] = useState<string | null>(null)
  const chosen = useDeferredValue(pointed)
  const shape = nodes.map(({ id }) => id).join("\n")
  // biome-ignore lint/correctness/useExhaustiveDependencies: figures change every second, and move nothing
  const [layout, middles, ways] = useMemo(() => {
    const boxes = nodes.map(
      ({ id, namespace, collapsed }): Box => ({ id, group: collapsed ? null : namespace }),
    )
    const done = inBlocks(boxes, Math.max(0.6, (window.innerWidth - 300) / 640))
    const middles = new Map(boxes.map(box => [box.id, middleOf(done, box)]))
    return [done, middles, new Map<string, ReturnType<typeof bowOf> | null>()]
  }, [shape])
  const word = q.toLowerCase()
  const found = new Set(
    word === "" ? [] : nodes.flatMap(({ id }) => (id.toLowerCase().includes(word) ? [id] : [])),
  )
  const lit = chosen !== null ? new Set([chosen]) : found
  const bright = edges.filter(({ from, to }) => lit.has(from) || lit.has(to))
  const near = new Set(bright.flatMap(({ from, to }) => [from, to]))
  const groups = [...new Set(nodes.flatMap(({ collapsed, namespace }) => (collapsed ? [] : [namespace])))]
  const flow = useUnchanged([
    ...groups.flatMap((name): GroupFlowNode[] => {
      const place = layout.nodes.get(`group ${name}`)
      if (place === undefined) return []
      const { x, y, width, height } = place
      const fixed = { selectable: false, focusable: false, zIndex: -1 }
      return [
        {
          ...{ id: `group ${name}`, type: "namespace", position: { x, y }, data: { name } },
          ...{ width, height, ...fixed },
        },
      ]
    }),
    ...nodes.flatMap((node): SmallFlowNode[] => {
      const place = layout.nodes.get(node.id)
      if (place === undefined) return []
      const { x, y, width, height } = place
      const dim = (lit.size > 0 || word !== "") && !near.has(node.id) && !lit.has(node.id)
      return [
        {
          ...{ id: node.id, type: "workload", position: { x, y }, data: { node, dim }, width, height },
          ...(node.collapsed ? {} : { parentId: `group ${node.namespace}` }),
          ariaLabel: `${plain(node.namespace)}/${plain(node.name)}, ${node.level}`,
        },
      ]
    }),
  ])
  const wayOf = ({ id, from, to }: PictureEdge) => {
    const [a, b] = [middles.get(from), middles.get(to)]
    const way = ways.get(id) ?? (a === undefined || b === undefined ? null : bowOf(a, b))
    ways.set(id, way)
    return way
  }
  return (
    <>
      <div className="form-row">
        <label>
          <span className="hidden">Light up workloads that bear these letters</span>
          <input
            type="search"
            placeholder="Find a workload  ( / )"
            value={q}
            onChange={({ target }) => setPlace({ q: target.value })}
          />
        </label>
        <p className="quiet">
          {edges.length} calls between {nodes.length} nodes. Point at one, or find it, to see its calls.
        </p>
      </div>
      {/* biome-ignore lint/a11y/noStaticElementInteractions: it hears its nodes' focus and keys, and takes none */}
      <div
        className={lit.size > 0 ? "graph dense lit" : "graph dense"}
        onFocus={({ target }) => setPointed(nodeIdAt(target))}
        onBlur={() => setPointed(null)}
        onKeyDown={opensByKey(nodes, open)}
      >
        <ReactFlow
          nodes={flow}
          edges={[]}
          nodeTypes={NODE_TYPES}
          nodesDraggable={false}
          nodesConnectable={false}
          elementsSelectable={false}
          minZoom={0.1}
          fitView
          fitViewOptions={{ padding: 0.04, maxZoom: 0.8 }}
          proOptions={{ hideAttribution: true }}
          preventScrolling={false}
          onNodeClick={(_event, { data }) => {
            const { node } = data as { node?: PictureNode }
            if (node !== undefined) open(node)
          }}
          onNodeMouseEnter={(_event, { id }) => setPointed(id)}
          onNodeMouseLeave={() => setPointed(null)}
        >
          <ViewportPortal>
            <svg className="calls" aria-hidden="true">
              {CLASSES.map(kind => (
                <path
                  key={kind}
                  className={`call faint ${kind}`}
                  d={edges
                    .flatMap(edge => (classOf(edge) === kind ? (wayOf(edge)?.path ?? []) : []))
                    .join("")}
                />
              ))}
              {bright.map(edge => (
                <path key={edge.id} className={`call bright ${classOf(edge)}`} d={wayOf(edge)?.path ?? ""} />
              ))}
            </svg>
            {bright.length <= MAX_LABELS &&
              bright.map(edge => {
                const { label } = wayOf(edge) ?? {}
                return (
                  label !== undefined && (
                    <span
                      key={edge.id}
                      className={`call-label ${edge.level}`}
                      style={{ transform: `translate(-50%, -50%) translate(${label.x}px, ${label.y}px)` }}
                    >
                      {edge.tcpOnly ? "TCP" : rate(edge.rps)}
                    </span>
                  )
                )
              })}
          </ViewportPortal>
          <Background gap={24} />
          <Controls showInteractive={false} />
        </ReactFlow>
      </div>
    </>
  )
}

/** Nodes as they were before where nothing of them that is drawn has changed: those are not drawn anew. */
function useUnchanged(nodes: readonly (SmallFlowNode | GroupFlowNode)[]): (SmallFlowNode | GroupFlowNode)[] {
  const known = useRef(new Map<string, SmallFlowNode | GroupFlowNode>())
  const kept = nodes.map(one => {
    const before = known.current.get(one.id)
    return before !== undefined && isDrawnAlike(before, one) ? before : one
  })
  known.current = new Map(kept.map(one => [one.id, one]))
  return kept
}

function isDrawnAlike(a: SmallFlowNode | GroupFlowNode, b: SmallFlowNode | GroupFlowNode): boolean {
  if (a.position.x !== b.position.x || a.position.y !== b.position.y || a.width !== b.width) return false
  if (a.type !== "workload" || b.type !== "workload") return a.height === b.height
  const [was, is] = [a.data.node, b.data.node]
  return was.level === is.level && was.collapsed === is.collapsed && a.data.dim === b.data.dim
}

const LEVELS = ["idle", "well", "degraded", "failing"] as const
const CLASSES = LEVELS.flatMap(level => [level, `${level} plaintext`])

function classOf({ level, secured }: PictureEdge): string {
  return secured ? level : `${level} plaintext`
}

const SmallNode = memo(function SmallNode({ data: { node, dim } }: NodeProps<SmallFlowNode>) {
  return (
    <div className={`node ${node.level}${node.collapsed ? " collapsed" : ""}${dim ? " dim" : ""}`}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <p className="node-name">
        <LevelMark level={node.level} word={false} />
        <Name>{node.name}</Name>
      </p>
    </div>
  )
})

function NamespaceNode({ data: { name } }: NodeProps<GroupFlowNode>) {
  return (
    <div className="node-group">
      <Name>{name}</Name>
    </div>
  )
}

const NODE_TYPES = { workload: SmallNode, namespace: NamespaceNode }
