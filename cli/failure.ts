// Errors of the command line: every way to fail becomes one sentence on standard error and an exit code.

/** The command line itself is wrong; exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
  readonly exitCode = 2
}

/** The command was right and could not be done; exit code 1. */
export class Failure extends Error {
  override readonly name = "Failure"
  readonly exitCode: number

  /**
   * @param sentence what was attempted, on what, what went wrong, what to do
   * @param options `exitCode` 1 unless given; `cause` the error beneath
   */
  constructor(sentence: string, options: { readonly exitCode?: number; readonly cause?: unknown } = {}) {
    super(sentence, options.cause === undefined ? undefined : { cause: options.cause })
    this.exitCode = options.exitCode ?? 1
  }
}

/** What a person sees of an error. */
export interface Told {
  /** One sentence, or a few lines; no stack trace. */
  readonly sentence: string
  /** 1 for a failure, 2 for wrong usage. */
  readonly exitCode: number
}

/** Turns whatever was thrown into a sentence and an exit code. */
export function tell(error: unknown): Told {
  if (!(error instanceof Error)) return { sentence: String(error), exitCode: 1 }
  const exitCode = exitCodeOf(error)
  // A mistake in our own code has no sentence for a person: say so rather than dress it up.
  const ours = error instanceof TypeError || error instanceof ReferenceError || error instanceof RangeError
  if (ours && exitCode === null) {
    return {
      sentence: `internal error: ${error.message} (a bug in conduit; CONDUIT_DEBUG=1 shows where)`,
      exitCode: 1,
    }
  }
  return { sentence: error.message, exitCode: exitCode ?? 1 }
}

function exitCodeOf(error: Error): number | null {
  if (!("exitCode" in error) || typeof error.exitCode !== "number") return null
  return error.exitCode
}
