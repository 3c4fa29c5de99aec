// What one turn of the event loop shares: the clock, the timers, and the list of connections with output to flush.
// There is one event loop per process, hence one instance, as with the runtime's own setImmediate.
import { BlockPool } from "./block_pool.ts"
import { LoopClock } from "./clock.ts"
import { TimerWheel } from "./timer_wheel.ts"

/** Something to be done once at the end of this turn of the loop. */
export interface TurnTask {
  /** Called once per `Loop.later`; must not throw. */
  endOfTurn(): void
}

/** The shared parts of the data path's event loop. */
export class Loop {
  readonly clock = new LoopClock()
  readonly timers: TimerWheel
  readonly blocks = new BlockPool()
  /** Called when a handler threw; the connection has been reset. Replaced by main with one that logs and counts. */
  onHandlerError: (where: string, error: unknown) => void = (where, error) => {
    console.error(`${where}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
  }
  private tasks: TurnTask[] = []
  private spare: TurnTask[] = []
  private flushing = false
  private readonly runTasks: () => void
  private wakeHandle: ReturnType<typeof setTimeout> | null = null
  private readonly wake: () => void

  constructor() {
    this.runTasks = () => this.flush()
    this.wake = () => {
      this.wakeHandle = null
      this.clock.refresh()
      this.timers.advance()
    }
    this.timers = new TimerWheel(this.clock, delayMs => {
      if (this.wakeHandle !== null) clearTimeout(this.wakeHandle)
      this.wakeHandle = setTimeout(this.wake, Math.ceil(delayMs))
    })
  }

  /** Runs `task` in the one setImmediate of this turn, in order. The caller sees to it that a task is not added twice. */
  later(task: TurnTask): void {
    if (this.tasks.push(task) === 1 && !this.flushing) setImmediate(this.runTasks)
  }

  /** Runs what waits for the end of the turn now; tests and shutdown may call it. */
  flush(): void {
    this.clock.refresh()
    const tasks = this.tasks
    this.tasks = this.spare
    this.flushing = true
    for (let i = 0; i < tasks.length; i++) {
      // i < tasks.length, and nobody shortens the list while it runs.
      tasks[i]!.endOfTurn()
    }
    tasks.length = 0
    this.spare = tasks
    this.flushing = false
    if (this.tasks.length > 0) setImmediate(this.runTasks)
  }
}

/** The loop of this process. */
export const loop: Loop = new Loop()
