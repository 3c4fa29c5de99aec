// Writes what became of each AuthorizationPolicy into its status: the condition Accepted, with every fault by its field
// (https://kubernetes.io/docs/reference/using-api/server-side-apply/). Several of us may do so: all write the same.

import { type KubeApi, KubeError } from "../../deploy/kubernetes/mod.ts"
import {
  type AuthorizationPolicy,
  dottedField,
  POLICY_API_VERSION,
  POLICY_KIND,
  type PolicyComplaint,
  readAuthorizationPolicy,
} from "../../deploy/policy/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import type { Log } from "../log.ts"
import type { PolicyOptions } from "./compile.ts"
import { type PolicyProblem, policyProblems } from "./problems.ts"

/** Changes are gathered this long before objects are looked at, up to twice as long: several of us take turns so. */
export const CONDITIONS_AFTER_MS = 1_000
/** After a failure it is tried again this soon. */
export const CONDITIONS_RETRY_MS = 15_000
/** Longest message; a condition's may have 32 KiB, and nobody reads that in a column. */
export const MAX_CONDITION_MESSAGE = 4_096
/** Policies per page of a list. */
const PAGE_SIZE = 500
/** Who we are among the writers of an object's fields. */
const FIELD_MANAGER = "conduit-policy"
const PATH = `/apis/${POLICY_API_VERSION}`

/** What became of a policy. */
export interface Accepted {
  /** `True` when nothing is wrong with it. */
  readonly status: "True" | "False"
  /** One word for programs. */
  readonly reason: string
  /** Every fault behind its field; empty when there is none. */
  readonly message: string
}

/** What became of an object: what makes it unreadable, or else what is wrong with the policy that it is. */
export function acceptedOf(
  complaints: readonly PolicyComplaint[],
  problems: readonly Pick<PolicyProblem, "reason" | "field" | "message">[],
): Accepted {
  if (complaints.length > 0) {
    const faults = complaints.map(({ path, message }) => `${dottedField(path)} ${message}`)
    const rest = "this version is not in force; the last good one stays, if there was one"
    return { status: "False", reason: "Invalid", message: cut(faults, rest) }
  }
  const [first] = problems
  if (first === undefined) return { status: "True", reason: "Accepted", message: "" }
  const faults = problems.map(({ field, message }) => `${field}: ${message}`)
  return { status: "False", reason: first.reason, message: cut(faults, "") }
}

function cut(faults: readonly string[], rest: string): string {
  const end = rest === "" ? "" : `; ${rest}`
  const text = faults.join("; ")
  const room = MAX_CONDITION_MESSAGE - end.length
  return (text.length > room ? `${text.slice(0, room - 3)}...` : text) + end
}

/** A policy as the API server has it, as far as it is looked at. */
interface PolicyObject {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly uid: string
    readonly generation?: number
  }
  readonly status?: { readonly conditions?: readonly Condition[] }
}

interface Condition extends Accepted {
  readonly type: string
  readonly observedGeneration: number
  readonly lastTransitionTime: string
}

/** What a writer works with. */
export interface ConditionWriterOptions {
  readonly api: Pick<KubeApi, "call">
  readonly store: ClusterStore
  readonly policy: PolicyOptions
  readonly log: Log
  /** Wall clock, milliseconds since 1970. */
  readonly nowMs: () => number
  /** Random number from 0 to 1. */
  readonly random: () => number
  /** Runs something later; returns what keeps it from running. */
  readonly later: (run: () => void, ms: number) => () => void
}

/** Keeps the conditions of all policies current. Only what differs is written. */
export class ConditionWriter {
  /** Conditions written. */
  written = 0
  readonly #options: ConditionWriterOptions
  #cancel: (() => void) | null = null
  #writing = false
  #again = false
  #stopped = false
  #complaint = ""

  constructor(options: ConditionWriterOptions) {
    this.#options = options
  }

  /** Policies, or what is wrong with them, may have changed. */
  changed(): void {
    const { random } = this.#options
    this.#soon(CONDITIONS_AFTER_MS * (1 + random()))
  }

  /** Ends it; what is being written may still be. */
  stop(): void {
    this.#stopped = true
    this.#cancel?.()
  }

  #soon(ms: number): void {
    if (this.#stopped || this.#cancel !== null) return
    if (this.#writing) {
      this.#again = true
      return
    }
    this.#cancel = this.#options.later(() => {
      this.#cancel = null
      void this.#write()
    }, ms)
  }

  async #write(): Promise<void> {
    this.#writing = true
    let failed = false
    try {
      await this.#look()
      this.#complaint = ""
    } catch (error) {
      failed = true
      const reason = error instanceof Error ? error.message : String(error)
      if (reason !== this.#complaint) {
        this.#options.log.warn(`the status of AuthorizationPolicies cannot be written: ${reason}`)
      }
      this.#complaint = reason
    }
    this.#writing = false
    const again = this.#again
    this.#again = false
    if (failed) this.#soon(CONDITIONS_RETRY_MS)
    else if (again) this.changed()
  }

  async #look(): Promise<void> {
    const { store, policy } = this.#options
    const objects = await this.#list()
    const read = objects.map(object => readAuthorizationPolicy({ ...object, ...TYPE }))
    const policies = read
      .map(({ policy }) => policy)
      .filter((one): one is AuthorizationPolicy => one !== null)
    const problems = new Map<string, PolicyProblem[]>()
    for (const problem of policyProblems(store, policy, policies)) {
      const key = `${problem.namespace}/${problem.name}`
      problems.set(key, [...(problems.get(key) ?? []), problem])
    }
    for (const [index, object] of objects.entries()) {
      const { namespace, name } = object.metadata
      const own = problems.get(`${namespace}/${name}`) ?? []
      await this.#put(object, acceptedOf(read[index]?.complaints ?? [], own))
    }
  }

  async #put({ metadata, status }: PolicyObject, accepted: Accepted): Promise<void> {
    const { name, namespace, uid, generation = 0 } = metadata
    const before = status?.conditions?.find(({ type }) => type === "Accepted")
    if (
      before?.status === accepted.status &&
      before.reason === accepted.reason &&
      (before.message ?? "") === accepted.message &&
      before.observedGeneration === generation
    ) {
      return
    }
    const kept = before?.status === accepted.status ? before.lastTransitionTime : undefined
    const condition: Condition = {
      type: "Accepted",
      ...accepted,
      observedGeneration: generation,
      lastTransitionTime: kept ?? new Date(this.#options.nowMs()).toISOString().replace(/\.\d+Z$/, "Z"),
    }
    try {
      await this.#options.api.call({
        method: "PATCH",
        path: `${PATH}/namespaces/${encodeURIComponent(namespace)}/authorizationpolicies/${encodeURIComponent(name)}/status?fieldManager=${FIELD_MANAGER}&force=true`,
        contentType: "application/apply-patch+yaml",
        // With its uid: another object of that name that came meanwhile is not meant.
        body: { ...TYPE, metadata: { name, namespace, uid }, status: { conditions: [condition] } },
      })
      this.written++
    } catch (error) {
      // It went meanwhile; what came in its place is looked at when it is heard of.
      if (error instanceof KubeError && (error.status === 404 || error.status === 409)) return
      throw error
    }
  }

  async #list(): Promise<PolicyObject[]> {
    const found: PolicyObject[] = []
    let next = ""
    do {
      const more = next === "" ? "" : `&continue=${encodeURIComponent(next)}`
      const path = `${PATH}/authorizationpolicies?limit=${PAGE_SIZE}${more}`
      const answer = (await this.#options.api.call({ path }).catch((error: unknown) => {
        // The definition is not there, and so no policy.
        if (error instanceof KubeError && error.status === 404) return undefined
        throw error
      })) as { items?: PolicyObject[] | null; metadata?: { continue?: string } } | undefined
      found.push(...(answer?.items ?? []))
      next = answer?.metadata?.continue ?? ""
    } while (next !== "")
    return found
  }
}

const TYPE = { apiVersion: POLICY_API_VERSION, kind: POLICY_KIND }
