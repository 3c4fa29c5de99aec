// A map from a key to a set of values: the shape of every index.

const NOTHING: ReadonlySet<never> = new Set<never>()

/** Many values per key; a key without values is not kept. */
export class MultiMap<V> {
  private readonly sets = new Map<string, Set<V>>()

  /** Values of a key, none when it has none. */
  get(key: string): ReadonlySet<V> {
    return this.sets.get(key) ?? NOTHING
  }

  /** Adds a value; one that is there stays once. */
  add(key: string, value: V): void {
    const set = this.sets.get(key)
    if (set === undefined) this.sets.set(key, new Set([value]))
    else set.add(value)
  }

  /** Removes a value; one that is not there is no error. */
  delete(key: string, value: V): void {
    const set = this.sets.get(key)
    set?.delete(value)
    if (set?.size === 0) this.sets.delete(key)
  }
}
