// The topology: who calls whom, drawn. Figures move; what is drawn stays where it was.
import { useNavigate } from "@tanstack/react-router"
import {
  Background,
  BaseEdge,
  Controls,
  EdgeLabelRenderer,
  type EdgeProps,
  type Edge as FlowEdge,
  type Node as FlowNode,
  Handle,
  type NodeProps,
  Position,
  ReactFlow,
} from "@xyflow/react"
import "@xyflow/react/dist/base.css"
import "../style/graph.css"
import { useEffect, useMemo, useRef, useState } from "react"
import { percent, plain, rate } from "../mesh/format.ts"
import { usePlace, useSetPlace } from "../mesh/live.ts"
import type { Mesh } from "../mesh/mesh.ts"
import { useMesh } from "../mesh/mesh_answer.ts"
import type { Level } from "../mesh/trouble.ts"
import { Commands, shellWord } from "../parts/commands.tsx"
import { PageHead } from "../parts/figures.tsx"
import { LevelMark } from "../parts/level.tsx"
import { Name } from "../parts/name.tsx"
import { Empty, Shown } from "../parts/state.tsx"
import { type Column, Table } from "../parts/table.tsx"
import { Icon } from "../shell/icons.tsx"
import { inBlocks, isDense } from "./blocks.ts"
import { DenseGraph } from "./dense.tsx"
import { boundsOf, type Layout, layOut, type Placed, type Point, pathOf } from "./layout.ts"
import { opensByKey } from "./node_focus.ts"
import { type Picture, type PictureEdge, type PictureNode, pictureOf } from "./picture.ts"

/** On screens that are not as wide as this the graph goes down instead of right, pixels. */
const NARROW_PX = 700

/** Calls that the table shows before somebody asks for all. */
const SHOWN_CALLS = 100

/** From so many workloads on, namespaces are collapsed at first: more could not be read; on narrow screens fewer can. */
const COLLAPSE_FROM = 60
const COLLAPSE_NARROW_FROM = 8

type WorkloadFlowNode = FlowNode<{ readonly node: PictureNode }, "workload">
type GroupFlowNode = FlowNode<{ readonly name: string }, "namespace">
type CallFlowEdge = FlowEdge<
  { readonly edge: PictureEdge; readonly path: string; readonly label: Point },
  "call"
>

/** The page of the topology. */
export function TopologyPage() {
  const { mesh, error } = useMesh()
  return (
    <>
      <PageHead title="Topology">
        Who calls whom. Dashed calls are in plaintext; the table below says why.
      </PageHead>
      <Shown of={{ data: mesh, error }} what="calls">
        {found => <Topology mesh={found} />}
      </Shown>
    </>
  )
}

function Topology({ mesh }: { readonly mesh: Mesh }) {
  const { ns = "", collapsed: asked } = usePlace()
  const setPlace = useSetPlace()
  const navigate = useNavigate()
  const collapsed = useMemo(() => {
    if (asked !== undefined) return new Set(asked.split(",").filter(one => one !== "-"))
    const from = window.innerWidth < NARROW_PX ? COLLAPSE_NARROW_FROM : COLLAPSE_FROM
    return new Set(mesh.workloads.length >= from && ns === "" ? mesh.namespaces : [])
  }, [asked, ns, mesh.workloads.length, mesh.namespaces])
  const picture = useMemo(() => pictureOf(mesh, collapsed, ns), [mesh, collapsed, ns])
  const dense = isDense(picture.nodes.length, picture.edges.length)
  const toggle = (namespace: string): void => {
    const next = new Set(collapsed)
    if (!next.delete(namespace)) next.add(namespace)
    setPlace({ collapsed: [...next].sort().join(",") || "-" })
  }
  if (picture.nodes.length === 0)
    return (
      <Empty title="Nothing to draw">
        <p>No workload runs {ns === "" ? "yet" : `in namespace ${plain(ns)}`}.</p>
      </Empty>
    )
  return (
    <>
      <div className="form-row">
        <label>
          Namespace{" "}
          <select value={ns} onChange={({ target }) => setPlace({ ns: target.value })}>
            <option value="">All</option>
            {mesh.namespaces.map(one => (
              <option key={one} value={one}>
                {plain(one)}
              </option>
            ))}
          </select>
        </label>
        {mesh.namespaces.map(namespace => (
          <label key={namespace} className="check">
            <input type="checkbox" checked={!collapsed.has(namespace)} onChange={() => toggle(namespace)} />
            <Name>{namespace}</Name>
          </label>
        ))}
      </div>
      {dense ? <DenseGraph picture={picture} open={open} /> : <Graph picture={picture} open={open} />}
      <Legend />
      <CallTable edges={picture.edges} />
      <Commands lines={[`conduit edges deploy ${ns === "" ? "-A" : `-n ${shellWord(ns)}`} -o wide`]} />
    </>
  )

  function open(drawn: PictureNode): void {
    if (drawn.collapsed) toggle(drawn.namespace)
    else if (drawn.workload !== null) {
      const { namespace, kind, name } = drawn.workload
      void navigate({ to: "/deployments/$namespace/$kind/$name", params: { namespace, kind, name } })
    }
  }
}

/** The calls as a table: what is not well first, then what is not secured, then by name, so that rows stay where they are. */
function CallTable({ edges }: { readonly edges: readonly PictureEdge[] }) {
  const [all, setAll] = useState(false)
  const ordered = useMemo(() => [...edges].sort(byUrgency), [edges])
  const shown = all ? ordered : ordered.slice(0, SHOWN_CALLS)
  return (
    <section>
      <h2>The same as a table</h2>
      <Table
        caption="Calls"
        columns={CALLS}
        rows={shown}
        rowKey={({ id }) => id}
        empty={<p className="quiet">Nobody calls anybody in this time.</p>}
      />
      {shown.length < ordered.length && (
        <button type="button" className="ghost" onClick={() => setAll(true)}>
          {ordered.length - shown.length} more
        </button>
      )}
    </section>
  )
}

const URGENCY: readonly Level[] = ["failing", "degraded", "well", "idle"]

function byUrgency(a: PictureEdge, b: PictureEdge): number {
  const ill = (edge: PictureEdge): number => Math.min(2, URGENCY.indexOf(edge.level))
  return ill(a) - ill(b) || Number(a.secured) - Number(b.secured) || (a.id < b.id ? -1 : 1)
}

/** A graph whose calls are laid out one by one. */
function Graph({
  picture: { nodes, edges },
  open,
}: {
  readonly picture: Picture
  readonly open: (node: PictureNode) => void
}) {
  const layout = useLayout(nodes, edges)
  if (layout === null)
    return (
      <div className="graph">
        <p className="quiet graph-wait">Drawing {nodes.length} nodes …</p>
      </div>
    )
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: it hears keys of its nodes, and takes no focus
    <div className="graph" onKeyDown={opensByKey(nodes, open)}>
      <ReactFlow
        nodes={flowNodes(nodes, layout.nodes)}
        edges={edges.flatMap(edge => flowEdge(edge, layout))}
        nodeTypes={NODE_TYPES}
        edgeTypes={EDGE_TYPES}
        nodesDraggable={false}
        nodesConnectable={false}
        edgesFocusable={false}
        minZoom={0.1}
        onInit={flow => void flow.fitBounds(boundsOf(layout), { padding: 0.05 })}
        proOptions={{ hideAttribution: true }}
        preventScrolling={false}
        onNodeClick={(_event, { data }) => {
          const { node } = data as { node?: PictureNode }
          if (node !== undefined) open(node)
        }}
      >
        <Background gap={24} />
        <Controls showInteractive={false} />
      </ReactFlow>
    </div>
  )
}

/** Where things stand; null until it is known. Made anew when nodes or edges come, and only then. */
function useLayout(nodes: readonly PictureNode[], edges: readonly PictureEdge[]): Layout | null {
  const [layout, setLayout] = useState<Layout | null>(null)
  // An edge that falls silent keeps its place: nothing moves when it speaks again.
  const known = useRef(new Map<string, PictureEdge>())
  const ids = nodes.map(({ id }) => id)
  const present = new Set(ids)
  for (const edge of edges) known.current.set(edge.id, edge)
  for (const [id, { from, to }] of known.current)
    if (!present.has(from) || !present.has(to)) known.current.delete(id)
  const shape = JSON.stringify([ids, [...known.current.keys()].sort()])
  // biome-ignore lint/correctness/useExhaustiveDependencies: figures change every second, and move nothing
  useEffect(() => {
    let over = false
    const boxes = nodes.map(({ id, namespace, collapsed }) => ({ id, group: collapsed ? null : namespace }))
    const drawn = [...known.current.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
    layOut(window.innerWidth < NARROW_PX ? "DOWN" : "RIGHT", boxes, drawn).then(
      done => {
        if (!over) setLayout(done)
      },
      // Without a layout engine the nodes still stand somewhere, and the table says the rest.
      () => {
        if (!over) setLayout(inBlocks(boxes, 1))
      },
    )
    return () => {
      over = true
    }
  }, [shape])
  return layout
}

function flowNodes(
  nodes: readonly PictureNode[],
  placed: ReadonlyMap<string, Placed>,
): (WorkloadFlowNode | GroupFlowNode)[] {
  const groups = [...new Set(nodes.filter(({ collapsed }) => !collapsed).map(({ namespace }) => namespace))]
  return [
    ...groups.flatMap((name): GroupFlowNode[] => {
      const place = placed.get(`group ${name}`)
      if (place === undefined) return []
      const { x, y, width, height } = place
      return [
        {
          ...{ id: `group ${name}`, type: "namespace", position: { x, y }, data: { name } },
          ...{ width, height, selectable: false, focusable: false, zIndex: -1 },
        },
      ]
    }),
    ...nodes.flatMap((node): WorkloadFlowNode[] => {
      const place = placed.get(node.id)
      if (place === undefined) return []
      const group = `group ${node.namespace}`
      const { x, y, width, height } = place
      return [
        {
          ...{ id: node.id, type: "workload", position: { x, y }, data: { node }, width, height },
          ...(node.collapsed || !placed.has(group) ? {} : { parentId: group }),
          ariaLabel: `${plain(node.name)}, ${node.level}`,
        },
      ]
    }),
  ]
}

/** An edge that has a way; one that just came gets it with the next layout. */
function flowEdge(edge: PictureEdge, { ways, labels }: Layout): CallFlowEdge[] {
  const { id, from, to } = edge
  const [way, label] = [ways.get(id), labels.get(id)]
  if (way === undefined || label === undefined) return []
  return [{ id, source: from, target: to, type: "call", data: { edge, path: pathOf(way), label } }]
}

function WorkloadNode({ data: { node } }: NodeProps<WorkloadFlowNode>) {
  return (
    <div className={`node ${node.level}${node.collapsed ? " collapsed" : ""}`}>
      <Handle type="target" position={Position.Left} isConnectable={false} />
      <p className="node-name">
        <LevelMark level={node.level} word={false} />
        <Name>{node.name}</Name>
        {node.collapsed && <span className="quiet">{node.about}</span>}
      </p>
      <p className="quiet">
        {node.rps === undefined ? "no requests" : `${percent(node.success)}, ${rate(node.rps)}`}
      </p>
      <Handle type="source" position={Position.Right} isConnectable={false} />
    </div>
  )
}

function NamespaceNode({ data: { name } }: NodeProps<GroupFlowNode>) {
  return (
    <div className="node-group">
      <Name>{name}</Name>
    </div>
  )
}

function CallEdge({ data }: EdgeProps<CallFlowEdge>) {
  if (data === undefined) return null
  const { edge, path, label } = data
  const { level, secured, rps, tcpOnly } = edge
  return (
    <>
      <BaseEdge
        path={path}
        className={`call ${level}${secured ? "" : " plaintext"}`}
        style={{ strokeWidth: 1.5 + Math.min(4, Math.log10(1 + rps)) }}
      />
      <EdgeLabelRenderer>
        <span
          className={`call-label ${level}`}
          style={{ transform: `translate(-50%, -50%) translate(${label.x}px, ${label.y}px)` }}
        >
          {tcpOnly ? "TCP" : rate(rps)}
        </span>
      </EdgeLabelRenderer>
    </>
  )
}

const NODE_TYPES = { workload: WorkloadNode, namespace: NamespaceNode }
const EDGE_TYPES = { call: CallEdge }

const CALLS: readonly Column<PictureEdge>[] = [
  { ...{ id: "from", title: "Caller" }, cell: ({ from }) => <Name>{shownId(from)}</Name> },
  { ...{ id: "to", title: "Called" }, cell: ({ to }) => <Name>{shownId(to)}</Name> },
  {
    ...{ id: "rps", title: "Requests", right: true },
    cell: ({ rps, tcpOnly }) => (tcpOnly ? "TCP" : rate(rps)),
  },
  {
    ...{ id: "success", title: "Success", right: true },
    cell: ({ success, level }) => <span className={`share ${level}`}>{percent(success)}</span>,
  },
  {
    ...{ id: "secured", title: "mTLS" },
    cell: ({ secured, reason }) =>
      secured ? (
        <span className="secured">
          <Icon name="lock" /> secured
        </span>
      ) : (
        <span className="unsecured">
          <Icon name="unlocked" /> plaintext: <span className="quiet">{plain(reason)}</span>
        </span>
      ),
  },
]

function shownId(id: string): string {
  const [namespace = "", , ...rest] = id.split("/")
  return rest.length === 0 ? id.replace(/^namespace /, "") : `${namespace}/${rest.join("/")}`
}

function Legend() {
  return (
    <ul className="legend-row">
      <li>
        <svg viewBox="0 0 40 8" aria-hidden="true">
          <path className="call well" d="M0 4h40" />
        </svg>
        mutual TLS
      </li>
      <li>
        <svg viewBox="0 0 40 8" aria-hidden="true">
          <path className="call well plaintext" d="M0 4h40" />
        </svg>
        plaintext
      </li>
      <li>
        <LevelMark level="well" />
      </li>
      <li>
        <LevelMark level="degraded" />
      </li>
      <li>
        <LevelMark level="failing" />
      </li>
      <li>
        <LevelMark level="idle" />
      </li>
    </ul>
  )
}
