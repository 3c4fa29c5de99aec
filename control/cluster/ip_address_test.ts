// Addresses: one canonical text per address, whatever way it was written.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { bytesToIp, canonicalIp, ipFamily, ipToBytes } from "./ip_address.ts"

test.each([
  ["10.0.0.1", "10.0.0.1"],
  ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
  ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
  ["::", "::"],
  ["::1", "::1"],
  ["fe80::", "fe80::"],
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["64:ff9b::192.0.2.33", "64:ff9b::c000:221"],
  ["fe80::1%eth0", null],
  ["10.0.0.256", null],
  ["", null],
  ["web", null],
])("%p is %p in canonical text (RFC 5952)", (text, canonical) => {
  expect(canonicalIp(text)).toBe(canonical)
})

test("text and bytes of any address lead to each other", () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  )
  fc.assert(
    fc.property(bytes, original => {
      const text = bytesToIp(original)
      const again = ipToBytes(text ?? "")
      expect(bytesToIp(again ?? new Uint8Array())).toBe(text)
      if (original.length === 4 || ipFamily(text ?? "") === 6) expect(again).toEqual(original)
    }),
  )
})

test("only 4 and 16 bytes are an address", () => {
  for (const length of [0, 3, 5, 15, 17]) expect(bytesToIp(new Uint8Array(length))).toBeNull()
})
