// Sees to it that an edited text says what was meant: it is read again and compared, before anybody applies it.
import { type Change, type Fields, parseSource } from "../yaml_edit/mod.ts"

/**
 * Whether a document's new text says what it said before with the changes made.
 *
 * The runtime's own YAML reader is asked first, being twenty times as fast; where it disagrees, as about numbers of
 * YAML 1.1, the reader that the edit was made by decides.
 */
export function saysTheSame(
  text: string,
  json: boolean,
  before: unknown,
  changes: readonly Change[],
): boolean {
  const wanted = changed(before, new Map(changes.map(change => [change.before, change.after])))
  return same(quickRead(text), wanted) || same(parseSource(text, json).value, wanted)
}

function quickRead(text: string): unknown {
  try {
    return Bun.YAML.parse(text)
  } catch {
    return undefined
  }
}

function changed(value: unknown, changes: ReadonlyMap<Fields, Fields>): unknown {
  if (typeof value !== "object" || value === null) return value
  const after = changes.get(value as Fields)
  if (after !== undefined) return after
  const { items } = value as Fields
  return Array.isArray(items) ? { ...value, items: items.map(item => changed(item, changes)) } : value
}

function same(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a === "bigint" && typeof b === "number") return Number.isSafeInteger(b) && a === BigInt(b)
  if (typeof b === "bigint" && typeof a === "number") return Number.isSafeInteger(a) && b === BigInt(a)
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return Object.is(a, b)
  if (Array.isArray(a) !== Array.isArray(b)) return false
  const left = Object.keys(a).filter(key => (a as Fields)[key] !== undefined)
  const right = Object.keys(b).filter(key => (b as Fields)[key] !== undefined)
  return left.length === right.length && right.every(key => same((a as Fields)[key], (b as Fields)[key]))
}
