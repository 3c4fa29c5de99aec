// The nearest known word to one that was mistyped.

/** Number of single-letter edits (swap of neighbours counts as one) that turn `from` into `to`. */
export function editDistance(from: string, to: string): number {
  let twoBack: number[] = []
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (let i = 1; i <= from.length; i++) {
    const current = [i]
    for (let j = 1; j <= to.length; j++) {
      const cost = from[i - 1] === to[j - 1] ? 0 : 1
      let best = Math.min(at(previous, j) + 1, at(current, j - 1) + 1, at(previous, j - 1) + cost)
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        best = Math.min(best, at(twoBack, j - 2) + 1)
      }
      current.push(best)
    }
    twoBack = previous
    previous = current
  }
  return at(previous, to.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}

/**
 * The known word that was most likely meant, or null when none is near.
 *
 * A word that starts with what was typed wins; otherwise at most a third of the letters may differ.
 */
export function nearest(typed: string, known: readonly string[]): string | null {
  const wanted = typed.toLowerCase()
  if (wanted.length >= 2) {
    const completion = known.find(word => word.startsWith(wanted))
    if (completion !== undefined) return completion
  }
  let best: string | null = null
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const word of known) {
    const distance = editDistance(wanted, word.toLowerCase())
    if (distance < bestDistance) {
      best = word
      bestDistance = distance
    }
  }
  return best
}

/** ` (did you mean "stat"?)` for a mistyped word, or nothing. */
export function didYouMean(typed: string, known: readonly string[], prefix = ""): string {
  const word = nearest(typed, known)
  return word === null ? "" : ` (did you mean "${prefix}${word}"?)`
}
