// The normal form of a request's path, by which rules compare: what servers agree on is resolved, and what they read
// in different ways is named a fault, so that a rule is never held against another path than the one that is served.
// RFC 3986 section 6.2.2; the table of cases is in ARCHITECTURE.md, "The normal form of paths".

const PLAIN = 1
const SLASH = 0x2f
const DOT = 0x2e
const PERCENT = 0x25
const QUERY = 0x3f

/** 1 for characters that stand for themselves in the normal form: unreserved ones and sub-delims, less `*` and `;`. */
const CLASS: Uint8Array = (() => {
  const table = new Uint8Array(128)
  const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()+,=:@/"
  for (let i = 0; i < plain.length; i++) table[plain.charCodeAt(i)] = PLAIN
  return table
})()

/**
 * Reads paths, one after the other; an object is reused, so that reading a path as nearly all are sent allocates
 * nothing but the part before a query.
 */
export class PathReading {
  /** The normal form; empty where `fault` is set. */
  path = ""
  /**
   * The same with dot segments and empty segments left as they were sent, as servers read it that do not resolve
   * them; the very same string where there are none.
   */
  literal = ""
  /** Why the path can be read in more than one way, for a person; empty where it cannot. */
  fault = ""

  /**
   * Reads a request target as it was sent (origin form, or the part of an absolute one behind the authority), one
   * character a byte. The query is left out.
   */
  read(target: string): void {
    this.fault = ""
    const first = target.charCodeAt(0)
    if (first !== SLASH) {
      this.readOther(target, first)
      return
    }
    const length = target.length
    let previous = SLASH
    let at = 1
    for (; at < length; at++) {
      const c = target.charCodeAt(at)
      if (c === QUERY) break
      if (c >= 128 || CLASS[c] !== PLAIN || (c === SLASH && (previous === SLASH || previous === DOT))) {
        this.readOdd(target)
        return
      }
      previous = c
    }
    if (previous === DOT) {
      this.readOdd(target)
      return
    }
    this.path = at === length ? target : target.substring(0, at)
    this.literal = this.path
  }

  private fail(fault: string): void {
    this.path = ""
    this.literal = ""
    this.fault = fault
  }

  private readOther(target: string, first: number): void {
    // `http://host?query` has an empty path, which is "/" (RFC 9110 section 4.2.3).
    if (target === "" || first === QUERY) this.path = "/"
    else if (target === "*") this.path = "*"
    else {
      this.fail("the target is no path")
      return
    }
    this.literal = this.path
  }

  private readOdd(target: string): void {
    const decoded = decode(target)
    if (typeof decoded !== "string") {
      this.fail(decoded.fault)
      return
    }
    const segments = decoded.split("/")
    let dots = false
    let empty = false
    const kept: string[] = []
    const last = segments.length - 1
    for (let i = 1; i <= last; i++) {
      // i <= last
      const segment = segments[i] as string
      if (segment === "." || segment === "..") {
        dots = true
        if (segment === ".." && kept.pop() === undefined) {
          this.fail("dot segments lead above the root")
          return
        }
        if (i === last) kept.push("")
      } else if (segment === "" && i < last) {
        // To a reader of URLs, what follows two slashes is a host (RFC 3986 section 4.2).
        if (i === 1) {
          this.fail("it begins with two slashes")
          return
        }
        empty = true
      } else if (segment.endsWith(".") || segment.endsWith("%20")) {
        this.fail("a segment ends in a dot or a blank")
        return
      } else kept.push(segment)
    }
    if (dots && empty) {
      this.fail("there are empty segments beside dot segments")
      return
    }
    this.literal = decoded
    this.path = dots || empty ? `/${kept.join("/")}` : decoded
  }
}

/** The path with its encodings in one form, or what is wrong with it. */
function decode(target: string): string | { readonly fault: string } {
  let out = ""
  const query = target.indexOf("?")
  const end = query < 0 ? target.length : query
  /** Continuation bytes of a UTF-8 sequence that are still due, and the range of the next one (RFC 3629). */
  let due = 0
  let low = 0x80
  let high = 0xbf
  for (let at = 0; at < end; at++) {
    let c = target.charCodeAt(at)
    const encoded = c === PERCENT
    if (encoded) {
      const a = hex(target.charCodeAt(at + 1))
      const b = hex(target.charCodeAt(at + 2))
      if (a < 0 || b < 0 || at + 2 >= end) return { fault: "a percent sign begins no encoding" }
      c = a * 16 + b
      at += 2
    }
    if (due > 0) {
      if (c < low || c > high) return { fault: "there are bytes that are not UTF-8" }
      due--
      low = 0x80
      high = 0xbf
      out += percent(c)
      continue
    }
    if (c >= 0x80) {
      if (c >= 0xc2 && c <= 0xdf) due = 1
      else if (c >= 0xe0 && c <= 0xef) due = 2
      else if (c >= 0xf0 && c <= 0xf4) due = 3
      else return { fault: "there are bytes that are not UTF-8" }
      // Overlong forms, surrogates and what lies beyond Unicode.
      if (c === 0xe0) low = 0xa0
      else if (c === 0xed) high = 0x9f
      else if (c === 0xf0) low = 0x90
      else if (c === 0xf4) high = 0x8f
      out += percent(c)
      continue
    }
    if (c < 0x20 || c === 0x7f) return { fault: "there is a control character" }
    if (c === 0x5c) return { fault: "there is a backslash" }
    if (c === 0x3b) return { fault: "there are parameters behind a semicolon" }
    if (c === 0x23) return { fault: "there is a number sign" }
    if (encoded && c === SLASH) return { fault: "there is an encoded slash" }
    if (encoded && c === QUERY) return { fault: "there is an encoded question mark" }
    if (c === PERCENT) {
      // What is encoded in the normal form begins with a percent sign there.
      const next = at + 1 < end ? target.charCodeAt(at + 1) : SLASH
      if (hex(next) >= 0 || CLASS[next] !== PLAIN) return { fault: "it is encoded twice" }
    }
    out += CLASS[c] === PLAIN ? String.fromCharCode(c) : percent(c)
  }
  return due > 0 ? { fault: "there are bytes that are not UTF-8" } : out
}

function percent(byte: number): string {
  return byte < 16 ? `%0${byte.toString(16).toUpperCase()}` : `%${byte.toString(16).toUpperCase()}`
}

/** Value of a hexadecimal digit, -1 for none. */
function hex(c: number): number {
  if (c >= 0x30 && c <= 0x39) return c - 0x30
  const folded = c | 0x20
  return folded >= 0x61 && folded <= 0x66 ? folded - 0x57 : -1
}

/** A path of a policy in the form that is compared, or a sentence that says why no request can match it. */
export function readPattern(text: string): { readonly pattern: string } | string {
  if (text === "*") return { pattern: "*" }
  if (!text.startsWith("/")) return `"${text}" must begin with "/", or be "*" for any path`
  const star = text.indexOf("*")
  if (star >= 0 && star < text.length - 1) {
    return `"${text}" has a "*" that is not at its end; it stands for the rest of a path only (%2A is the character)`
  }
  if (text.includes("?")) return `"${text}" has a query; rules see paths only`
  const reading = new PathReading()
  const bytes = Buffer.from(star < 0 ? text : text.slice(0, -1), "utf8").toString("latin1")
  // A letter in the place of what the star stands for: "/a." alone would end in a dot, "/a.*" does not.
  reading.read(star < 0 ? bytes : `${bytes}x`)
  if (reading.fault !== "") return `"${text}" is a path that servers read in different ways: ${reading.fault}`
  if (reading.path !== reading.literal) {
    const normal = star < 0 ? reading.path : `${reading.path.slice(0, -1)}*`
    return `"${text}" has dot segments or empty ones; write ${normal}`
  }
  return { pattern: star < 0 ? reading.path : `${reading.path.slice(0, -1)}*` }
}
