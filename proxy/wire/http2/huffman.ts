// The Huffman code of HPACK (RFC 7541 section 5.2 and appendix B), decoded a byte at a time by an automaton.
// The code is canonical, so the lengths below say everything: codes of one length ascend with the symbol.

/** Length in bits of each octet's code; the last one is EOS, which must never be decoded. */
const CODE_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28,
  28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7,
  8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19,
  13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13,
  28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21,
  22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23,
  22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25,
  25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
]

const EOS = 256

interface HuffmanTables {
  /** Code of each symbol, right-aligned. */
  readonly codes: Uint32Array
  /**
   * State and input byte -> what happens: bits 0-7 next state, 8-9 octets put out (0 to 2), 10-17 the first,
   * 18-25 the second, bit 26 the next state may end the string, bit 27 the input is invalid.
   */
  readonly transitions: Uint32Array
}

const ACCEPTS = 1 << 26
const FAILS = 1 << 27

let tables: HuffmanTables | null = null

/** Builds the tables at first use: 256 inner nodes x 256 bytes = 256 KiB, some milliseconds. */
function buildTables(): HuffmanTables {
  const codes = new Uint32Array(257)
  // left[n], right[n]: an inner node's number, or -1 - symbol for a leaf.
  const left = new Int32Array(256)
  const right = new Int32Array(256)
  const depthOnes = new Int32Array(256) // bits from the root when all are ones, else -1
  let nodes = 1
  let code = 0
  for (let length = 1; length <= 30; length++) {
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (CODE_LENGTHS[symbol] !== length) continue
      codes[symbol] = code
      let node = 0
      for (let bit = length - 1; bit >= 0; bit--) {
        const one = ((code >>> bit) & 1) === 1
        const side = one ? right : left
        if (bit === 0) {
          side[node] = -1 - symbol
        } else {
          if (side[node] === 0) {
            const ones = depthOnes[node] as number
            depthOnes[nodes] = one && ones >= 0 ? ones + 1 : -1
            side[node] = nodes++
          }
          node = side[node] as number
        }
      }
      code++
    }
    code <<= 1
  }
  const transitions = new Uint32Array(256 * 256)
  for (let state = 0; state < nodes; state++) {
    for (let byte = 0; byte < 256; byte++) {
      let node = state
      let count = 0
      let word = 0
      for (let bit = 7; bit >= 0; bit--) {
        const next = ((byte >>> bit) & 1) === 1 ? (right[node] as number) : (left[node] as number)
        if (next >= 0) {
          node = next
          continue
        }
        const symbol = -1 - next
        if (symbol === EOS) {
          word |= FAILS
          break
        }
        word |= symbol << (count === 0 ? 10 : 18)
        count++
        node = 0
      }
      // Padding is at most seven bits, all ones (section 5.2): a prefix of EOS.
      const ones = depthOnes[node] as number
      if (ones >= 0 && ones <= 7) word |= ACCEPTS
      transitions[(state << 8) | byte] = (word | (count << 8) | node) >>> 0
    }
  }
  return { codes, transitions }
}

function huffmanTables(): HuffmanTables {
  if (tables === null) tables = buildTables()
  return tables
}

/** Most octets that `length` octets of Huffman code can stand for (the shortest code has five bits). */
export function huffmanDecodedBound(length: number): number {
  return Math.floor((length * 8) / 5)
}

/**
 * Decodes `from[start, end)` into `to` at 0, which has room for `huffmanDecodedBound(end - start)` octets.
 *
 * @returns the number of octets, or -1 if the code is invalid (EOS inside, wrong padding)
 */
export function huffmanDecode(from: Uint8Array, start: number, end: number, to: Uint8Array): number {
  const transitions = huffmanTables().transitions
  let at = 0
  let state = 0
  let word = ACCEPTS
  for (let i = start; i < end; i++) {
    word = transitions[(state << 8) | (from[i] as number)] as number
    const count = (word >>> 8) & 3
    if (count > 0) {
      to[at++] = (word >>> 10) & 0xff
      if (count > 1) to[at++] = (word >>> 18) & 0xff
    }
    if ((word & FAILS) !== 0) return -1
    state = word & 0xff
  }
  return (word & ACCEPTS) !== 0 ? at : -1
}

/** Octets that `bytes` take in Huffman code. */
export function huffmanEncodedLength(bytes: Uint8Array): number {
  let bits = 0
  for (let i = 0; i < bytes.length; i++) bits += CODE_LENGTHS[bytes[i] as number] as number
  return (bits + 7) >>> 3
}

/** Encodes `bytes` into `to` at `at`; returns the end. Used for names and answers of our own, not per request. */
export function huffmanEncode(bytes: Uint8Array, to: Uint8Array, at: number): number {
  const codes = huffmanTables().codes
  let position = at
  let pending = 0
  let bits = 0
  for (let i = 0; i < bytes.length; i++) {
    const symbol = bytes[i] as number
    const length = CODE_LENGTHS[symbol] as number
    const code = codes[symbol] as number
    // At most 7 pending bits and 30 of the code: take the code in two halves to stay within 32 bits.
    for (let taken = 0; taken < length; ) {
      const step = Math.min(length - taken, 16)
      pending = (pending << step) | ((code >>> (length - taken - step)) & ((1 << step) - 1))
      bits += step
      taken += step
      while (bits >= 8) {
        bits -= 8
        to[position++] = (pending >>> bits) & 0xff
      }
      pending &= (1 << bits) - 1
    }
  }
  if (bits > 0) to[position++] = ((pending << (8 - bits)) | ((1 << (8 - bits)) - 1)) & 0xff
  return position
}
