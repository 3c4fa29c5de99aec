// The beginning of a request's body, kept until an answer says that it arrived: what was sent to an endpoint that
// never took the request can be sent to another.

/** Body octets kept of one request (Linkerd's bound): most bodies are smaller, and larger ones cost their sender. */
export const REPLAY_BODY_BYTES = 65_536

/** Octets kept by all requests of a direction; beyond them requests are sent as ever, and not a second time. */
export const REPLAY_TOTAL_BYTES = 16 * 1_048_576

/**
 * Chunks up to this size are kept as they are, for whatever part of them: copying would cost more than what is held
 * along with it until the answer comes, as long as there is room. A chunk of this size holds the bodies of many calls.
 */
export const HELD_CHUNK_BYTES = 16_384

/** Chunks of which the part is less than this share are not worth holding for it. */
const COPY_RATIO = 4

/** Objects kept for the next requests, as many as run at once on a busy proxy. */
const SPARE_BODIES = 256

/** What all requests of a direction keep together. */
export class ReplayBudget {
  /** Octets kept now. */
  used = 0
  readonly limit: number
  private readonly spare: ReplayBody[] = []

  constructor(limit: number = REPLAY_TOTAL_BYTES) {
    this.limit = limit
  }

  /** One for a request; `release` it. They are used again, since most live for a millisecond. */
  take(): ReplayBody {
    return this.spare.pop() ?? new ReplayBody(this)
  }

  /** Of `ReplayBody.release`. */
  give(body: ReplayBody): void {
    if (this.spare.length < SPARE_BODIES) this.spare.push(body)
  }
}

/** What was sent of one request's body. Take what it keeps by `piece`. */
export class ReplayBody {
  /** All that was sent is kept. Once false it stays so. */
  whole = true
  /** Octets of body kept. */
  length = 0
  private readonly budget: ReplayBudget
  /** Octets held for them, accounted in the budget. */
  private charged = 0
  private count = 0
  // The first piece without an object of its own: most bodies have but one.
  private bytes: Uint8Array | null = null
  private start = 0
  private end = 0
  private more: Uint8Array[] | null = null

  /** By `ReplayBudget.take`. */
  constructor(budget: ReplayBudget) {
    this.budget = budget
  }

  /** Pieces kept. */
  get pieces(): number {
    return this.count
  }

  /** Keeps `bytes[start, end)`, which was sent and must not be altered after; beyond a limit drops everything. */
  keep(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start
    if (length === 0 || !this.whole) return
    const { budget } = this
    const byReference =
      length * COPY_RATIO >= bytes.length ||
      (bytes.length <= HELD_CHUNK_BYTES && budget.used < budget.limit / 2)
    const held = byReference ? bytes.length : length
    if (!this.charge(length, held)) return
    if (this.count === 0) {
      this.bytes = byReference ? bytes : bytes.slice(start, end)
      this.start = byReference ? start : 0
      this.end = byReference ? end : length
    } else {
      this.more ??= []
      this.more.push(byReference ? bytes.subarray(start, end) : bytes.slice(start, end))
    }
    this.count++
  }

  /** Counts octets that whoever holds this keeps in another way. */
  reserve(length: number): void {
    if (this.whole) this.charge(length, length)
  }

  private charge(length: number, held: number): boolean {
    const { budget } = this
    if (this.length + length > REPLAY_BODY_BYTES || budget.used + held > budget.limit) {
      this.drop()
      return false
    }
    this.length += length
    this.charged += held
    budget.used += held
    return true
  }

  /** Piece number `index` of `pieces`, in the order in which they were sent. */
  piece(index: number): Uint8Array {
    if (index > 0) {
      // `more` holds all but the first, and index < pieces.
      return this.more![index - 1]!
    }
    // pieces > 0
    return this.bytes!.subarray(this.start, this.end)
  }

  /** Lets go of what is kept, to begin anew: it is being sent again. */
  rewind(): void {
    this.budget.used -= this.charged
    this.charged = 0
    this.length = 0
    this.count = 0
    this.bytes = null
    this.more = null
  }

  /** Lets go of what it keeps, to be used for another request. Nobody may hold on to it. */
  release(): void {
    this.whole = true
    if (this.charged > 0) this.rewind()
    this.budget.give(this)
  }

  /** Lets go of what is kept, for good. */
  private drop(): void {
    this.whole = false
    if (this.charged > 0) this.rewind()
  }
}
