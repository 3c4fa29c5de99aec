// The timer of an exchange's attempts: its deadlines, and the pauses between them. Made when a route first asks for one.
import { Timer } from "../net/mod.ts"

/** Whose attempts are timed. */
export interface AttemptOwner {
  /** A pause is over, or something of the route's may be due. */
  attemptTimer(): void
}

/** Tells its owner. */
export class AttemptTimer extends Timer {
  private readonly owner: AttemptOwner

  constructor(owner: AttemptOwner) {
    super()
    this.owner = owner
  }

  override fire(): void {
    this.owner.attemptTimer()
  }
}
