// Consistent choice by hashing (rendezvous, "highest random weight"): a key meets the endpoint whose hash with it is the
// highest, so that endpoints that come or go move only those keys that they take or leave.

/** A hash of text, 32 bits unsigned: FNV-1a, its bits then mixed as in MurmurHash3. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** Hash of two hashes, 32 bits unsigned. */
export function hashOfTwo(a: number, b: number): number {
  return mixed(Math.imul(a, 0x9e3779b1) ^ b)
}

function mixed(hash: number): number {
  let bits = hash
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
