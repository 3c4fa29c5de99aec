// Networks in CIDR notation, of both families, and what is no network.
import { expect, test } from "bun:test"
import { contains, parseIp, parseNetwork } from "./network.ts"

/** Network, address, whether it contains it. */
const CASES: readonly (readonly [network: string, address: string, inside: boolean])[] = [
  ["10.0.0.0/8", "10.255.0.1", true],
  ["10.0.0.0/8", "11.0.0.1", false],
  ["10.1.2.128/25", "10.1.2.129", true],
  ["10.1.2.128/25", "10.1.2.127", false],
  ["10.1.2.3/32", "10.1.2.3", true],
  ["10.1.2.3/32", "10.1.2.2", false],
  ["0.0.0.0/0", "203.0.113.9", true],
  ["0.0.0.0/0", "fd00::1", false],
  ["::/0", "fd00::1", true],
  ["::/0", "10.0.0.1", false],
  ["fd00::/8", "fdff::1", true],
  ["fd00::/8", "fe80::1", false],
  ["2001:db8::/33", "2001:db8:7fff::1", true],
  ["2001:db8::/33", "2001:db8:8000::1", false],
  ["10.0.0.0/8", "::ffff:10.0.0.1", true],
  ["::ffff:10.0.0.0/104", "10.9.9.9", true],
  ["::ffff:10.0.0.0/104", "11.9.9.9", false],
]

for (const [network, address, inside] of CASES) {
  test(`${network} ${inside ? "contains" : "does not contain"} ${address}`, () => {
    const parsed = parseNetwork(network)
    const ip = parseIp(address)
    if (typeof parsed === "string" || ip === null) throw new Error(`${network} ${address}`)
    expect(contains(parsed, ip)).toBe(inside)
  })
}

/** Text that is no network, what the complaint says. */
const WRONG: readonly (readonly [text: string, complaint: string])[] = [
  ["10.0.0.0", "write 10.0.0.0/32"],
  ["fd00::1", "write fd00::1/128"],
  ["10.0.0.0/33", "from 0 to 32"],
  ["10.0.0.0/", "from 0 to 32"],
  ["10.0.0.0/-1", "from 0 to 32"],
  ["10.1.0.0/8", "write 10.0.0.0/8"],
  ["fd00::1/8", "write fd00::/8"],
  ["10.0.0/8", "no network"],
  ["010.0.0.0/8", "no network"],
  ["web", "no network"],
  ["", "no network"],
  ["fd00::g/8", "no network"],
  ["1::2::3/8", "no network"],
]

for (const [text, complaint] of WRONG) {
  test(`"${text}" is no network: ${complaint}`, () => {
    expect(parseNetwork(text)).toContain(complaint)
  })
}
