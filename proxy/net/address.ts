// IP addresses between bytes and text (RFC 5952 for IPv6), and the IPv4-mapped form that dual-stack sockets show.

/** Dotted text of 4 bytes at `offset`. */
export function formatIpv4(bytes: Uint8Array, offset: number): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`
}

/** Canonical text (RFC 5952) of 16 bytes at `offset`; an IPv4-mapped address as dotted IPv4. */
export function formatIpv6(bytes: Uint8Array, offset: number): string {
  const groups: number[] = []
  for (let i = 0; i < 16; i += 2) groups.push(((bytes[offset + i] ?? 0) << 8) | (bytes[offset + i + 1] ?? 0))
  if (groups.slice(0, 5).every(group => group === 0) && groups[5] === 0xffff)
    return formatIpv4(bytes, offset + 12)
  let bestStart = -1
  let bestLength = 1
  for (let start = 0; start < 8; start++) {
    let end = start
    while (end < 8 && groups[end] === 0) end++
    if (end - start > bestLength) {
      bestStart = start
      bestLength = end - start
    }
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map(group => group.toString(16))
      .join(":")
  return bestStart < 0 ? hex(0, 8) : `${hex(0, bestStart)}::${hex(bestStart + bestLength, 8)}`
}

/**
 * Bytes of an address, 4 or 16 in network order; an IPv4-mapped IPv6 address gives 4.
 *
 * @returns null when the text is no address
 */
export function parseAddress(text: string): Uint8Array | null {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text)
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".")
  if (parts.length !== 4) return null
  const bytes = new Uint8Array(4)
  for (let i = 0; i < 4; i++) {
    const part = parts[i] ?? ""
    if (!/^\d{1,3}$/.test(part) || Number(part) > 255) return null
    bytes[i] = Number(part)
  }
  return bytes
}

function parseIpv6(text: string): Uint8Array | null {
  let source = text
  const lastColon = source.lastIndexOf(":")
  if (source.includes(".", lastColon)) {
    const tail = parseIpv4(source.slice(lastColon + 1))
    if (tail === null) return null
    const view = new DataView(tail.buffer)
    source = `${source.slice(0, lastColon + 1)}${view.getUint16(0).toString(16)}:${view.getUint16(2).toString(16)}`
  }
  const halves = source.split("::")
  if (halves.length > 2) return null
  const head = halves[0] ? halves[0].split(":") : []
  const tail = halves[1] ? halves[1].split(":") : []
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const groups = [...head, ...Array<string>(halves.length === 2 ? missing : 0).fill("0"), ...tail]
  const bytes = new Uint8Array(16)
  for (let i = 0; i < 8; i++) {
    const group = groups[i] ?? ""
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return null
    const number = Number.parseInt(group, 16)
    bytes[2 * i] = number >> 8
    bytes[2 * i + 1] = number & 0xff
  }
  const mapped = bytes.subarray(0, 10).every(byte => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff
  return mapped ? bytes.slice(12) : bytes
}

/** `::ffff:10.0.0.1` as `10.0.0.1`; anything else as it is. */
export function unmapped(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address
}

/** `10.0.0.1:80`, `[fd00::1]:80`: as logs and labels write it. */
export function formatAddress(address: string, port: number): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`
}
