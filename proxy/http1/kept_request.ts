// A request as it was sent, kept by the HTTP/1 engine until an answer tells that it need not be sent again.
import type { Conn } from "../net/mod.ts"
import type { ReplayBody, ReplayBudget } from "../wire/mod.ts"

/** One request: its head with the body bytes that came along, then the rest of the body as far as it was sent. */
export class KeptRequest {
  private first: Uint8Array | null = null
  /** Counts the body, and keeps what is not in `first`; null while there is no body. */
  private body: ReplayBody | null = null

  /**
   * A new request.
   *
   * @param first  head and early body, as they are to be sent
   * @param early  bytes of body in it
   */
  begin(first: Uint8Array, early: number, budget: ReplayBudget): void {
    this.first = first
    if (early === 0) return
    this.body = budget.take()
    this.body.reserve(early)
  }

  /** All that was sent is still here, and at least the head was. */
  get whole(): boolean {
    return this.first !== null
  }

  /** Sends all of it; false when that is more than the connection takes at once. Once, unless it is `whole` after. */
  sendTo(conn: Conn): boolean {
    // Kept since begin(), and let go of only after it was sent.
    let room = conn.write(this.first!)
    const { body } = this
    if (body === null) return room
    for (let i = 0; i < body.pieces; i++) room = conn.write(body.piece(i))
    // Too much body came with the head to keep it any longer.
    if (!body.whole) this.forget()
    return room
  }

  /** Keeps `chunk[0, end)` of the body too, or, when that would be too much, lets go of everything. */
  keep(chunk: Uint8Array, end: number, budget: ReplayBudget): void {
    if (this.first === null) return
    this.body ??= budget.take()
    this.body.keep(chunk, 0, end)
    if (!this.body.whole) this.forget()
  }

  /** The request will not be sent again. */
  forget(): void {
    this.first = null
    if (this.body === null) return
    this.body.release()
    this.body = null
  }
}
