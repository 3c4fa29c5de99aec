// IP addresses between their text (manifests, RFC 4291, RFC 5952) and their bytes (destination API).
// Text is kept in one canonical form, so that it can be the key of an index.
import { isIP } from "node:net"

/** Family of a canonical address: 4 or 6. */
export function ipFamily(ip: string): 4 | 6 {
  return ip.includes(":") ? 6 : 4
}

/** Canonical text of an address, or null when it is none. An IPv4-mapped IPv6 address becomes IPv4. */
export function canonicalIp(text: string): string | null {
  const bytes = ipToBytes(text)
  return bytes === null ? null : bytesToIp(bytes)
}

/** Bytes of an address in network order, 4 or 16, or null when it is none. */
export function ipToBytes(text: string): Uint8Array | null {
  const version = isIP(text)
  if (version === 4) return Uint8Array.from(text.split("."), Number)
  if (version !== 6 || text.includes("%")) return null
  const halves = text.split("::")
  const head = groupsOf(halves[0] ?? "")
  const tail = halves.length === 2 ? groupsOf(halves[1] ?? "") : []
  const groups = [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail]
  const bytes = new Uint8Array(16)
  for (const [index, group] of groups.entries()) {
    bytes[index * 2] = group >> 8
    bytes[index * 2 + 1] = group & 0xff
  }
  return bytes
}

function groupsOf(part: string): number[] {
  if (part === "") return []
  const groups: number[] = []
  for (const piece of part.split(":")) {
    if (piece.includes(".")) {
      const [a = 0, b = 0, c = 0, d = 0] = piece.split(".").map(Number)
      groups.push((a << 8) | b, (c << 8) | d)
    } else groups.push(Number.parseInt(piece, 16))
  }
  return groups
}

/** Canonical text of 4 or 16 bytes in network order, or null for any other length. */
export function bytesToIp(bytes: Uint8Array): string | null {
  if (bytes.length === 4) return bytes.join(".")
  if (bytes.length !== 16) return null
  const groups: number[] = []
  for (let at = 0; at < 16; at += 2) groups.push(((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0))
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff)
    return bytes.subarray(12).join(".")
  let bestAt = -1
  let bestLength = 1
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (at + length < 8 && groups[at + length] === 0) length++
    if (length > bestLength) {
      bestAt = at
      bestLength = length
    }
  }
  const hex = groups.map(group => group.toString(16))
  if (bestAt < 0) return hex.join(":")
  return `${hex.slice(0, bestAt).join(":")}::${hex.slice(bestAt + bestLength).join(":")}`
}
