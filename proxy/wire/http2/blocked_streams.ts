// Streams with something to send that had to wait for the connection's window or the socket, in the order of their turns.
import type { Stream } from "./stream.ts"

/** A ring linked through the streams themselves. */
export class BlockedStreams {
  /** The tail; its successor is the head. */
  private last: Stream | null = null

  get empty(): boolean {
    return this.last === null
  }

  /** Lines a stream up, unless it is there already. */
  add(stream: Stream): void {
    if (stream.blocked) return
    stream.blocked = true
    const last = this.last
    if (last === null) stream.nextBlocked = stream
    else {
      stream.nextBlocked = last.nextBlocked
      last.nextBlocked = stream
    }
    this.last = stream
  }

  /** Takes the head off; null if empty. */
  shift(): Stream | null {
    const last = this.last
    if (last === null) return null
    // In a ring every stream has a successor.
    const first = last.nextBlocked!
    this.unlink(last, first)
    return first
  }

  /** Takes a stream off, wherever it is. */
  remove(stream: Stream): void {
    if (!stream.blocked || this.last === null) return
    let before = this.last
    // `stream` is in the ring, so that the walk ends there.
    while (before.nextBlocked !== stream) before = before.nextBlocked!
    this.unlink(before, stream)
  }

  private unlink(before: Stream, stream: Stream): void {
    if (before === stream) this.last = null
    else {
      before.nextBlocked = stream.nextBlocked
      if (this.last === stream) this.last = before
    }
    stream.nextBlocked = null
    stream.blocked = false
  }
}
