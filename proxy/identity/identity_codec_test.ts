// The hand-written codec of conduit.identity.v1, held to the generated code.
import { expect, test } from "bun:test"
import { create, fromBinary, toBinary } from "@bufbuild/protobuf"
import fc from "fast-check"
import { identityV1 } from "../../protos/mod.ts"
import { CERTIFICATES_MAX, decodeCertified, decodeTrustAnchors, encodeCertify } from "./identity_codec.ts"

const bytes = fc.uint8Array({ maxLength: 300 })
const lists = fc.array(bytes, { maxLength: 5 })
const time = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const plain = (list: readonly Uint8Array[]) => list.map(one => [...one])

test("requests are read by the generated code", () => {
  fc.assert(
    fc.property(fc.string(), bytes, (token, csr) => {
      const message = fromBinary(identityV1.CertifyRequestSchema, encodeCertify(token, csr))
      expect(message.token).toBe(token)
      expect([...message.csr]).toEqual([...csr])
    }),
  )
})

test("answers of the generated code are read", () => {
  fc.assert(
    fc.property(lists, lists, time, time, (chain, trustAnchors, notBeforeMs, notAfterMs) => {
      const message = create(identityV1.CertifyResponseSchema, {
        chain,
        trustAnchors,
        notBeforeMs: BigInt(notBeforeMs),
        notAfterMs: BigInt(notAfterMs),
      })
      const read = decodeCertified(toBinary(identityV1.CertifyResponseSchema, message))
      expect(plain(read.chain)).toEqual(plain(chain))
      expect(plain(read.trustAnchors)).toEqual(plain(trustAnchors))
      expect(read).toMatchObject({ notBeforeMs, notAfterMs })
      const anchors = create(identityV1.WatchTrustAnchorsResponseSchema, { trustAnchors })
      const watched = decodeTrustAnchors(toBinary(identityV1.WatchTrustAnchorsResponseSchema, anchors))
      expect(plain(watched)).toEqual(plain(trustAnchors))
    }),
  )
})

test("more certificates than anybody has are not kept", () => {
  const trustAnchors = Array.from({ length: CERTIFICATES_MAX + 5 }, () => new Uint8Array(1))
  const message = create(identityV1.WatchTrustAnchorsResponseSchema, { trustAnchors })
  const read = decodeTrustAnchors(toBinary(identityV1.WatchTrustAnchorsResponseSchema, message))
  expect(read).toHaveLength(CERTIFICATES_MAX)
})
