// Byte tables of the HTTP grammar (RFC 9110 section 5.6, RFC 9112 section 2), one look-up instead of several comparisons.

/** The byte may stand in a token: a method or a field name (RFC 9110 section 5.6.2, `tchar`). */
export const IS_TOKEN = 1
/** The byte may stand in a field value: HTAB, SP, VCHAR, obs-text (RFC 9110 section 5.5). */
export const IS_VALUE = 2
/** The byte may stand in a request target. See `ASCII_CLASS`. */
export const IS_TARGET = 4

/** Horizontal tab. */
export const HTAB = 9
/** Line feed. */
export const LF = 10
/** Carriage return. */
export const CR = 13
/** Space. */
export const SP = 32
/** `,` */
export const COMMA = 44
/** `/` */
export const SLASH = 47
/** `:` */
export const COLON = 58
/** `;` */
export const SEMICOLON = 59

function classify(): Uint8Array {
  const table = new Uint8Array(256)
  const tokenPunctuation = "!#$%&'*+-.^_`|~"
  for (let byte = 0; byte < 256; byte++) {
    const character = String.fromCharCode(byte)
    const isAlphanumeric = /[0-9A-Za-z]/.test(character)
    let flags = 0
    if (isAlphanumeric || (byte < 128 && tokenPunctuation.includes(character))) flags |= IS_TOKEN
    if (byte === HTAB || (byte >= SP && byte !== 127)) flags |= IS_VALUE
    if (byte > SP && byte !== 127 && character !== "#") flags |= IS_TARGET
    table[byte] = flags
  }
  return table
}

/**
 * Flags `IS_TOKEN`, `IS_VALUE`, `IS_TARGET` for each byte.
 *
 * A target takes every visible byte, and bytes above 127, because clients send raw UTF-8 and characters such as
 * `|` that RFC 3986 forbids and servers accept. `#` is refused: servers cut the target there, so a path rule that
 * looks at `/admin#x` would judge another path than the one that is served.
 */
export const ASCII_CLASS: Uint8Array = classify()

/** Whether bytes[start, end) equal `lowerCase` (ASCII letters and `-` only), whatever their case. */
export function equalsIgnoreCase(bytes: Uint8Array, start: number, end: number, lowerCase: string): boolean {
  const length = lowerCase.length
  if (end - start !== length) return false
  for (let i = 0; i < length; i++) {
    const byte = bytes[start + i] as number
    const folded = byte >= 65 && byte <= 90 ? byte | 32 : byte
    if (folded !== lowerCase.charCodeAt(i)) return false
  }
  return true
}

/** Whether every character is a visible one of ASCII, so that a log line stays one line. */
export function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x21 || code > 0x7e) return false
  }
  return true
}
