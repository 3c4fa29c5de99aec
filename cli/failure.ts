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

/**
 * Why a control plane does not know a request: it and this program are of different releases. Says which is older, and what
 * to do about it.
 *
 * @param what  the control plane, such as `the local mesh "dev"`
 * @param own  version of this program
 * @param theirs  version of the control plane; null where it does not say
 */
export function unknownRequest(what: string, own: string, theirs: string | null): Failure {
  const begin = `${what} does not know this request`
  const order = theirs === null ? -1 : Bun.semver.order(theirs, own)
  if (order > 0)
    return new Failure(
      `${begin}: this conduit is older (${own}) than its control plane (${theirs}), which gave it up; npx conduit@${theirs} is of the same release`,
    )
  if (order === 0)
    return new Failure(
      `${begin}, though its control plane is of the same release (${own}): something else answers there, or a build of another day`,
    )
  const older = theirs === null ? "older" : `older (${theirs})`
  return new Failure(
    `${begin}: its control plane is ${older} than this conduit (${own}); conduit upgrade prints what brings it up to date${theirs === null ? "" : `, and npx conduit@${theirs} is of its release`}`,
  )
}
