// One proxy's counts of one window as bytes, and its last cumulative values: numbers of variable length, zeros left out.
import { BUCKETS, emptySums, type WindowSums } from "../telemetry/mod.ts"

/** Which figures follow a key. */
const HAS_SUCCESSES = 1
const HAS_FAILURES = 2
const HAS_SENT = 4
const HAS_READ = 8
const HAS_WRITE = 16
const HAS_LATENCY = 32
const HAS_BEGUN = 64

/** Bytes that grow. */
export class ByteWriter {
  private bytes = new Uint8Array(512)
  private view = new DataView(this.bytes.buffer)
  private length = 0

  /** Adds a whole number from 0 to 2^53 - 1. */
  number(value: number): void {
    this.room(8)
    let rest = Math.max(0, Math.floor(value))
    while (rest >= 128) {
      this.bytes[this.length++] = (rest % 128) + 128
      rest = Math.floor(rest / 128)
    }
    this.bytes[this.length++] = rest
  }

  /** Adds 64 bits. */
  hash(value: bigint): void {
    this.room(8)
    this.view.setBigUint64(this.length, value)
    this.length += 8
  }

  /** Adds counts under the number of their key. */
  record(key: number, sums: WindowSums): void {
    const { successes, failures, sent, readBytes, writeBytes, begun, latency } = sums
    let filled = 0
    for (let bucket = 0; bucket < BUCKETS; bucket++) if (latency[bucket] !== 0) filled++
    this.number(key)
    this.number(
      (successes > 0 ? HAS_SUCCESSES : 0) |
        (failures > 0 ? HAS_FAILURES : 0) |
        (sent > 0 ? HAS_SENT : 0) |
        (readBytes > 0 ? HAS_READ : 0) |
        (writeBytes > 0 ? HAS_WRITE : 0) |
        (filled > 0 ? HAS_LATENCY : 0) |
        (begun > 0 ? HAS_BEGUN : 0),
    )
    for (const figure of [successes, failures, sent, readBytes, writeBytes, begun]) {
      if (figure > 0) this.number(figure)
    }
    if (filled === 0) return
    this.number(filled)
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = latency[bucket] ?? 0
      if (count === 0) continue
      this.number(bucket)
      this.number(count)
    }
  }

  /** What was added since the last time. */
  take(): Uint8Array {
    const taken = this.bytes.slice(0, this.length)
    this.length = 0
    return taken
  }

  private room(count: number): void {
    if (this.length + count <= this.bytes.length) return
    const grown = new Uint8Array(this.bytes.length * 2)
    grown.set(this.bytes)
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }
}

/** Reads what ByteWriter wrote. Bytes that end early read as zeros. */
export class ByteReader {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  /** Whether anything is left. */
  get more(): boolean {
    return this.at < this.bytes.length
  }

  /** The next number. */
  number(): number {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = this.bytes[this.at++] ?? 0
      if (byte < 128) return value + byte * scale
      value += (byte - 128) * scale
      scale *= 128
    }
  }

  /** The next 64 bits. */
  hash(): bigint {
    const { buffer, byteOffset } = this.bytes
    if (this.at + 8 > this.bytes.length) {
      this.at = this.bytes.length
      return 0n
    }
    const value = new DataView(buffer, byteOffset).getBigUint64(this.at)
    this.at += 8
    return value
  }

  /** Adds the counts of the record whose key was just read; null passes over them. */
  addTo(sums: WindowSums | null): void {
    const has = this.number()
    const into = sums ?? PASSED_OVER
    if ((has & HAS_SUCCESSES) !== 0) into.successes += this.number()
    if ((has & HAS_FAILURES) !== 0) into.failures += this.number()
    if ((has & HAS_SENT) !== 0) into.sent += this.number()
    if ((has & HAS_READ) !== 0) into.readBytes += this.number()
    if ((has & HAS_WRITE) !== 0) into.writeBytes += this.number()
    if ((has & HAS_BEGUN) !== 0) into.begun += this.number()
    if ((has & HAS_LATENCY) === 0) return
    for (let left = this.number(); left > 0 && this.more; left--) {
      const bucket = this.number()
      into.latency[bucket] = (into.latency[bucket] ?? 0) + this.number()
    }
  }
}

const PASSED_OVER = emptySums()

/** Windows of one proxy as one. */
export function mergeWindows(windows: readonly Uint8Array[], writer: ByteWriter): Uint8Array {
  const byKey = new Map<number, WindowSums>()
  for (const window of windows) {
    const reader = new ByteReader(window)
    while (reader.more) {
      const key = reader.number()
      let sums = byKey.get(key)
      if (sums === undefined) {
        sums = emptySums()
        byKey.set(key, sums)
      }
      reader.addTo(sums)
    }
  }
  for (const [key, sums] of byKey) writer.record(key, sums)
  return writer.take()
}

/** Last cumulative values of a proxy's series. */
export function encodeValues(
  values: Iterable<readonly [hash: bigint, values: readonly number[]]>,
  writer: ByteWriter,
): Uint8Array {
  for (const [hash, numbers] of values) {
    writer.hash(hash)
    // Buckets above the last that counted anything are zeros.
    let length = numbers.length
    while (length > 1 && (numbers[length - 1] ?? 0) === 0) length--
    writer.number(length)
    for (let index = 0; index < length; index++) writer.number(numbers[index] ?? 0)
  }
  return writer.take()
}

/** What encodeValues wrote. */
export function decodeValues(bytes: Uint8Array): Map<bigint, readonly number[]> {
  const values = new Map<bigint, readonly number[]>()
  const reader = new ByteReader(bytes)
  while (reader.more) {
    const hash = reader.hash()
    const numbers: number[] = []
    for (let left = reader.number(); left > 0 && reader.more; left--) numbers.push(reader.number())
    values.set(hash, numbers)
  }
  return values
}
