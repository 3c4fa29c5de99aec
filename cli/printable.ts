// Text of strangers on a terminal: control characters could move its cursor, rename its window or forge lines.

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not pass
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]/g

/** Text with control characters written out, such as `\x1b`. */
export function printable(text: string): string {
  return text.replace(CONTROL, character => {
    const code = character.charCodeAt(0)
    return code < 0x100
      ? `\\x${code.toString(16).padStart(2, "0")}`
      : `\\u${code.toString(16).padStart(4, "0")}`
  })
}

/** JSON on one line, for pipes and terminals alike: no control character is in it as such. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(
    CONTROL,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
}
