// What makes one list out of another, where the items that both have are the same objects in the same order.

/** Items of the first list that are gone, and runs of new ones. */
export interface ListChanges {
  /** Indices in the list before, ascending. */
  readonly removed: readonly number[]
  /** New items, each run before the item of that index in the list before (its length: at the end). */
  readonly added: readonly { readonly at: number; readonly items: readonly unknown[] }[]
}

/** Compares by identity: an item that was changed counts as gone and added. */
export function listChanges(before: readonly unknown[], after: readonly unknown[]): ListChanges {
  const removed: number[] = []
  const added: { at: number; items: unknown[] }[] = []
  let at = 0
  for (const item of after) {
    const found = before.indexOf(item, at)
    if (found < 0) {
      const run = added.at(-1)
      if (run?.at === at) run.items.push(item)
      else added.push({ at, items: [item] })
      continue
    }
    for (; at < found; at++) removed.push(at)
    at = found + 1
  }
  for (; at < before.length; at++) removed.push(at)
  return { removed, added }
}
