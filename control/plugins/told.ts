// What stream hooks are told of the cluster: everything at first, then what changed. Nothing queues up for a plugin that
// does not read: what it is told next is what differs by then.

/** Changes are gathered this long before they are told: a rollout makes many. */
export const TOLD_AFTER_MS = 50

/** What differs from what was told. */
export interface ToldChange<Item> {
  readonly changed: readonly Item[]
  /** The last states of what is gone. */
  readonly removed: readonly Item[]
}

/** Remembers what was told. */
export class Told<Item> {
  readonly #items: () => Iterable<readonly [key: string, item: Item]>
  #told = new Map<string, { readonly item: Item; readonly text: string }>()

  /** @param items  all there is now, by key; items with the same JSON are the same */
  constructor(items: () => Iterable<readonly [key: string, item: Item]>) {
    this.#items = items
  }

  /** What differs now from what was told before; it counts as told then. */
  next(): ToldChange<Item> {
    const changed: Item[] = []
    const now = new Map<string, { readonly item: Item; readonly text: string }>()
    for (const [key, item] of this.#items()) {
      const text = JSON.stringify(item)
      const before = this.#told.get(key)
      now.set(key, before?.text === text ? before : { item, text })
      if (before?.text !== text) changed.push(item)
    }
    const removed = [...this.#told].filter(([key]) => !now.has(key)).map(([, { item }]) => item)
    this.#told = now
    return { changed, removed }
  }
}

/** Wakes one who waits; several wakes before the wait are one. */
export class Wake {
  #awake = false
  #resolve: (() => void) | null = null

  /** Wakes. */
  wake(): void {
    this.#awake = true
    this.#resolve?.()
    this.#resolve = null
  }

  /** Waits for the next wake. */
  async wait(): Promise<void> {
    if (!this.#awake) {
      await new Promise<void>(resolve => {
        this.#resolve = resolve
      })
    }
    this.#awake = false
  }
}
