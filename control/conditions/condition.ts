// A condition of an object's status, as Kubernetes wants them (metav1.Condition): its time is that of its last change of
// status, whatever else about it changes.

/** Longest message; a condition's may have 32 KiB, and nobody reads that in a column. */
export const MAX_CONDITION_MESSAGE = 4_096

/** What became of an object in one respect. */
export interface WantedCondition {
  readonly type: string
  readonly status: "True" | "False"
  /** One word for programs. */
  readonly reason: string
  /** Sentences for a person; empty when all is well. */
  readonly message: string
  /** Generation of the object that was looked at. */
  readonly observedGeneration: number
}

/** A condition as it is written. */
export interface Condition extends WantedCondition {
  /** RFC 3339, to the second. */
  readonly lastTransitionTime: string
}

/**
 * Conditions with their times: those that they had, unless their status is another now.
 *
 * @param before  what is written now, whoever wrote it
 * @param now  RFC 3339, to the second
 */
export function timed(
  wanted: readonly WantedCondition[],
  before: readonly Partial<Condition>[] | undefined,
  now: string,
): Condition[] {
  return wanted.map(one => {
    const known = before?.find(({ type }) => type === one.type)
    const kept = known?.status === one.status ? known.lastTransitionTime : undefined
    return { ...one, message: cut(one.message), lastTransitionTime: kept ?? now }
  })
}

/**
 * A message of a bounded length.
 *
 * @param end  what stands at its end, whatever its length
 */
export function cut(message: string, end = ""): string {
  const room = MAX_CONDITION_MESSAGE - end.length
  return (message.length > room ? `${message.slice(0, room - 3)}...` : message) + end
}
