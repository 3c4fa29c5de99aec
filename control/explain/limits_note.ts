// Rate limits that a call counts towards: what the proxies of the endpoints take, each for itself.
import { policyRateLimitV1 } from "../../protos/mod.ts"
import { compileTraffic } from "../policy/mod.ts"
import type { Note } from "./chain.ts"
import type { World } from "./question.ts"
import type { Met } from "./way.ts"

const { RateLimitKey } = policyRateLimitV1

/** A call as limits see it. */
export interface LimitedCall {
  readonly world: World
  /** Endpoints whose proxies count it. */
  readonly met: readonly Met[]
  /** Who calls, as it is counted. */
  readonly client: string
  /** Value of a header field in lower case; undefined where the call has none. */
  readonly header: (name: string) => string | undefined
}

/** A note on each limit that holds. */
export function limitNotes({ world, met, client, header }: LimitedCall): Note[] {
  const notes = new Map<string, Note>()
  for (const { pod, port } of met) {
    if (pod === null) continue
    for (const { namespace, name, allPorts, ports, limits } of compileTraffic(world.store, pod).rateLimits) {
      if (!allPorts && !ports.includes(port)) continue
      for (const [index, limit] of limits.entries()) {
        const field = `spec.limits[${index}]`
        const burst = limit.burst === limit.requests ? "" : ` (${limit.burst} at once)`
        const value = header(limit.header)
        const by =
          limit.by === RateLimitKey.IDENTITY
            ? `from ${client}`
            : limit.by === RateLimitKey.HEADER
              ? value === undefined
                ? `without header ${limit.header}, which count together`
                : `with header ${limit.header}: ${value}`
              : "from all callers together"
        const text = `at most ${limit.requests} requests in ${limit.periodS} s${burst} ${by} are let in by each proxy (limit ${limit.name}); then 429 limited`
        notes.set(`${namespace}/${name} ${field}`, {
          text,
          object: { kind: "RateLimitPolicy", namespace, name, field },
        })
      }
    }
  }
  return [...notes.values()]
}
