// Messages of conduit.identity.v1 to and from what this folder works with.
import { ProtoReader, ProtoWriter } from "../control_plane/mod.ts"

// Field numbers below are those of conduit/identity/v1/identity.proto; tests hold them to the generated code.

/** Certificates of one chain, and trust anchors, at most; more is no answer to be believed. */
export const CERTIFICATES_MAX = 64

/** A signed certificate. */
export interface Certified {
  /** DER, the own one first. */
  readonly chain: readonly Uint8Array[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** DER. */
  readonly trustAnchors: readonly Uint8Array[]
}

/** Asks for a certificate. */
export function encodeCertify(token: string, csr: Uint8Array): Uint8Array {
  const writer = new ProtoWriter()
  writer.text(1, token)
  writer.blob(2, csr)
  return writer.finish()
}

/** Reads a certificate. @throws ProtoError when it cannot be read */
export function decodeCertified(message: Uint8Array): Certified {
  const reader = new ProtoReader(message)
  const chain: Uint8Array[] = []
  const trustAnchors: Uint8Array[] = []
  let notBeforeMs = 0
  let notAfterMs = 0
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1 && chain.length < CERTIFICATES_MAX) chain.push(reader.view().slice())
    else if (field === 2) notBeforeMs = reader.varint()
    else if (field === 3) notAfterMs = reader.varint()
    else if (field === 4 && trustAnchors.length < CERTIFICATES_MAX) trustAnchors.push(reader.view().slice())
    else reader.skip()
  }
  return { chain, notBeforeMs, notAfterMs, trustAnchors }
}

/** Reads trust anchors, DER. @throws ProtoError when they cannot be read */
export function decodeTrustAnchors(message: Uint8Array): readonly Uint8Array[] {
  const reader = new ProtoReader(message)
  const anchors: Uint8Array[] = []
  for (let field = reader.next(); field !== 0; field = reader.next()) {
    if (field === 1 && anchors.length < CERTIFICATES_MAX) anchors.push(reader.view().slice())
    else reader.skip()
  }
  return anchors
}
