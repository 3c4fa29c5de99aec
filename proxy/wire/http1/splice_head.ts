// Rewrites a head where a line must go or come: the slow path, for what cannot be forwarded as the bytes it came in.

import { COLON, CR, equalsIgnoreCase, LF } from "../ascii.ts"
import type { MessageHead } from "./message_head.ts"

/**
 * A copy of a parsed head without some of its fields, all else as sent.
 *
 * @param dropped  names in lower case
 * @param added  whole lines with their CRLF in Latin-1, put behind the fields that stay
 * @param firstLine  takes the place of the first line, with its CRLF; "" to keep that
 */
export function spliceHead(
  head: MessageHead,
  dropped: readonly string[],
  added: string,
  firstLine = "",
): Uint8Array {
  const { bytes, start, fieldsStart, end } = head
  const result = new Uint8Array(end - start + added.length + firstLine.length)
  let length = 0
  if (firstLine === "") {
    result.set(bytes.subarray(start, fieldsStart))
    length = fieldsStart - start
  } else for (let i = 0; i < firstLine.length; i++) result[length++] = firstLine.charCodeAt(i)
  let at = fieldsStart
  // Field lines; the empty line that ends the head comes behind what is added.
  while (at < end - 2) {
    const lineStart = at
    while (bytes[at] !== COLON && bytes[at] !== CR) at++
    const nameEnd = at
    while (bytes[at] !== CR) at++
    at += 2
    let keep = true
    for (const name of dropped) if (equalsIgnoreCase(bytes, lineStart, nameEnd, name)) keep = false
    if (keep) {
      result.set(bytes.subarray(lineStart, at), length)
      length += at - lineStart
    }
  }
  for (let i = 0; i < added.length; i++) result[length++] = added.charCodeAt(i)
  result[length++] = CR
  result[length++] = LF
  return result.subarray(0, length)
}
