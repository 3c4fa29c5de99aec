// Turns what a document says into something else by changing only the text that must change: the document is read in
// its model, and edited as text at the places that the model tells, so that every other byte stays.
import { isMap, isScalar, isSeq, type Node, type Pair, type YAMLMap, type YAMLSeq } from "yaml"
import { listChanges } from "./list_changes.ts"
import { blockEntry, blockFields, blockItems, type FlowLayout, flow, type Manner } from "./render.ts"
import { EditError, type Fields, keyText, ownPair, type Source } from "./source.ts"
import { Splices } from "./splices.ts"

/** One object within a document, and what it is to become. */
export interface Change {
  /** The object as the source has it. */
  readonly before: Fields
  /** A changed copy; whatever is the same object as before is left alone. */
  readonly after: Fields
  /** Texts to put back, by JSON pointer into the object; see {@link replacedTexts}. */
  readonly restore?: ReadonlyMap<string, string | null>
}

/**
 * The document's text with objects changed.
 *
 * @throws EditError where a change would also change another place, because both share an anchor
 */
export function editSource(source: Source, changes: readonly Change[]): string {
  const editor = new Editor(source)
  for (const change of changes) editor.change(change)
  return editor.splices.apply()
}

/**
 * What a change replaces instead of adding to it, as an alias or an empty value; with these texts as `restore` a later
 * change can take it back.
 *
 * @returns by JSON pointer (RFC 6901) into the object: the text from the key's colon on, and null for a key that the
 * mapping had from a merge only
 * @throws EditError as `editSource`
 */
export function replacedTexts(source: Source, change: Change): ReadonlyMap<string, string | null> {
  const editor = new Editor(source)
  editor.change(change)
  return editor.replaced
}

/** One step of a JSON pointer. */
export function pointerStep(key: string | number): string {
  return `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`
}

class Editor {
  readonly splices: Splices
  readonly replaced = new Map<string, string | null>()
  readonly #source: Source
  readonly #text: string
  readonly #manner: Manner
  #restore: ReadonlyMap<string, string | null> = new Map()

  constructor(source: Source) {
    this.#source = source
    this.#text = source.text
    this.splices = new Splices(source.text)
    this.#manner = {
      plain: source.plain,
      listIndent: source.root === null ? 0 : (listIndent(source.root) ?? 0),
    }
  }

  change({ before, after, restore }: Change): void {
    this.#restore = restore ?? new Map()
    const node = this.#source.nodes.get(before)
    if (!isMap(node)) throw new EditError("what is to be changed is no mapping of this document", 0)
    this.#updateMap(node, before, after, "")
  }

  #updateMap(map: YAMLMap, before: Fields, after: Fields, pointer: string): void {
    this.#refuseShared(map)
    const removed: Pair[] = []
    for (const [key, value] of Object.entries(before)) {
      const at = pointer + pointerStep(key)
      const pair = ownPair(map, key)
      const text = this.#restore.get(at)
      if (pair !== undefined && (text === null || !Object.hasOwn(after, key))) removed.push(pair)
      else if (pair !== undefined && text !== undefined && text !== null)
        this.#replace(map, pair, after[key], text)
      else if (value === after[key] || pair === undefined) continue
      else this.#updateValue(map, pair, value, after[key], at)
    }
    this.#removePairs(map, removed)
    const added: Fields = {}
    for (const [key, value] of Object.entries(after)) {
      if (value === before[key] || ownPair(map, key) !== undefined) continue
      // A key that only a merge gave becomes one of the mapping's own, which wins over the merge.
      if (Object.hasOwn(before, key)) this.replaced.set(pointer + pointerStep(key), null)
      added[key] = value
    }
    if (Object.keys(added).length > 0) this.#addToMap(map, added)
  }

  #updateValue(map: YAMLMap, pair: Pair, before: unknown, after: unknown, pointer: string): void {
    const node = pair.value as Node | null
    if (isMap(node) && node.items.length > 0 && isFields(before) && isFields(after)) {
      this.#updateMap(node, before, after, pointer)
    } else if (isSeq(node) && node.items.length > 0 && Array.isArray(before) && Array.isArray(after)) {
      this.#updateSeq(pair, node, before, after)
    } else {
      this.#refuseShared(node)
      this.replaced.set(pointer, this.#text.slice(afterColon(pair), this.#endOfValue(pair)))
      this.#replace(map, pair, after, null)
    }
  }

  #updateSeq(pair: Pair, seq: YAMLSeq, before: readonly unknown[], after: readonly unknown[]): void {
    this.#refuseShared(seq)
    const { removed, added } = listChanges(before, after)
    this.#removeItems(seq, removed)
    for (const { at, items } of added) {
      if (seq.flow) this.#addToFlowSeq(seq, at, items)
      else this.#addToBlockSeq(pair, seq, at, items)
    }
  }

  /** An edit within a node that aliases refer to would show at each of them. */
  #refuseShared(node: Node | null): void {
    if (node === null || !this.#source.shared.has(node)) return
    const anchor = (node as { anchor?: string }).anchor ?? ""
    throw new EditError(
      `what stands here is used again by alias *${anchor}, and a change here would show there too; write it out in one of the two places`,
      node.range?.[0] ?? 0,
    )
  }

  #addToMap(map: YAMLMap, added: Fields): void {
    if (map.flow) {
      const layout = this.#layout(map)
      const entries = Object.entries(added).map(
        ([key, value]) =>
          `${JSON.stringify(key)}:${layout.space}${flow(value, deeper(layout), this.#manner)}`,
      )
      const last = map.items.at(-1)
      const at = last === undefined ? (map.range?.[0] ?? 0) + 1 : endOf(last)
      const text = entries.join(separator(layout))
      this.splices.insert(at, last === undefined ? text : separator(layout) + text)
      return
    }
    const first = map.items[0]
    const indent = first === undefined ? 0 : this.#column(pairStart(first))
    this.splices.insertLines(endOfBlock(map), blockFields(added, indent, this.#manner))
  }

  #addToFlowSeq(seq: YAMLSeq, at: number, items: readonly unknown[]): void {
    const layout = this.#layout(seq)
    const text = items.map(item => flow(item, deeper(layout), this.#manner)).join(separator(layout))
    const previous = seq.items[at - 1] as Node | undefined
    if (previous !== undefined) this.splices.insert(endOf(previous), separator(layout) + text)
    else this.splices.insert(itemStart(seq, 0), text + separator(layout))
  }

  #addToBlockSeq(pair: Pair, seq: YAMLSeq, at: number, items: readonly unknown[]): void {
    const dashes = dashOffsets(seq)
    const first = dashes[0] ?? 0
    const lines = blockItems(items, this.#column(first), this.#manner)
    const previous = seq.items[at - 1] as Node | undefined
    if (previous !== undefined) {
      this.splices.insertLines(Math.max(endOf(previous), (dashes[at - 1] ?? 0) + 1), lines)
      return
    }
    // Before comments of the first item, unless an anchor or a tag of the list stands between.
    const key = endOfProperties(pair)
    const nextLine = this.#text.indexOf("\n", key) + 1
    this.splices.insertLines(nextLine > 0 && nextLine <= first ? key : this.#lineStart(first), lines)
  }

  #removePairs(map: YAMLMap, removed: readonly Pair[]): void {
    this.#remove(
      map.items.map(pair => ({ start: pairStart(pair), end: endOf(pair) })),
      map.items.map(pair => removed.includes(pair)),
      map.flow === true,
    )
  }

  #removeItems(seq: YAMLSeq, removed: readonly number[]): void {
    const dashes = dashOffsets(seq)
    this.#remove(
      seq.items.map((item, index) => ({
        start: seq.flow ? itemStart(seq, index) : (dashes[index] ?? 0),
        end: Math.max(endOf(item as Node), seq.flow ? 0 : (dashes[index] ?? 0) + 1),
      })),
      seq.items.map((_, index) => removed.includes(index)),
      seq.flow === true,
    )
  }

  /** Removes runs of neighbours from a collection, each as an addition of them would be taken back. */
  #remove(
    places: readonly { start: number; end: number }[],
    gone: readonly boolean[],
    isFlow: boolean,
  ): void {
    for (let from = 0; from < places.length; from++) {
      if (!gone[from]) continue
      let to = from
      while (gone[to + 1]) to++
      const start = places[from]?.start ?? 0
      const end = places[to]?.end ?? 0
      if (!isFlow) this.splices.deleteLines(start, end, places[to + 1]?.start ?? end)
      else if (from > 0) this.splices.delete(places[from - 1]?.end ?? start, end)
      else this.splices.delete(start, places[to + 1]?.start ?? end)
      from = to
    }
  }

  /** Puts `value` in the place of a pair's value, or `text` as it was once written there. */
  #replace(map: YAMLMap, pair: Pair, value: unknown, text: string | null): void {
    const node = pair.value as Node | null
    const colon = afterColon(pair)
    const end = this.#endOfValue(pair)
    let line = end
    if (isBlock(node)) {
      const start = isMap(node) ? pairStart(node.items[0] as Pair) : (dashOffsets(node)[0] ?? end)
      this.splices.deleteLines(start, end, end)
      line = endOfProperties(pair)
    } else this.splices.delete(colon, end)
    if (text !== null) this.splices.insert(colon, text)
    else if (map.flow) {
      const layout = this.#layout(map)
      this.splices.insert(colon, layout.space + flow(value, deeper(layout), this.#manner))
    } else {
      const indent = this.#column(pairStart(pair))
      const [head = "", ...rest] = blockEntry("k", value, indent, this.#manner, {})
      if (rest.length === 0) this.splices.insert(colon, head.slice(indent + 2))
      else this.splices.insertLines(line, rest)
    }
  }

  /** Where a pair's value ends, without the end of line that belongs to a block scalar. */
  #endOfValue(pair: Pair): number {
    const end = Math.max(afterColon(pair), endOf(pair))
    if (isBlock(pair.value as Node | null) || this.#text[end - 1] !== "\n") return end
    return this.#text[end - 2] === "\r" ? end - 2 : end - 1
  }

  /** How a flow collection is laid out, by its first item. */
  #layout(collection: YAMLMap | YAMLSeq): FlowLayout {
    const eol = this.splices.eol
    const start = collection.range?.[0] ?? 0
    const first = collection.items[0]
    const isCompact = this.#source.json && !/[:,]\s/.test(this.#text.slice(start, collection.range?.[1]))
    const space = isCompact ? "" : " "
    const place =
      first === undefined ? 0 : isMap(collection) ? pairStart(first as Pair) : itemStart(collection, 0)
    const line = first === undefined ? null : this.#text.slice(this.#lineStart(place), place)
    if (line === null || !/^[ \t]+$/.test(line)) return { indent: null, unit: "  ", space, eol }
    const outer = /^[ \t]*/.exec(this.#text.slice(this.#lineStart(start), start))?.[0] ?? ""
    const unit = line.startsWith(outer) && line.length > outer.length ? line.slice(outer.length) : "  "
    return { indent: line, unit, space, eol }
  }

  #lineStart(offset: number): number {
    return this.#text.lastIndexOf("\n", offset - 1) + 1
  }

  #column(offset: number): number {
    const start = this.#lineStart(offset)
    return offset - start - (start === 0 && this.#text.charCodeAt(0) === 0xfeff ? 1 : 0)
  }
}

function separator(layout: FlowLayout): string {
  return layout.indent === null ? `,${layout.space}` : `,${layout.eol}${layout.indent}`
}

/** The layout of what stands one level deeper. */
function deeper(layout: FlowLayout): FlowLayout {
  return layout.indent === null ? layout : { ...layout, indent: layout.indent + layout.unit }
}

function isBlock(node: Node | null): node is YAMLMap | YAMLSeq {
  return (isMap(node) || isSeq(node)) && !node.flow && node.items.length > 0
}

function isPairLike(item: unknown): item is Pair {
  return typeof item === "object" && item !== null && "key" in item
}

interface Token {
  readonly type: string
  readonly offset: number
  readonly source: string
}

interface PairTokens {
  readonly start?: readonly Token[]
  readonly sep?: readonly Token[]
}

const PROPERTIES = ["anchor", "tag"]

function pairStart(pair: Pair): number {
  const tokens = (pair.srcToken as PairTokens | undefined)?.start ?? []
  const first = tokens.find(token => token.type === "explicit-key-ind" || PROPERTIES.includes(token.type))
  return first?.offset ?? startOf(pair.key as Node)
}

function startOf(node: Node): number {
  return node.range?.[0] ?? 0
}

/** Where an item of a flow list begins, with its anchor and tag. */
function itemStart(seq: YAMLSeq, index: number): number {
  const items = (seq.srcToken as { items?: readonly PairTokens[] } | undefined)?.items ?? []
  const first = items[index]?.start?.find(token => PROPERTIES.includes(token.type))
  return first?.offset ?? startOf(seq.items[index] as Node)
}

/** Where the text of a pair's value may begin: right after its colon. */
function afterColon(pair: Pair): number {
  const sep = (pair.srcToken as PairTokens | undefined)?.sep ?? []
  const colon = sep.find(token => token.type === "map-value-ind")
  return colon === undefined ? ((pair.key as Node).range?.[1] ?? 0) : colon.offset + 1
}

/** Where the colon and what qualifies the value (anchor, tag) end. */
function endOfProperties(pair: Pair): number {
  const sep = (pair.srcToken as PairTokens | undefined)?.sep ?? []
  const last = sep.findLast(token => token.type === "map-value-ind" || PROPERTIES.includes(token.type))
  return last === undefined ? afterColon(pair) : last.offset + last.source.length
}

/** Where the text of a pair or a node ends, without comments and blank lines that follow. */
function endOf(item: Pair | Node): number {
  if (isPairLike(item)) {
    const value = item.value as Node | null
    return value === null || isAbsent(value) ? endOfProperties(item) : endOf(value)
  }
  if (isBlock(item)) return endOfBlock(item)
  if (isAbsent(item)) return 0
  return item.range?.[1] ?? 0
}

function endOfBlock(collection: YAMLMap | YAMLSeq): number {
  const last = collection.items.at(-1)
  if (last === undefined) return collection.range?.[1] ?? 0
  const end = endOf(last as Pair | Node)
  return isSeq(collection) ? Math.max(end, (dashOffsets(collection).at(-1) ?? 0) + 1) : end
}

/** Whether nothing is written where a value could be, which YAML reads as null. */
function isAbsent(node: Node): boolean {
  return isScalar(node) && node.value === null && (node.source ?? "") === ""
}

/** Where the dash of each item of a block list stands. */
function dashOffsets(seq: YAMLSeq): number[] {
  const items = (seq.srcToken as { items?: readonly PairTokens[] } | undefined)?.items ?? []
  return items.flatMap(item => item.start?.find(token => token.type === "seq-item-ind")?.offset ?? [])
}

/** By how much the first list within a mapping is indented beyond its key; null where there is none. */
function listIndent(node: Node): number | null {
  if (isSeq(node)) {
    for (const item of node.items) {
      const found = listIndent(item as Node)
      if (found !== null) return found
    }
    return null
  }
  if (!isMap(node) || node.flow) return null
  for (const pair of node.items) {
    const value = pair.value as Node | null
    if (value === null) continue
    if (isSeq(value) && !value.flow && value.items.length > 0 && keyText(pair) !== "items") {
      const mapIndent = (node.srcToken as { indent?: number } | undefined)?.indent ?? 0
      const seqIndent = (value.srcToken as { indent?: number } | undefined)?.indent ?? 0
      return Math.max(0, seqIndent - mapIndent)
    }
    const found = listIndent(value)
    if (found !== null) return found
  }
  return null
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
