// Rate limits of the pod (RateLimitPolicy): which limits hold on a port, and whether a request is within all of them.
// Buckets outlive updates that leave their limit as it was.
import {
  compact,
  type Labels,
  type Metric,
  type Registry,
  type Scalar,
  SeriesGroup,
} from "../telemetry/mod.ts"
import { afterTaking, type BucketRate, Buckets, tokensLeft, waitMs } from "./token_bucket.ts"

/** Buckets of one limit on one port: as many clients or values of a field as are told apart; some 100 bytes each. */
export const MAX_BUCKETS_PER_LIMIT = 10_000

/** Longest value of a header field that is a key; longer ones share a bucket by their beginning. */
export const MAX_KEY_CHARS = 128

/** Counts all requests together; one of `conduit.policy.v1.RateLimitKey`. */
export const LIMIT_BY_TOTAL = 1
/** Counts each client apart. */
export const LIMIT_BY_IDENTITY = 2
/** Counts each value of a field apart. */
export const LIMIT_BY_HEADER = 3

/** A limit, as the control plane sends it. */
export interface RateLimitConfig {
  readonly name: string
  readonly requests: number
  readonly periodS: number
  readonly burst: number
  /** A LIMIT_BY_ constant; any other number counts as the total. */
  readonly by: number
  /** In lower case. */
  readonly header: string
}

/** A policy, as the control plane sends it. */
export interface RateLimitPolicyConfig {
  readonly namespace: string
  readonly name: string
  readonly ports: readonly number[]
  readonly allPorts: boolean
  readonly limits: readonly RateLimitConfig[]
}

/** What a limit asks of a request. */
export interface LimitedRequest {
  values(lowerCaseName: string): string | undefined
}

/** A request that is over a limit. */
export interface Limited {
  readonly limit: PortLimit
  /** Milliseconds until the next one is within it; above 0. */
  readonly waitMs: number
}

const REQUESTS: Metric = {
  name: "inbound_http_rate_limit_total",
  kind: "counter",
  help: "Requests that rate limits let through (allow) or refused (limit).",
}

class LimitSeries extends SeriesGroup {
  readonly allowed: Scalar
  readonly refused: Scalar

  constructor(key: string, registry: Registry, labels: Labels) {
    super(key)
    this.allowed = registry.scalar(this, REQUESTS, [...labels, ["decision", "allow"]])
    this.refused = registry.scalar(this, REQUESTS, [...labels, ["decision", "limit"]])
  }
}

/** One limit on one port. */
export class PortLimit implements BucketRate {
  readonly config: RateLimitConfig
  readonly namespace: string
  readonly policy: string
  readonly intervalMs: number
  readonly burst: number
  private readonly buckets: Buckets | null
  /** Of the only bucket, where nothing is told apart. */
  private fullMs = 0
  private readonly series: LimitSeries

  constructor(policy: RateLimitPolicyConfig, config: RateLimitConfig, port: number, registry: Registry) {
    this.config = config
    this.namespace = policy.namespace
    this.policy = policy.name
    this.intervalMs = (config.periodS * 1000) / Math.max(1, config.requests)
    this.burst = Math.max(1, config.burst)
    const isKeyed = config.by === LIMIT_BY_IDENTITY || config.by === LIMIT_BY_HEADER
    this.buckets = isKeyed ? new Buckets(MAX_BUCKETS_PER_LIMIT) : null
    const labels = compact([
      ["target_port", String(port)],
      ["ratelimit_namespace", policy.namespace],
      ["ratelimit_name", policy.name],
      ["limit", config.name],
    ])
    this.series = registry.group(
      `rate limit ${JSON.stringify(labels)}`,
      key => new LimitSeries(key, registry, labels),
    )
    // It counts as long as the limit holds, however quiet it is.
    this.series.running++
  }

  /** What a request counts under. */
  keyOf(request: LimitedRequest, client: string): string {
    if (this.buckets === null) return ""
    if (this.config.by === LIMIT_BY_IDENTITY) return client
    return (request.values(this.config.header) ?? "").slice(0, MAX_KEY_CHARS)
  }

  /** Milliseconds until a request of this key is within the limit; 0 where it is. */
  waitMs(key: string, nowMs: number): number {
    return waitMs(this, this.fullAt(key), nowMs)
  }

  /** Counts a request that is let through. */
  take(key: string, nowMs: number): void {
    const fullMs = afterTaking(this, this.fullAt(key), nowMs)
    if (this.buckets === null) this.fullMs = fullMs
    else this.buckets.set(key, fullMs)
    this.series.allowed.value++
  }

  /** The limit holds no more: its figures may go. */
  retire(): void {
    this.series.running--
  }

  /** Counts a request that is refused. */
  refuse(): void {
    this.series.refused.value++
  }

  /** Requests of this key that may come now. */
  left(key: string, nowMs: number): number {
    return tokensLeft(this, this.fullAt(key), nowMs)
  }

  /** As answers and logs name it: `shop/web, limit "per-client"`. */
  get title(): string {
    return `${this.namespace}/${this.policy}, limit "${this.config.name}"`
  }

  private fullAt(key: string): number {
    return this.buckets === null ? this.fullMs : this.buckets.get(key)
  }
}

/** The limits that hold on one port; a request must be within each. */
export class PortLimits {
  private readonly limits: readonly PortLimit[]

  constructor(limits: readonly PortLimit[]) {
    this.limits = limits
  }

  /**
   * Takes a token of each limit, or none: null where the request is within all, else the limit that it waits longest for.
   *
   * @param client  identity of the client, else its address
   */
  admit(request: LimitedRequest, client: string, nowMs: number): Limited | null {
    let over: PortLimit | null = null
    let longest = 0
    for (const limit of this.limits) {
      const wait = limit.waitMs(limit.keyOf(request, client), nowMs)
      if (wait <= longest) continue
      longest = wait
      over = limit
    }
    if (over !== null) {
      over.refuse()
      return { limit: over, waitMs: longest }
    }
    for (const limit of this.limits) limit.take(limit.keyOf(request, client), nowMs)
    return null
  }
}

/** All rate limits of a pod. */
export class RateLimits {
  private policies: readonly RateLimitPolicyConfig[] = []
  /** Null for a port without limits. */
  private readonly ports = new Map<number, PortLimits | null>()
  private known = new Map<string, PortLimit>()
  private readonly registry: Registry

  constructor(registry: Registry) {
    this.registry = registry
  }

  /** Whether any limit holds anywhere. */
  get any(): boolean {
    return this.policies.length > 0
  }

  /** These policies hold from now on. */
  replace(policies: readonly RateLimitPolicyConfig[]): void {
    this.policies = policies
    this.ports.clear()
    const before = this.known
    this.known = new Map()
    // Only ports that were met have limits, and those are few: what is left as it was keeps its buckets.
    for (const [key, limit] of before) {
      const still = policies.find(one => one.namespace === limit.namespace && one.name === limit.policy)
      const config = still?.limits.find(one => one.name === limit.config.name)
      if (config !== undefined && JSON.stringify(config) === JSON.stringify(limit.config))
        this.known.set(key, limit)
      else limit.retire()
    }
  }

  /** Limits of a port of the pod; null for none. */
  of(port: number): PortLimits | null {
    if (this.policies.length === 0) return null
    const found = this.ports.get(port)
    if (found !== undefined) return found
    const limits = this.policies
      .filter(policy => policy.allPorts || policy.ports.includes(port))
      .flatMap(policy => policy.limits.map(limit => this.limitOf(policy, limit, port)))
    const made = limits.length === 0 ? null : new PortLimits(limits)
    if (this.ports.size >= MAX_LIMITED_PORTS) this.ports.clear()
    this.ports.set(port, made)
    return made
  }

  private limitOf(policy: RateLimitPolicyConfig, config: RateLimitConfig, port: number): PortLimit {
    const key = `${policy.namespace}/${policy.name}/${config.name} ${port}`
    const known = this.known.get(key)
    if (known !== undefined) return known
    if (this.known.size >= MAX_LIMITED_PORTS) {
      for (const limit of this.known.values()) limit.retire()
      this.known.clear()
    }
    const made = new PortLimit(policy, config, port, this.registry)
    this.known.set(key, made)
    return made
  }
}

/** Ports, and limits on ports, that are remembered; a scan of all ports must not fill the memory. */
export const MAX_LIMITED_PORTS = 256

/**
 * Fields of an answer to a request over a limit: `retry-after` (RFC 9110 section 10.2.3), `RateLimit-Policy` and
 * `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10).
 */
export function limitFields({ limit, waitMs: wait }: Limited): readonly (readonly [string, string])[] {
  const seconds = Math.max(1, Math.ceil(wait / 1000))
  const { name, requests, periodS } = limit.config
  return [
    ["retry-after", String(seconds)],
    ["ratelimit-policy", `"${name}";q=${requests};w=${periodS}`],
    ["ratelimit", `"${name}";r=0;t=${seconds}`],
  ]
}
