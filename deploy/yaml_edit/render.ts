// Values as YAML or JSON text: what is added to a document in the manner of that document.
import type { Fields } from "./source.ts"

/** How values are written in one place of a document. */
export interface Manner {
  /** Plain scalars of collections that were read, as they were written there. */
  readonly plain: WeakMap<object, Map<string, string>>
  /** Columns that a list is indented beyond the key that it belongs to. */
  readonly listIndent: number
}

/** How a flow collection is laid out: over lines with an indentation, or in one line. */
export interface FlowLayout {
  /** Indentation of the items of the collection that is added to; null for one line. */
  readonly indent: string | null
  /** Further indentation of each level below. */
  readonly unit: string
  /** Between a key's colon and its value, and after commas in a line. */
  readonly space: string
  /** End of line. */
  readonly eol: string
}

/** Text that no YAML reader, of 1.1 or 1.2, takes for anything but text: words, paths, flags, amounts with a unit. */
const SAFE = /^(?:[A-Za-z/](?:[\w./@-]|:(?=[\w/]))*|--[a-z][\w./=,-]*|\d+(?:m|s|h|[KMG]i))$/
const WORDS = /^(?:y|n|yes|no|on|off|true|false|null|nan|inf)$/i

/** A mapping's entry as lines of block style. */
export function blockEntry(
  key: string,
  value: unknown,
  indent: number,
  manner: Manner,
  own: object,
): string[] {
  const head = `${" ".repeat(indent)}${scalar(key)}:`
  if (Array.isArray(value) && value.length > 0) {
    return [head, ...blockItems(value, indent + manner.listIndent, manner)]
  }
  if (isFields(value) && Object.keys(value).length > 0) {
    return [head, ...blockFields(value, indent + 2, manner)]
  }
  return [`${head} ${leaf(value, key, own, manner)}`]
}

/** Items of a list as lines of block style. */
export function blockItems(items: readonly unknown[], indent: number, manner: Manner): string[] {
  return items.flatMap((item, index) => {
    const dash = `${" ".repeat(indent)}- `
    if (isFields(item) && Object.keys(item).length > 0) {
      const [first = "", ...rest] = blockFields(item, indent + 2, manner)
      return [`${dash}${first.slice(indent + 2)}`, ...rest]
    }
    if (Array.isArray(item) && item.length > 0) {
      const [first = "", ...rest] = blockItems(item, indent + 2, manner)
      return [`${dash}${first.slice(indent + 2)}`, ...rest]
    }
    return [`${dash}${leaf(item, String(index), items, manner)}`]
  })
}

/** Entries of a mapping as lines of block style. */
export function blockFields(fields: Fields, indent: number, manner: Manner): string[] {
  return Object.entries(fields).flatMap(([key, value]) => blockEntry(key, value, indent, manner, fields))
}

/** A value in flow style, which is JSON but for scalars that were written otherwise. */
export function flow(value: unknown, layout: FlowLayout, manner: Manner): string {
  if (Array.isArray(value)) {
    return list(
      "[",
      "]",
      value.map((item, index) => flowLeaf(item, String(index), value, below(layout), manner)),
      layout,
    )
  }
  if (!isFields(value)) return value === undefined ? "null" : quoted(value)
  const entries = Object.entries(value).map(
    ([key, one]) =>
      `${JSON.stringify(key)}:${layout.space}${flowLeaf(one, key, value, below(layout), manner)}`,
  )
  return list("{", "}", entries, layout)
}

function flowLeaf(value: unknown, key: string, own: object, layout: FlowLayout, manner: Manner): string {
  if (typeof value === "object" && value !== null) return flow(value, layout, manner)
  const text = typeof value === "string" ? undefined : manner.plain.get(own)?.get(key)
  return text === undefined || text === "" ? quoted(value) : text
}

function below(layout: FlowLayout): FlowLayout {
  return layout.indent === null ? layout : { ...layout, indent: layout.indent + layout.unit }
}

function list(open: string, close: string, items: readonly string[], layout: FlowLayout): string {
  if (items.length === 0) return open + close
  if (layout.indent === null) return open + items.join(`,${layout.space}`) + close
  const inner = `${layout.eol}${layout.indent}`
  const outer = `${layout.eol}${layout.indent.slice(0, layout.indent.length - layout.unit.length)}`
  return `${open}${inner}${items.join(`,${inner}`)}${outer}${close}`
}

function leaf(value: unknown, key: string, own: object, manner: Manner): string {
  const text = manner.plain.get(own)?.get(key)
  if (text !== undefined && text !== "" && !text.includes("\n")) return text
  if (Array.isArray(value)) return "[]"
  if (isFields(value)) return "{}"
  return typeof value === "string" ? scalar(value) : quoted(value)
}

function scalar(text: string): string {
  if (SAFE.test(text) && !WORDS.test(text)) return text
  // JSON within single quotes needs no backslashes.
  return /^[\x20-\x7e]*$/.test(text) && text.includes('"') && !text.includes("'")
    ? `'${text}'`
    : JSON.stringify(text)
}

function quoted(value: unknown): string {
  return typeof value === "bigint" ? value.toString() : JSON.stringify(value ?? null)
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
