// Paths of requests as routes: `/users/41/orders` and `/users/42/orders` are both `/users/{id}/orders`. Feeds the access
// records (access_records.ts) and learned routes (learned_routes.ts); memory is bounded whatever clients send, and what does not fit has no template.

/** Distinct segments kept as they are below one prefix; an API has a few routes there, a set of names has many. */
export const MAX_EXACT_SEGMENTS = 24

/** Nodes of the tree of paths, some 200 bytes each; beyond it a path that is new has no template. */
export const MAX_PATH_NODES = 4096

/** Segments told apart; what lies deeper is one `{rest}`. */
export const MAX_PATH_SEGMENTS = 12

/** A segment longer than this is a token, not a word of an API. */
export const MAX_SEGMENT_LENGTH = 40

/** gRPC methods told apart; a service has tens, and their names are code, not data. */
export const MAX_GRPC_PATHS = 512

/** Longest gRPC path kept as it is. */
export const MAX_GRPC_PATH_LENGTH = 200

/** How segments that differ from request to request are written. */
export const ID_SEGMENT = "{id}"

/** How everything below `MAX_PATH_SEGMENTS` is written. */
export const REST_SEGMENT = "{rest}"

/** A route: a path with what varies in it left open. */
export class PathTemplate {
  readonly text: string
  /** A path that it was made from. */
  readonly example: string
  /** Some record bears it, as of the last `retain`. */
  used = true

  constructor(text: string, example: string) {
    this.text = text
    this.example = example
  }
}

/** A prefix of paths. */
class Node {
  readonly text: string
  template: PathTemplate | null = null
  children: Map<string, Node> | null = null
  /** Where all segments lead that are ids or too many. */
  open: Node | null = null

  constructor(text: string) {
    this.text = text
  }
}

/** Finds the template of a path. */
export class PathTemplates {
  private readonly root = new Node("")
  /** What does not begin with a slash: `*` of OPTIONS, `host:port` of CONNECT. */
  private readonly bare = new Node("")
  private readonly grpcPaths = new Map<string, PathTemplate>()
  private nodes = 2
  private readonly maxNodes: number

  /** @param maxNodes  bound of the tree. Default: MAX_PATH_NODES */
  constructor(maxNodes: number = MAX_PATH_NODES) {
    this.maxNodes = maxNodes
  }

  /** Nodes kept. */
  get size(): number {
    return this.nodes
  }

  /**
   * The template of a path in normal form, without its query; null where there is no room for another one.
   *
   * @param grpc  the path names a method: kept as it is
   */
  of(path: string, grpc: boolean): PathTemplate | null {
    return grpc ? this.grpc(path) : this.http(path)
  }

  /** Forgets paths whose template no record bears any more (`used` false); the others are to be marked anew. */
  retain(): void {
    for (const [path, template] of this.grpcPaths) {
      if (!template.used) this.grpcPaths.delete(path)
      template.used = false
    }
    this.prune(this.root)
    this.prune(this.bare)
  }

  private grpc(path: string): PathTemplate | null {
    const known = this.grpcPaths.get(path)
    if (known !== undefined) {
      known.used = true
      return known
    }
    if (this.grpcPaths.size >= MAX_GRPC_PATHS || path.length > MAX_GRPC_PATH_LENGTH) return null
    const template = new PathTemplate(path, path)
    this.grpcPaths.set(path, template)
    return template
  }

  private http(path: string): PathTemplate | null {
    const slash = path.charCodeAt(0) === SLASH
    let node: Node | null = slash ? this.root : this.bare
    let depth = 0
    let start = slash ? 1 : 0
    for (;;) {
      let end = path.indexOf("/", start)
      if (end < 0) end = path.length
      const prefix = depth === 0 && !slash ? "" : "/"
      if (depth === MAX_PATH_SEGMENTS - 1 && end < path.length) {
        node = this.opened(node, prefix + REST_SEGMENT)
        break
      }
      node = isId(path, start, end)
        ? this.opened(node, prefix + ID_SEGMENT)
        : this.child(node, path.substring(start, end), prefix)
      if (node === null || end >= path.length) break
      start = end + 1
      depth++
    }
    if (node === null) return null
    node.template ??= new PathTemplate(node.text, path)
    node.template.used = true
    return node.template
  }

  private child(node: Node, segment: string, prefix: string): Node | null {
    const known = node.children?.get(segment)
    if (known !== undefined) return known
    const children = node.children
    if (children !== null && children.size >= MAX_EXACT_SEGMENTS)
      return this.opened(node, prefix + ID_SEGMENT)
    if (this.nodes >= this.maxNodes) return node.open
    this.nodes++
    const made = new Node(node.text + prefix + segment)
    if (children !== null) children.set(segment, made)
    else node.children = new Map([[segment, made]])
    return made
  }

  private opened(node: Node, segment: string): Node | null {
    if (node.open !== null) return node.open
    if (this.nodes >= this.maxNodes) return null
    this.nodes++
    node.open = new Node(node.text + segment)
    return node.open
  }

  /** Whether anything is left of a node. */
  private prune(node: Node): boolean {
    if (node.template !== null && !node.template.used) node.template = null
    if (node.template !== null) node.template.used = false
    for (const [segment, child] of node.children ?? []) {
      if (this.prune(child)) continue
      node.children?.delete(segment)
      this.nodes--
    }
    if (node.open !== null && !this.prune(node.open)) {
      node.open = null
      this.nodes--
    }
    return node.template !== null || node.open !== null || (node.children?.size ?? 0) > 0
  }
}

const SLASH = 0x2f
const OPEN_BRACE = 0x7b
/** Letters and digits mixed, at least this many: a hash, a token, a generated name. */
const MIXED_ID_LENGTH = 12
/** Hexadecimal digits, at least this many, with a digit among them. */
const HEX_ID_LENGTH = 6

/**
 * Whether a segment looks like data: a number, a UUID, a hash, a long token. Words with a number at their end (`v1`,
 * `step2`) are words.
 */
function isId(path: string, start: number, end: number): boolean {
  const length = end - start
  if (length === 0) return false
  if (length > MAX_SEGMENT_LENGTH) return true
  let digits = 0
  let hex = 0
  let letters = 0
  let changes = 0
  let wasDigit = false
  for (let i = start; i < end; i++) {
    const code = path.charCodeAt(i)
    // Who writes our own sign for "open" gets it: as a word it would stand for what was never seen.
    if (code === OPEN_BRACE) return true
    const isDigit = code >= 0x30 && code <= 0x39
    const lower = code | 0x20
    const isLetter = lower >= 0x61 && lower <= 0x7a
    if (isDigit) digits++
    else if (isLetter) letters++
    if (isDigit || (isLetter && lower <= 0x66)) hex++
    if (i > start && isDigit !== wasDigit) changes++
    wasDigit = isDigit
  }
  if (digits === 0) return false
  // 42, 2026-11-25, 10.0.0.1, 42,43
  if (letters === 0) return true
  const marks = length - digits - letters
  // A hash, or a UUID with its dashes.
  if (hex + marks === length && hex >= HEX_ID_LENGTH) return true
  return length >= MIXED_ID_LENGTH && digits >= 3 && changes >= 3
}
