// Cuts a stream into its documents without parsing it: YAML by its markers (YAML 1.2 section 9), JSON by its values.
// The pieces put together again are the stream, byte for byte.

/** One document of a stream, with everything around it: comments and directives before, its markers. */
export interface Piece {
  readonly text: string
  /** Line of the stream, from 1, on which the piece begins. */
  readonly line: number
  /** Whether it is JSON, so that what is added to it must be JSON too. */
  readonly json: boolean
}

const BOM = 0xfeff
const NEWLINE = 0x0a
const HASH = 0x23
const PERCENT = 0x25

/**
 * The documents of a stream.
 *
 * A `---` at the start of a line is a marker wherever it stands (YAML 1.2 section 9.1.2 forbids it within content,
 * block scalars too), so lines are enough to find documents, and a broken document does not spoil the next.
 */
export function* splitStream(text: string): Generator<Piece> {
  for (const piece of yamlPieces(text)) yield* jsonPieces(piece)
}

function* yamlPieces(text: string): Generator<Piece> {
  let start = 0
  let startLine = 1
  let line = 1
  // Directives and comments belong to the document that follows them.
  let opened = false
  for (let at = text.charCodeAt(0) === BOM ? 1 : 0; at < text.length; line++) {
    const newline = text.indexOf("\n", at)
    const end = newline < 0 ? text.length : newline + 1
    if (isMarker(text, at, "---")) {
      if (opened) {
        yield { text: text.slice(start, at), line: startLine, json: false }
        start = at
        startLine = line
      }
      opened = true
    } else if (opened && isMarker(text, at, "...")) {
      yield { text: text.slice(start, end), line: startLine, json: false }
      start = end
      startLine = line + 1
      opened = false
    } else if (!opened) {
      opened = hasContent(text, at, end)
    }
    at = end
  }
  if (start < text.length) yield { text: text.slice(start), line: startLine, json: false }
}

function isMarker(text: string, at: number, marker: string): boolean {
  if (!text.startsWith(marker, at)) return false
  const next = text.charAt(at + 3)
  return next === "" || next === " " || next === "\t" || next === "\n" || next === "\r"
}

function hasContent(text: string, at: number, end: number): boolean {
  if (text.charCodeAt(at) === PERCENT) return false
  for (let index = at; index < end; index++) {
    const code = text.charCodeAt(index)
    if (!isBlank(code)) return code !== HASH
  }
  return false
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === NEWLINE || code === 0x0d || code === BOM
}

/** A piece that is one JSON value or several becomes as many pieces; anything else stays as it is. */
function* jsonPieces(piece: Piece): Generator<Piece> {
  const ends = jsonEnds(piece.text)
  if (ends === null) {
    yield piece
    return
  }
  let start = 0
  let line = piece.line
  for (const [index, valueEnd] of ends.entries()) {
    const end = index === ends.length - 1 ? piece.text.length : valueEnd
    const text = piece.text.slice(start, end)
    yield { text, line, json: true }
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) line++
    start = end
  }
}

/** Where each JSON value of the text ends; null when it is not JSON values and nothing else. */
function jsonEnds(text: string): number[] | null {
  const ends: number[] = []
  let depth = 0
  let start = -1
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (depth === 0) {
      if (isBlank(code)) continue
      if (code !== 0x7b && code !== 0x5b) return null
      start = at
      depth = 1
    } else if (code === 0x22) {
      at = stringEnd(text, at)
      if (at < 0) return null
    } else if (code === 0x7b || code === 0x5b) depth++
    else if (code === 0x7d || code === 0x5d) {
      depth--
      if (depth > 0) continue
      if (!isJson(text.slice(start, at + 1))) return null
      ends.push(at + 1)
    }
  }
  return depth === 0 && ends.length > 0 ? ends : null
}

/** Where the string that begins at `at` has its closing quote; -1 when it has none. */
function stringEnd(text: string, at: number): number {
  let quote = text.indexOf('"', at + 1)
  while (quote >= 0) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return quote
    quote = text.indexOf('"', quote + 1)
  }
  return -1
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
