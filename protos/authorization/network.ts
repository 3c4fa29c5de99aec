// IP networks of policies (CIDR, RFC 4632 and RFC 4291) and the addresses that they are held against.

/** A network. */
export interface Network {
  /** First address, 4 or 16 bytes; an IPv4-mapped one has 4. */
  readonly address: Uint8Array
  /** Bits that count, 0 to 32 or 128. */
  readonly bits: number
}

/** Bytes of an address, 4 or 16; an IPv4-mapped IPv6 address gives 4. Null when the text is no address. */
export function parseIp(text: string): Uint8Array | null {
  if (!text.includes(":")) return parseIpv4(text)
  const bytes = parseIpv6(text)
  return bytes !== null && isMapped(bytes) ? bytes.slice(12) : bytes
}

/**
 * A network in CIDR notation, or a sentence that says why it is none. Bits behind the prefix must be zero: whoever
 * set them meant another network.
 */
export function parseNetwork(text: string): Network | string {
  const slash = text.indexOf("/")
  const ip = slash < 0 ? text : text.slice(0, slash)
  const raw = ip.includes(":") ? parseIpv6(ip) : parseIpv4(ip)
  if (raw === null) return `"${text}" is no network in CIDR notation, such as 10.0.0.0/8 or fd00::/8`
  const longest = raw.length * 8
  if (slash < 0)
    return `"${text}" is an address, not a network; write ${text}/${longest} for this one address`
  const digits = text.slice(slash + 1)
  const bits = /^\d{1,3}$/.test(digits) ? Number(digits) : Number.NaN
  if (!(bits <= longest)) return `"${text}" needs a prefix length from 0 to ${longest} behind the slash`
  const masked = raw.slice()
  for (let i = 0; i < masked.length; i++) {
    const kept = Math.min(8, Math.max(0, bits - i * 8))
    masked[i] = (masked[i] as number) & (0xff << (8 - kept))
  }
  if (Buffer.compare(masked, raw) !== 0) {
    return `"${text}" has bits set behind its prefix length; write ${formatIp(masked)}/${bits} for that network`
  }
  return isMapped(raw) && bits >= 96 ? { address: raw.slice(12), bits: bits - 96 } : { address: raw, bits }
}

/** Whether an address (bytes of `parseIp`) lies in a network. Families never match each other. */
export function contains(network: Network, address: Uint8Array): boolean {
  const own = network.address
  if (own.length !== address.length) return false
  const whole = network.bits >> 3
  for (let i = 0; i < whole; i++) if (own[i] !== address[i]) return false
  const rest = network.bits & 7
  return rest === 0 || (((own[whole] as number) ^ (address[whole] as number)) & (0xff << (8 - rest))) === 0
}

function isMapped(bytes: Uint8Array): boolean {
  if (bytes.length !== 16 || bytes[10] !== 0xff || bytes[11] !== 0xff) return false
  for (let i = 0; i < 10; i++) if (bytes[i] !== 0) return false
  return true
}

function parseIpv4(text: string): Uint8Array | null {
  const parts = text.split(".")
  if (parts.length !== 4) return null
  const bytes = new Uint8Array(4)
  for (const [i, part] of parts.entries()) {
    // A leading zero is octal to some readers and decimal to others.
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return null
    bytes[i] = Number(part)
  }
  return bytes
}

function parseIpv6(text: string): Uint8Array | null {
  let source = text
  const lastColon = text.lastIndexOf(":")
  if (text.includes(".", lastColon)) {
    const tail = parseIpv4(text.slice(lastColon + 1))
    if (tail === null) return null
    const [a = 0, b = 0, c = 0, d = 0] = tail
    source = `${text.slice(0, lastColon + 1)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`
  }
  const halves = source.split("::")
  if (halves.length > 2) return null
  const head = halves[0] ? halves[0].split(":") : []
  const tail = halves[1] ? halves[1].split(":") : []
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null
  const groups = [...head, ...new Array<string>(halves.length === 2 ? missing : 0).fill("0"), ...tail]
  const bytes = new Uint8Array(16)
  for (const [i, group] of groups.entries()) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return null
    const number = Number.parseInt(group, 16)
    bytes[2 * i] = number >> 8
    bytes[2 * i + 1] = number & 0xff
  }
  return bytes
}

/** For suggestions only: IPv6 without the shortest form. */
function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join(".")
  const groups: string[] = []
  for (let i = 0; i < 16; i += 2) groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16))
  let end = 8
  while (end > 0 && groups[end - 1] === "0") end--
  return end === 8
    ? groups.join(":")
    : end === 7
      ? `${groups.join(":")}`
      : `${groups.slice(0, end).join(":")}::`
}
