// The load generator's own counts beside what the mesh counted, service by service: the proof that the mesh's
// figures can be trusted.
import type { LoadCounts } from "./load.ts"

/** Requests that a service answered, and how many of the answers were failures. */
export interface Answers {
  readonly responses: number
  readonly failures: number
}

/** Counts by `NAMESPACE/DEPLOYMENT`. */
export type AnswersByService = ReadonlyMap<string, Answers>

/** One service, both counts. */
export interface Comparison {
  /** `NAMESPACE/DEPLOYMENT`. */
  readonly service: string
  readonly generator: Answers
  readonly mesh: Answers
  /** How far the mesh's responses are from the generator's, as a share of the generator's; 0 for none. */
  readonly difference: number
  /** How far apart the success rates are, 0 to 1. */
  readonly successDifference: number
  /** Whether both differences are within their limits. */
  readonly agrees: boolean
}

/** The mesh's count of responses may differ from the generator's by this share. */
export const RESPONSES_TOLERANCE = 0.02
/** The success rates may differ by this much (one percentage point). */
export const SUCCESS_TOLERANCE = 0.01

/** What each service must have answered, for the calls that the generator made. */
export function answersFromLoad(counts: LoadCounts): Map<string, Answers> {
  const services = new Map<string, Answers>()
  const add = (service: string, responses: number, failures: number) => {
    const before = services.get(service) ?? { responses: 0, failures: 0 }
    services.set(service, {
      responses: before.responses + responses,
      failures: before.failures + failures,
    })
  }
  for (const call of counts.calls) {
    for (const service of call.reaches) add(service, call.succeeded + call.failed, 0)
    for (const service of call.failsAt) add(service, 0, call.failed)
  }
  return services
}

/** What was added between two readings of growing counts. */
export function between(earlier: AnswersByService, later: AnswersByService): Map<string, Answers> {
  const added = new Map<string, Answers>()
  for (const [service, { responses, failures }] of later) {
    const before = earlier.get(service)
    added.set(service, {
      responses: responses - (before?.responses ?? 0),
      failures: failures - (before?.failures ?? 0),
    })
  }
  return added
}

/** Compares service by service, in the order of their names. */
export function compare(generator: AnswersByService, mesh: AnswersByService): Comparison[] {
  return [...generator.keys()].sort().map(service => {
    const ours = generator.get(service) ?? { responses: 0, failures: 0 }
    const theirs = mesh.get(service) ?? { responses: 0, failures: 0 }
    const difference =
      ours.responses === 0 ? theirs.responses : Math.abs(theirs.responses - ours.responses) / ours.responses
    const successDifference = Math.abs(successOf(ours) - successOf(theirs))
    return {
      service,
      generator: ours,
      mesh: theirs,
      difference,
      successDifference,
      agrees: difference <= RESPONSES_TOLERANCE && successDifference <= SUCCESS_TOLERANCE,
    }
  })
}

/** Share of successes, 0 to 1; 0 where nothing was answered. */
export function successOf(answers: Answers): number {
  return answers.responses === 0 ? 0 : 1 - answers.failures / answers.responses
}

/**
 * Why the demo has not shown what it should, as a sentence; null when it has: every service answered through the
 * mesh, and both counts agree.
 */
export function shortcoming(comparisons: readonly Comparison[]): string | null {
  const silent = comparisons.filter(each => each.generator.responses === 0).map(each => each.service)
  if (silent.length > 0) return `the load generator got no answer from ${silent.join(", ")}`
  const unseen = comparisons.filter(each => each.mesh.responses === 0).map(each => each.service)
  if (unseen.length > 0) return `the mesh saw no request to ${unseen.join(", ")}: is its traffic redirected?`
  const apart = comparisons.filter(each => !each.agrees).map(each => each.service)
  if (apart.length > 0)
    return `the mesh's counts differ from the load generator's by more than 2 %, or one point of success, for ${apart.join(", ")}`
  return null
}
