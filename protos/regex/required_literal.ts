// Text that stands in everything that an expression takes: a search for it is much faster than the expression, and most of
// many expressions are ruled out by it.

/** Shorter ones rule little out. */
const MIN_CHARS = 3
/** Escapes of a letter that stand for a set or a place, and never for more than one character. */
const SETS = "dDwWsSbBAz"

/**
 * The longest piece of an expression that must stand in its input as it is; "" where none is easily told.
 *
 * @param source  an expression that can be compiled
 */
export function requiredLiteral(source: string): string {
  let best = ""
  let run = ""
  let depth = 0
  const flush = (): void => {
    if (run.length > best.length) best = run
    run = ""
  }
  for (let i = 0; i < source.length; i++) {
    let char = source[i] ?? ""
    let isLiteral = true
    if (char === "(") {
      // Flags change what letters mean; `(?:` alone does not.
      if (source[i + 1] === "?" && source[i + 2] !== ":") return ""
      depth++
      isLiteral = false
    } else if (char === ")") {
      depth--
      isLiteral = false
    } else if (char === "|") {
      if (depth === 0) return ""
      isLiteral = false
    } else if (char === "[") {
      i++
      if (source[i] === "^") i++
      // The first one closes nothing.
      for (let first = true; i < source.length && (first || source[i] !== "]"); first = false, i++) {
        if (source[i] === "\\") i++
        else if (source[i] === "[" && source[i + 1] === ":") i = source.indexOf(":]", i) + 1
      }
      isLiteral = false
    } else if (char === "\\") {
      i++
      char = source[i] ?? ""
      if (/[A-Za-z0-9]/.test(char)) {
        if (!SETS.includes(char)) return ""
        isLiteral = false
      }
    } else if (".^$*+?{".includes(char)) {
      if (char === "{") i = source.indexOf("}", i)
      isLiteral = false
    }
    if (!isLiteral || depth > 0) {
      flush()
      continue
    }
    const next = source[i + 1]
    // What may be missing is not required; what may come again ends the piece.
    if (next === "*" || next === "?" || next === "{") flush()
    else {
      run += char
      if (next === "+") flush()
    }
  }
  flush()
  return best.length < MIN_CHARS ? "" : best
}
