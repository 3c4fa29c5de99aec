// Paths as a tree of their common beginnings (a radix tree): all matches that a request's path could meet are found in one
// walk along it, however many there are, without cutting it into pieces.

const SLASH = 0x2f

/** What is kept of one path: for requests to it, and for those to it and below it. */
interface PathEntry<T> {
  exact: T | null
  below: T | null
}

class Node<T> implements PathEntry<T> {
  /** What the path goes on with from the node above; begins with the character by which that one finds it. */
  label: string
  exact: T | null = null
  below: T | null = null
  children: Map<number, Node<T>> | null = null

  constructor(label: string) {
    this.label = label
  }
}

/** Values by path. */
export class PathTree<T> {
  private readonly root = new Node<T>("")
  /** What `find` found: shorter paths first. Only as many as it says are of its last call. */
  readonly found: T[] = []
  /** What `find` was asked last, and said: the next request is often for the same path. */
  private lastText = ""
  private lastEnd = -1
  private lastCount = 0

  /** What is kept of a path; made where nothing is yet. Without a slash at its end, `/a` is also what `/a/` is below. */
  at(path: string): PathEntry<T> {
    this.lastEnd = -1
    let node = this.root
    let rest = path
    while (rest !== "") {
      node.children ??= new Map()
      const first = rest.charCodeAt(0)
      const child = node.children.get(first)
      if (child === undefined) {
        const leaf = new Node<T>(rest)
        node.children.set(first, leaf)
        return leaf
      }
      const common = commonLength(child.label, rest)
      if (common < child.label.length) {
        const middle = new Node<T>(rest.slice(0, common))
        node.children.set(first, middle)
        child.label = child.label.slice(common)
        middle.children = new Map([[child.label.charCodeAt(0), child]])
        node = middle
      } else node = child
      rest = rest.slice(common)
    }
    return node
  }

  /**
   * Finds what is kept of a path itself, and of all paths that it is below of by segments. The empty path is above all.
   *
   * @param end  where the path ends in the text
   * @returns how many of `found` were found
   */
  find(text: string, end: number): number {
    if (this.lastEnd === end && this.lastText === text) return this.lastCount
    const count = this.walk(text, end)
    this.lastText = text
    this.lastEnd = end
    this.lastCount = count
    return count
  }

  private walk(text: string, end: number): number {
    const { found } = this
    let node = this.root
    let at = 0
    let count = 0
    for (;;) {
      if (node.below !== null && (at === 0 || at === end || text.charCodeAt(at) === SLASH))
        found[count++] = node.below
      if (at === end) {
        if (node.exact !== null) found[count++] = node.exact
        return count
      }
      const child: Node<T> | undefined = node.children?.get(text.charCodeAt(at))
      if (child === undefined) return count
      const { label } = child
      const after = at + label.length
      if (after > end) return count
      // The first character led here.
      for (let i = 1; i < label.length; i++) if (text.charCodeAt(at + i) !== label.charCodeAt(i)) return count
      node = child
      at = after
    }
  }
}

function commonLength(a: string, b: string): number {
  let length = 0
  while (length < a.length && length < b.length && a[length] === b[length]) length++
  return length
}
