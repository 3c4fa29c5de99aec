// One parsed document: the values that its readers see, and for each where in the text it stands. Aliases and merge
// keys are resolved, and what they share is known, so that an edit of one place cannot change another.
import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  Parser,
  type Scalar,
  type YAMLMap,
} from "yaml"

/** Values that a document may stand for once its aliases are written out: the billion laughs are none. */
export const MAX_EXPANDED_VALUES = 1_000_000

/** How deep collections may be nested; deeper ones exhaust the stack of whoever reads them. */
export const MAX_DEPTH = 500

/** A document that cannot be used. `offset` is where in its text. */
export class YamlError extends Error {
  readonly offset: number

  constructor(message: string, offset: number) {
    super(message)
    this.offset = offset
  }
}

/** A document that can be read, and not be changed as asked. */
export class EditError extends YamlError {}

/** A mapping as it is read; keys are text. */
export type Fields = Record<string, unknown>

/** A parsed document. */
export interface Source {
  readonly text: string
  readonly json: boolean
  /** The top node; null for a document without content. */
  readonly root: Node | null
  /** What the document says: objects, arrays, text, numbers, bigints, booleans, null. */
  readonly value: unknown
  /** The node that an object or array of `value` was read from. */
  readonly nodes: WeakMap<object, Node>
  /** Plain scalars as they are written, by the collection that they are in: 0644 is not 420 to every reader. */
  readonly plain: WeakMap<object, Map<string, string>>
  /** What merge keys alone give a mapping. */
  readonly merged: WeakMap<object, Fields>
  /** Values of anchors by name; of several of one name the last. */
  readonly anchors: ReadonlyMap<string, unknown>
  /** Nodes whose anchor some alias refers to. */
  readonly shared: ReadonlySet<Node>
  /** Line and column in the text, each from 1. */
  readonly position: (offset: number) => { line: number; col: number }
}

/**
 * Parses one document.
 *
 * @throws YamlError when it is not YAML, has a key twice, an alias without its anchor, or is too deep or too large
 */
export function parseSource(text: string, json: boolean): Source {
  const lines = new LineCounter()
  // JSON has no bound on the length of its keys; YAML has. Keys are compared below: the library compares each with each.
  const composer = new Composer({
    keepSourceTokens: true,
    intAsBigInt: true,
    strict: !json,
    uniqueKeys: false,
  })
  let document: Document.Parsed | undefined
  let root: Node | null = null
  try {
    for (const one of composer.compose(new Parser(lines.addNewLine).parse(text))) {
      if (document !== undefined) throw new YamlError("a second document begins here", one.range[0])
      document = one
    }
    root = document?.contents ?? null
  } catch (error) {
    if (error instanceof RangeError) throw new YamlError("it is nested too deeply", 0)
    throw error
  }
  const broken = document?.errors[0]
  if (broken !== undefined) throw new YamlError(sentence(broken.code, broken.message), broken.pos[0])
  const reader = new Reader()
  const value = root === null ? null : reader.read(root, 0)
  return {
    text,
    json,
    root,
    value,
    nodes: reader.nodes,
    plain: reader.plain,
    merged: reader.merged,
    anchors: reader.anchors,
    shared: reader.shared,
    position: offset => lines.linePos(offset),
  }
}

function sentence(code: string, message: string): string {
  if (code === "TAB_AS_INDENT") return "a tab is used as indentation, where YAML takes spaces only"
  return message
}

/** The pair of a mapping's own key, not of one that a merge gives it. */
export function ownPair(map: YAMLMap, key: string): Pair | undefined {
  return map.items.find(pair => isPair(pair) && !isMerge(pair) && keyText(pair) === key)
}

/** A key as text; null when it is no scalar. */
export function keyText(pair: Pair): string | null {
  return isScalar(pair.key)
    ? String(pair.key.value ?? (pair.key as Scalar & { source?: string }).source ?? "")
    : null
}

function isMerge(pair: Pair): boolean {
  return isScalar(pair.key) && pair.key.value === "<<" && pair.key.type === "PLAIN"
}

class Reader {
  readonly nodes = new WeakMap<object, Node>()
  readonly plain = new WeakMap<object, Map<string, string>>()
  readonly merged = new WeakMap<object, Fields>()
  readonly anchors = new Map<string, unknown>()
  readonly shared = new Set<Node>()
  readonly #anchored = new Map<string, { node: Node; size: number; done: boolean }>()
  #size = 0

  read(node: Node, depth: number): unknown {
    if (depth > MAX_DEPTH) throw new YamlError("it is nested too deeply", startOf(node))
    if (isAlias(node)) return this.#alias(node)
    this.#count(1, node)
    const anchor = node.anchor
    if (anchor === undefined) return this.#content(node, depth)
    const entry = { node, size: 0, done: false }
    this.#anchored.set(anchor, entry)
    const before = this.#size
    const value = this.#content(node, depth)
    entry.size = this.#size - before
    entry.done = true
    this.anchors.set(anchor, value)
    return value
  }

  #alias(node: Node & { source: string }): unknown {
    const target = this.#anchored.get(node.source)
    if (target === undefined)
      throw new YamlError(`alias *${node.source} has no anchor before it`, startOf(node))
    if (!target.done) throw new YamlError(`alias *${node.source} stands within what it names`, startOf(node))
    this.#count(target.size + 1, node)
    this.shared.add(target.node)
    return this.anchors.get(node.source)
  }

  #content(node: Node, depth: number): unknown {
    if (isMap(node)) return this.#map(node, depth)
    if (isSeq(node)) {
      const list: unknown[] = []
      this.nodes.set(list, node)
      for (const [index, item] of node.items.entries()) {
        list.push(isPair(item) ? null : this.read(item as Node, depth + 1))
        this.#remember(list, String(index), item)
      }
      return list
    }
    return isScalar(node) ? (node.value ?? null) : null
  }

  #map(map: YAMLMap, depth: number): Fields {
    const own: Fields = {}
    const merges: Fields[] = []
    const keys = new Set<string>()
    for (const pair of map.items) {
      const key = keyText(pair)
      if (key === null) throw new YamlError("a key must be text", startOf(pair.key as Node | null))
      if (keys.has(key)) {
        throw new YamlError(`key "${key}" is here for the second time`, startOf(pair.key as Node))
      }
      keys.add(key)
      const value = pair.value == null ? null : this.read(pair.value as Node, depth + 1)
      if (isMerge(pair)) merges.push(...this.#mergeSources(value, pair))
      else {
        // `__proto__` is a key like any other.
        Object.defineProperty(own, key, { value, writable: true, enumerable: true, configurable: true })
        this.#remember(own, key, pair.value)
      }
    }
    this.nodes.set(own, map)
    if (merges.length === 0) return own
    // Of several sources the first wins, and own keys win over all (yaml.org/type/merge.html).
    const given: Fields = {}
    for (const source of merges.reverse()) Object.assign(given, source)
    this.merged.set(own, given)
    const plain = this.plain.get(own) ?? new Map<string, string>()
    for (const [key, value] of Object.entries(given)) {
      if (Object.hasOwn(own, key)) continue
      own[key] = value
      for (const source of merges) {
        const text = this.plain.get(source)?.get(key)
        if (text !== undefined && source[key] === value) plain.set(key, text)
      }
    }
    this.plain.set(own, plain)
    return own
  }

  #mergeSources(value: unknown, pair: Pair): Fields[] {
    const list = Array.isArray(value) ? value : [value]
    for (const source of list) {
      if (typeof source === "object" && source !== null && !Array.isArray(source)) continue
      throw new YamlError("<< takes mappings only", startOf(pair.key as Node | null))
    }
    return list as Fields[]
  }

  #remember(collection: object, key: string, value: unknown): void {
    if (!isScalar(value) || value.type !== "PLAIN" || value.source === undefined) return
    let texts = this.plain.get(collection)
    if (texts === undefined) {
      texts = new Map()
      this.plain.set(collection, texts)
    }
    texts.set(key, value.source)
  }

  #count(values: number, node: Node): void {
    this.#size += values
    if (this.#size > MAX_EXPANDED_VALUES) {
      throw new YamlError(`it stands for more than ${MAX_EXPANDED_VALUES} values`, startOf(node))
    }
  }
}

function startOf(node: Node | null): number {
  return node?.range?.[0] ?? 0
}
