// RateLimitPolicy of policy.conduit.io/v1alpha1: how many requests a workload's ports take, in all, from each client, or
// for each value of a header field. Its model, and how it is read.
import type { PolicyComplaint, PolicyFieldPath } from "./authorization_policy.ts"
import { isForeign, type Mapping, type PolicyHead, PolicyReader, show } from "./policy_reader.ts"

/** Kind of the objects. */
export const RATE_LIMIT_KIND = "RateLimitPolicy"

/** What a limit counts by. */
export const LIMIT_KEYS = ["Total", "Identity", "Header"] as const

/** One of `LIMIT_KEYS`. */
export type LimitKey = (typeof LIMIT_KEYS)[number]

/** Fields by the mapping that holds them; the custom resource definition has the same. */
export const RATE_LIMIT_FIELDS = {
  spec: ["target", "limits"],
  limit: ["name", "requests", "per", "burst", "by", "header"],
} as const

/** Limits of one policy: each is looked at for each request. */
export const MAX_RATE_LIMITS = 16

/** Highest number of requests of a limit; what a proxy takes in an hour. */
export const MAX_LIMIT_REQUESTS = 1_000_000_000

/** Longest period of a limit, seconds: a proxy that restarts forgets what it counted. */
export const MAX_LIMIT_PERIOD_S = 86_400

/** A limit. */
export interface RateLimit {
  /** For answers, logs and metrics; `limit-0` and on where none is given. */
  readonly name: string
  /** Requests in a period. */
  readonly requests: number
  /** Seconds. */
  readonly periodS: number
  /** Requests that may come at once. */
  readonly burst: number
  readonly by: LimitKey
  /** In lower case; empty unless `by` is Header. */
  readonly header: string
}

/** A policy that was understood. */
export interface RateLimitPolicy extends PolicyHead {
  readonly limits: readonly RateLimit[]
}

/** What reading an object gave. */
export interface ReadRateLimit {
  /** Null when there are complaints, or when the object is another project's. */
  readonly policy: RateLimitPolicy | null
  readonly complaints: readonly PolicyComplaint[]
}

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/
/** Name of a limit: it stands in fields of answers and in labels. */
const LIMIT_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const PERIOD = /^([0-9]{1,5})(s|m|h)$/
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 }

/**
 * Reads an object of kind RateLimitPolicy. One of another project's API group gives neither policy nor complaint.
 *
 * @param defaultNamespace  namespace of an object that names none
 */
export function readRateLimitPolicy(raw: unknown, defaultNamespace = "default"): ReadRateLimit {
  const reader = new Reader(defaultNamespace)
  const object = reader.mapping(raw, [])
  if (object === null) return { policy: null, complaints: reader.complaints }
  if (isForeign(object.apiVersion)) return { policy: null, complaints: [] }
  const policy = reader.policy(object)
  return { policy: reader.complaints.length === 0 ? policy : null, complaints: reader.complaints }
}

class Reader extends PolicyReader {
  policy(object: Mapping): RateLimitPolicy | null {
    const { head, spec } = this.head(object, RATE_LIMIT_FIELDS.spec)
    if (spec === null) return null
    const limits: RateLimit[] = []
    const names = new Set<string>()
    const path = ["spec", "limits"]
    for (const [index, entry] of this.list(spec.limits, path, "a policy needs at least one limit")) {
      const limit = this.limit(entry, [...path, index], index)
      if (limit === null) continue
      if (names.has(limit.name)) {
        this.add([...path, index, "name"], `is ${show(limit.name)}, as that of an earlier limit`)
      }
      names.add(limit.name)
      limits.push(limit)
    }
    if (limits.length > MAX_RATE_LIMITS) {
      this.add(path, `has ${limits.length} limits, more than ${MAX_RATE_LIMITS}; split the policy`)
    }
    return head === null ? null : { ...head, limits }
  }

  private limit(value: unknown, path: PolicyFieldPath, index: number): RateLimit | null {
    const entry = this.mapping(value, path, "such as { requests: 100, per: 1s }")
    if (entry === null) return null
    this.known(entry, path, RATE_LIMIT_FIELDS.limit)
    const name = entry.name === undefined ? `limit-${index}` : this.limitName(entry.name, [...path, "name"])
    const requests = this.number(entry.requests, [...path, "requests"], 1, MAX_LIMIT_REQUESTS, null)
    const periodS = this.period(entry.per, [...path, "per"])
    const burst = this.number(entry.burst, [...path, "burst"], 1, MAX_LIMIT_REQUESTS, requests ?? 1)
    const by = entry.by === undefined ? "Total" : this.choice(entry.by, [...path, "by"], LIMIT_KEYS)
    let header = ""
    if (by === "Header") {
      if (typeof entry.header === "string" && FIELD_NAME.test(entry.header))
        header = entry.header.toLowerCase()
      else this.add([...path, "header"], `must be the name of a header field, not ${show(entry.header)}`)
    } else if (entry.header !== undefined && by !== null) {
      this.add([...path, "header"], `counts for nothing beside by: ${by}; write by: Header`)
    }
    if (name === null || requests === null || periodS === null || burst === null || by === null) return null
    return { name, requests, periodS, burst, by, header }
  }

  private limitName(value: unknown, path: PolicyFieldPath): string | null {
    if (typeof value === "string" && LIMIT_NAME.test(value)) return value
    return this.add(path, `must be at most 63 lower-case letters, digits and "-", not ${show(value)}`)
  }

  /** Seconds. */
  private period(value: unknown, path: PolicyFieldPath): number | null {
    if (value === undefined || value === null) return 1
    const [, digits = "", unit = ""] = (typeof value === "string" ? PERIOD.exec(value) : null) ?? []
    const seconds = Number(digits) * (SECONDS[unit] ?? 0)
    if (seconds >= 1 && seconds <= MAX_LIMIT_PERIOD_S) return seconds
    return this.add(path, `must be a period from 1s to 24h, such as 1s, 10m, 1h, not ${show(value)}`)
  }
}
