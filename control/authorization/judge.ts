// Judges recorded traffic by the decision code of the proxies, with the policies of a cluster as it is or as it would be.
import {
  type AskMatch,
  PolicySet,
  type Verdict,
  type WorkloadPolicy,
} from "../../protos/authorization/mod.ts"
import type { telemetryQueryV1 } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { CLAUSES, ClientPods, compilePod, type Judgement, judge, type PolicyOptions } from "../policy/mod.ts"
import { spiffeIdOf } from "../resources/mod.ts"

/** A decision, as people read it. */
export interface Decision {
  readonly allowed: boolean
  /** `namespace/name` of the policies that decided, separated by commas; empty where none did. */
  readonly policy: string
  readonly reason: string
}

/** A path that can be read in different ways stands for all of them: they are refused alike. */
const AMBIGUOUS_TARGET = "/;"

interface Compiled {
  readonly policy: WorkloadPolicy
  readonly set: PolicySet
}

/** Decides by the policies of one cluster. */
export class Judge {
  private readonly store: ClusterStore
  private readonly clients: ClientPods
  private readonly options: PolicyOptions
  private readonly compiled = new Map<string, Compiled | null>()

  constructor(store: ClusterStore, options: PolicyOptions) {
    this.store = store
    this.clients = new ClientPods(store)
    this.options = options
  }

  /** The compiled policies of the pod whose proxy counted; null when neither it nor one like it is there. */
  policyOf(access: telemetryQueryV1.Access): WorkloadPolicy | null {
    return this.compile(access)?.policy ?? null
  }

  /** The decision on an access; null when its pod is gone, and none like it is there. */
  decide(access: telemetryQueryV1.Access): Decision | null {
    const compiled = this.compile(access)
    if (compiled === null) return null
    const client = { address: access.clientIp, spiffeId: spiffeIdOf(access.clientId) }
    return decisionOf(judge(compiled.policy, client, access.port, requestOf(access), compiled.set))
  }

  /** What plugins are asked about an access, whose answer may change the decision. */
  asks(access: telemetryQueryV1.Access): readonly AskMatch[] {
    const compiled = this.compile(access)
    const request = requestOf(access)
    if (compiled === null || request === null || request.target === AMBIGUOUS_TARGET) return []
    const client = { address: access.clientIp, spiffeId: spiffeIdOf(access.clientId) }
    return judge(compiled.policy, client, access.port, request, compiled.set).asks
  }

  private compile({ reporter }: telemetryQueryV1.Access): Compiled | null {
    if (reporter === undefined) return null
    const key = `${reporter.namespace}/${reporter.pod}`
    const known = this.compiled.get(key)
    if (known !== undefined) return known
    const pod = this.store.pod(reporter.namespace, reporter.pod) ?? this.podLike(reporter)
    let compiled: Compiled | null = null
    if (pod !== undefined) {
      const policy = compilePod(this.store, pod, this.clients, this.options)
      compiled = { policy, set: new PolicySet(policy) }
    }
    this.compiled.set(key, compiled)
    return compiled
  }

  private podLike(reporter: telemetryQueryV1.PodRef): PodRecord | undefined {
    for (const pod of this.store.pods(reporter.namespace)) {
      const { kind, name } = this.store.workloadOf(pod)
      if (kind === reporter.workloadKind && name === reporter.workload && !pod.finished) return pod
    }
    return undefined
  }
}

/** A judgement, as people read it. */
export function decisionOf({ verdict, misses }: Judgement): Decision {
  if (verdict.cause !== "not-allowed") return told(verdict)
  const nearest = misses.map(({ namespace, name, failed }) => `${namespace}/${name} ${CLAUSES[failed]}`)
  const policy = misses.map(({ namespace, name }) => `${namespace}/${name}`).join(", ")
  return { allowed: false, policy, reason: nearest.join("; ") || "no policy allows it" }
}

/** What was asked; null for a connection into which nobody looks. */
function requestOf(access: telemetryQueryV1.Access): { method: string; target: string } | null {
  const { protocol, method, example } = access
  if (isConnection(protocol)) return null
  return { method, target: example === "" ? AMBIGUOUS_TARGET : example }
}

/** Whether a protocol of access records is one into which nobody looks. */
export function isConnection(protocol: string): boolean {
  return protocol === "tcp" || protocol === "tls"
}

function told({ allowed, cause, namespace, name, rule, detail }: Verdict): Decision {
  const policy = namespace === "" ? "" : `${namespace}/${name}`
  switch (cause) {
    case "policy":
      return { allowed, policy, reason: `spec.rules[${rule}] ${allowed ? "allows" : "denies"} it` }
    case "default":
      return { allowed, policy, reason: `default policy ${name}` }
    case "probe":
      return { allowed, policy, reason: "a probe of the kubelet" }
    default:
      return { allowed, policy, reason: detail === "" ? cause : detail }
  }
}
