// Rewrites a head where a line must go or come: the slow path, for what cannot be forwarded as the bytes it came in.

import { COLON, CR, equalsIgnoreCase } from "../ascii.ts"
import type { MessageHead } from "./message_head.ts"

/**
 * A copy of a parsed head without some of its fields, all else as sent.
 *
 * @param dropped  names in lower case
 * @param added  whole lines with their CRLF, put behind the first line
 */
export function spliceHead(head: MessageHead, dropped: readonly string[], added: string): Uint8Array {
  const { bytes, start, fieldsStart, end } = head
  const result = new Uint8Array(end - start + added.length)
  let length = fieldsStart - start
  result.set(bytes.subarray(start, fieldsStart))
  for (let i = 0; i < added.length; i++) result[length++] = added.charCodeAt(i)
  let at = fieldsStart
  while (at < end) {
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
  return result.subarray(0, length)
}
