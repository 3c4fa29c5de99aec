// Query parameters of a path, compared without taking the query apart: the first of a name counts (HTTPQueryParamMatch).
import type { FieldMatch } from "./route_table.ts"

const AMPERSAND = 0x26
const EQUALS = 0x3d

/**
 * Whether the first parameter of the match's name has a value that it takes.
 *
 * @param queryAt  place of the question mark; below 0: there is no query
 */
export function queryValueMatches(path: string, queryAt: number, match: FieldMatch): boolean {
  if (queryAt < 0) return false
  let start = queryAt + 1
  while (start <= path.length) {
    let end = start
    let equals = -1
    for (; end < path.length; end++) {
      const char = path.charCodeAt(end)
      if (char === AMPERSAND) break
      if (char === EQUALS && equals < 0) equals = end
    }
    const nameEnd = equals < 0 ? end : equals
    if (isName(path, start, nameEnd, match.name)) {
      return match.takes(equals < 0 ? "" : decoded(path.slice(equals + 1, end)))
    }
    start = end + 1
  }
  return false
}

function isName(path: string, start: number, end: number, name: string): boolean {
  if (end - start === name.length && path.startsWith(name, start)) return true
  // Names are rarely written in escapes: only then are they decoded.
  const written = path.slice(start, end)
  return (written.includes("%") || written.includes("+")) && decoded(written) === name
}

/** Text without escapes (application/x-www-form-urlencoded); as it stands when they are broken. */
function decoded(text: string): string {
  if (!text.includes("%") && !text.includes("+")) return text
  try {
    return decodeURIComponent(text.replaceAll("+", " "))
  } catch {
    return text
  }
}
