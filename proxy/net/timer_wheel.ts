// Deadlines of the data path: a hashed timer wheel with intrusive links, O(1) to set, move and unlink.
// Linking is intrusive so that a finished stream leaves nothing behind in the wheel.
import type { Clock } from "./clock.ts"

/** Resolution of the wheel. Finer than any deadline that the proxy keeps; coarse enough to batch. */
export const WHEEL_TICK_MS = 5

/** Slots of the wheel, a power of two: one turn is 5.12 s, longer timers stay for several turns. */
export const WHEEL_SLOTS = 1024

const SLOT_MASK = WHEEL_SLOTS - 1

/** Something that happens later. Extend it, or make one with `callbackTimer`. May be scheduled again after it fired. */
export abstract class Timer {
  /** Links and deadline belong to the wheel. */
  wheelNext: Timer | null = null
  wheelPrevious: Timer | null = null
  wheelTick = -1

  /** Whether the timer waits to fire. */
  get scheduled(): boolean {
    return this.wheelTick >= 0
  }

  /** Called once per `schedule`, never early, by the wheel. */
  abstract fire(): void
}

class CallbackTimer extends Timer {
  private readonly callback: () => void

  constructor(callback: () => void) {
    super()
    this.callback = callback
  }

  fire(): void {
    this.callback()
  }
}

/** A timer that calls a function; for places where one closure per connection does not matter. */
export function callbackTimer(callback: () => void): Timer {
  return new CallbackTimer(callback)
}

class SlotHead extends Timer {
  constructor() {
    super()
    this.wheelNext = this
    this.wheelPrevious = this
  }

  fire(): void {
    throw new Error("timer wheel: the head of a slot was fired")
  }
}

/** Asks to be called back: `advance()` is to run `delayMs` from now (or sooner). */
export type WakeRequest = (delayMs: number) => void

/** Keeps timers; whoever owns it calls `advance()` when asked through `requestWake`. */
export class TimerWheel {
  /** Number of timers that wait. */
  size = 0
  private readonly clock: Clock
  private readonly requestWake: WakeRequest | null
  private readonly slots: SlotHead[] = []
  /** The last tick that was processed. */
  private currentTick: number
  private wakeTick = Number.POSITIVE_INFINITY
  private advancing = false

  /** @param requestWake  absent in tests, which call `advance()` themselves */
  constructor(clock: Clock, requestWake: WakeRequest | null = null) {
    this.clock = clock
    this.requestWake = requestWake
    this.currentTick = Math.floor(clock.nowMs / WHEEL_TICK_MS)
    for (let i = 0; i < WHEEL_SLOTS; i++) this.slots.push(new SlotHead())
  }

  /** Fires `timer` in `delayMs` or up to one tick later; a timer that already waits is moved. */
  schedule(timer: Timer, delayMs: number): void {
    if (timer.wheelTick >= 0) this.unlink(timer)
    // With nothing waiting no tick is processed, so the wheel catches up here.
    if (this.size === 0 && !this.advancing) this.currentTick = Math.floor(this.clock.nowMs / WHEEL_TICK_MS)
    const due = Math.ceil((this.clock.nowMs + Math.max(delayMs, 0)) / WHEEL_TICK_MS)
    const tick = due > this.currentTick ? due : this.currentTick + 1
    // SLOT_MASK keeps the index within the WHEEL_SLOTS heads made by the constructor.
    const head = this.slots[tick & SLOT_MASK]!
    const last = head.wheelPrevious as Timer
    timer.wheelTick = tick
    timer.wheelNext = head
    timer.wheelPrevious = last
    last.wheelNext = timer
    head.wheelPrevious = timer
    this.size++
    if (tick < this.wakeTick && !this.advancing) this.wakeAt(tick)
  }

  /** Forgets `timer`; nothing happens if it does not wait. */
  cancel(timer: Timer): void {
    if (timer.wheelTick >= 0) this.unlink(timer)
  }

  /** Fires everything that is due by the clock's reading. */
  advance(): void {
    const target = Math.floor(this.clock.nowMs / WHEEL_TICK_MS)
    this.advancing = true
    this.wakeTick = Number.POSITIVE_INFINITY
    // After a long sleep one turn over all slots finds everything that is due.
    if (target - this.currentTick > WHEEL_SLOTS) this.currentTick = target - WHEEL_SLOTS
    while (this.currentTick < target && this.size > 0) {
      this.currentTick++
      // SLOT_MASK keeps the index within the slots.
      this.fireSlot(this.slots[this.currentTick & SLOT_MASK]!, target)
    }
    if (this.currentTick < target) this.currentTick = target
    this.advancing = false
    if (this.size > 0) this.wakeAtNext()
  }

  private fireSlot(head: SlotHead, target: number): void {
    let timer = head.wheelNext as Timer
    while (timer !== head) {
      if (timer.wheelTick <= target) {
        this.unlink(timer)
        timer.fire()
        // Firing may have changed the slot in any way: begin again. Each round removes one due timer,
        // and new ones are due after `currentTick`, so this ends.
        timer = head.wheelNext as Timer
      } else {
        timer = timer.wheelNext as Timer
      }
    }
  }

  private unlink(timer: Timer): void {
    const next = timer.wheelNext as Timer
    const previous = timer.wheelPrevious as Timer
    previous.wheelNext = next
    next.wheelPrevious = previous
    timer.wheelNext = null
    timer.wheelPrevious = null
    timer.wheelTick = -1
    this.size--
  }

  private wakeAt(tick: number): void {
    this.wakeTick = tick
    if (this.requestWake !== null) this.requestWake(Math.max(1, tick * WHEEL_TICK_MS - this.clock.nowMs))
  }

  /** Asks to be woken for the next slot that holds anything: an idle proxy sleeps. */
  private wakeAtNext(): void {
    for (let i = 1; i <= WHEEL_SLOTS; i++) {
      const tick = this.currentTick + i
      // SLOT_MASK keeps the index within the slots.
      const head = this.slots[tick & SLOT_MASK]!
      if (head.wheelNext !== head) {
        this.wakeAt(tick)
        return
      }
    }
  }
}
