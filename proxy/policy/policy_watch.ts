// Watches the policy service for what holds on this pod, and keeps the last answer for life. Before the first one the
// configured default policy holds, for whoever does not wait for it.
import {
  DEFAULT_CLUSTER_NETWORKS,
  DEFAULT_POLICY_NAMES,
  defaultPolicyNumber,
  type EgressPolicyConfig,
  PolicySet,
} from "../../protos/authorization/mod.ts"
import type { ControlLinkHandler, Link, OpenLink } from "../control_plane/mod.ts"
import type { Logger } from "../log.ts"
import { callbackTimer, type Timer, type TimerWheel } from "../net/mod.ts"
import type { RateLimitPolicyConfig } from "./rate_limits.ts"
import { decodeAnswer, encodeWatch, type PodPolicy, type PolicyAnswer } from "./watch_codec.ts"

/**
 * How long connections wait for the first answer, from the first of them on: at the start of a pod both come up
 * together. After that the configured default holds for them, and what they began is examined when an answer comes.
 */
export const FIRST_ANSWER_MS = 2_000

/** Connections that wait for the first answer at most; beyond it the configured default holds at once. */
export const MAX_WAITING = 1_024

/** Path of the method. */
const WATCH_PATH = "/conduit.policy.v1.PolicyService/Watch"

/** Parts and settings of the watch. */
export interface PolicyWatchOptions {
  readonly openLink: OpenLink
  /** `host:port` of the policy service; empty: only the configured default holds. */
  readonly address: string
  readonly timers: TimerWheel
  readonly log: Logger
  readonly namespace: string
  readonly pod: string
  /** Name of the default policy before the first answer. */
  readonly defaultPolicy: string
  readonly trustDomain: string
}

/** What holds on this pod. */
export class PolicyWatch implements ControlLinkHandler {
  /** The policies in force; another object after each change. */
  current: PolicySet
  /** Rate limits in force; another array after each change. */
  rateLimits: readonly RateLimitPolicyConfig[] = []
  /** Egress policies in force; another array after each change. */
  egress: readonly EgressPolicyConfig[] = []
  /** Policies in force by name, such as `AuthorizationPolicy shop/clients`; another array after each change. */
  names: readonly string[] = []
  /** Default policy in force, by name. */
  defaultPolicy: string
  /** Version of the policies in force; empty before the first answer. */
  version = ""
  /** An answer came, now or earlier, or none is to come. */
  answered: boolean
  /** Null where no service is configured. */
  readonly link: Link | null
  private readonly namespace: string
  private readonly pod: string
  private readonly timers: TimerWheel
  private readonly log: Logger
  private readonly patience: Timer
  private readonly waiting: (() => void)[] = []
  private waived = false
  private changed: () => void = () => {}

  constructor(options: PolicyWatchOptions) {
    this.namespace = options.namespace
    this.pod = options.pod
    this.timers = options.timers
    this.log = options.log
    this.patience = callbackTimer(() => this.giveUp())
    this.current = new PolicySet({
      defaultPolicy: defaultPolicyNumber(options.defaultPolicy),
      clusterNetworks: DEFAULT_CLUSTER_NETWORKS,
      policies: [],
      probes: [],
      trustDomain: options.trustDomain,
    })
    this.defaultPolicy = options.defaultPolicy
    const { address } = options
    this.answered = address === ""
    this.link = address === "" ? null : options.openLink(this, { name: "policy", address, path: WATCH_PATH })
  }

  /** Begins to connect. */
  start(): void {
    this.link?.start()
  }

  /** Closes the stream; the last answer stays in force. */
  stop(): void {
    this.link?.stop()
    this.timers.cancel(this.patience)
  }

  /** What is known of policies, JSON: `{connected, version, defaultPolicy, policies: [name]}`. */
  describe(): string {
    const { link, version, defaultPolicy, names } = this
    return JSON.stringify({ connected: link?.up ?? false, version, defaultPolicy, policies: names })
  }

  /** Calls back after every change of the policies in force; one listener only. */
  onChange(listener: () => void): void {
    this.changed = listener
  }

  /** Calls back once policies are known, or were waited for long enough; at once where they are. */
  whenKnown(callback: () => void): void {
    if (this.answered || this.waived || this.waiting.length >= MAX_WAITING) {
      callback()
      return
    }
    this.waiting.push(callback)
    if (!this.patience.scheduled) this.timers.schedule(this.patience, FIRST_ANSWER_MS)
  }

  onOpen(): void {
    this.link?.send(encodeWatch(this.namespace, this.pod, this.version))
  }

  onDown(_reason: string): void {}

  onMessage(message: Uint8Array): void {
    let answer: PolicyAnswer
    try {
      answer = decodeAnswer(message)
    } catch (error) {
      this.log.error("an answer of policy could not be read; the last good one stays in force", {
        error: String(error),
      })
      return
    }
    if (answer.policy !== null) {
      this.current = new PolicySet(answer.policy)
      this.rateLimits = answer.policy.rateLimits
      this.egress = answer.policy.egress
      this.names = namesOf(answer.policy)
      this.defaultPolicy = DEFAULT_POLICY_NAMES[answer.policy.defaultPolicy] ?? this.defaultPolicy
      this.version = answer.version
      this.log.debug("policies are in force", {
        version: answer.version,
        policies: answer.policy.policies.length,
      })
    }
    this.answered = true
    this.timers.cancel(this.patience)
    this.release()
    if (answer.policy !== null) this.changed()
  }

  private giveUp(): void {
    this.waived = true
    this.log.warn("no answer yet from the policy service; the configured default policy holds until it comes")
    this.release()
  }

  private release(): void {
    for (const callback of this.waiting.splice(0)) callback()
  }
}

function namesOf({ policies, rateLimits, egress }: PodPolicy): string[] {
  const kinds = { AuthorizationPolicy: policies, RateLimitPolicy: rateLimits, EgressPolicy: egress }
  return Object.entries(kinds).flatMap(([kind, held]) =>
    held.map(({ namespace, name }) => `${kind} ${namespace}/${name}`),
  )
}
