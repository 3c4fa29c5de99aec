// Nodes of a graph by the keyboard: each can have the focus, and a key opens it.
import type { KeyboardEvent } from "react"
import type { PictureNode } from "./picture.ts"

/** Id of the node that an element is of. */
export function nodeIdAt(target: EventTarget): string | null {
  if (!(target instanceof Element)) return null
  return target.closest(".react-flow__node-workload")?.getAttribute("data-id") ?? null
}

/** Hears keys of a graph: Enter and the space bar do what a click does. */
export function opensByKey(
  nodes: readonly PictureNode[],
  open: (node: PictureNode) => void,
): (event: KeyboardEvent) => void {
  return event => {
    if (event.key !== "Enter" && event.key !== " ") return
    const id = nodeIdAt(event.target)
    const node = nodes.find(one => one.id === id)
    if (node === undefined) return
    event.preventDefault()
    open(node)
  }
}
