// Events: what changed in the cluster lately, seen as it happens and kept in memory. Whoever starts sees no past. Renewals of
// workloads' certificates are telemetry's to tell.
import type { MessageInitShape } from "@bufbuild/protobuf"
import {
  EventKind,
  type EventSchema,
  type EventsRequest,
  type EventsResponseSchema,
  type telemetryQueryV1,
} from "../../protos/mod.ts"
import type { ClusterDirt, ClusterStore, PodRecord } from "../cluster/mod.ts"
import { type ResourceName, resourceKey, workloadOf } from "../resources/mod.ts"
import { invalid } from "../rpc/mod.ts"
import type { Certified } from "../tls/mod.ts"
import { AuthorityWatch, renewals } from "./certificate_events.ts"

/** How long changes are kept. */
export const EVENTS_KEPT_MS = 3_600_000
/** Most changes that are kept, of which the oldest go: a script that rewrites policies in a loop must not fill memory. */
export const MAX_EVENTS = 2_000
/** Most revisions that are remembered of a workload, to know a new one. */
export const MAX_REVISIONS = 16
/** Most workloads whose revisions are remembered, of which the oldest go: more than a mesh of ours was measured with. */
export const MAX_REVISED_WORKLOADS = 20_000
/** How often it is looked whether certificates rest on something else. */
const AUTHORITY_LOOK_MS = 5_000
/** Labels that name the pod template that a pod was made of, as Kubernetes' controllers set them. */
const REVISION_LABELS = ["pod-template-hash", "controller-revision-hash"]

const KIND_WORDS: Readonly<Record<number, string>> = {
  [EventKind.ROLLOUT]: "rollout",
  [EventKind.POLICY]: "policy",
  [EventKind.ROUTE]: "route",
}

/** A kind as plugins are told it; empty for one that has no word. */
export function eventKindWord(kind: EventKind): string {
  return KIND_WORDS[kind] ?? ""
}

interface SeenEvent {
  readonly timeMs: number
  readonly kind: EventKind
  readonly resource: ResourceName
  readonly what: string
}

/** The changes of the last hour. */
export class EventRing {
  private readonly store: ClusterStore
  private readonly nowMs: () => number
  private readonly events: SeenEvent[] = []
  private readonly revisions = new Map<string, string[]>()
  private policies = new Map<string, object>()
  private routes = new Map<string, object>()
  private startedMs = 0
  private unsubscribe = (): void => {}
  private readonly authority = new AuthorityWatch()
  private readonly certified: () => Certified | null
  private readonly timer: ReturnType<typeof setInterval>
  private stopped = false

  /**
   * @param nowMs  milliseconds since 1970
   * @param certified  this process's own certificate, whose issuer and trust anchors are the mesh's
   */
  constructor(store: ClusterStore, nowMs: () => number, certified: () => Certified | null = () => null) {
    this.store = store
    this.nowMs = nowMs
    this.certified = certified
    this.timer = setInterval(() => this.lookAtAuthority(), AUTHORITY_LOOK_MS)
    this.timer.unref()
    store.whenSynced(() => {
      if (this.stopped) return
      this.startedMs = nowMs()
      for (const pod of store.pods()) this.revisionOf(pod)
      this.policies = byKey(store.policies())
      this.routes = byKey(store.routes())
      this.unsubscribe = store.subscribe(dirt => this.look(dirt))
    })
  }

  /** Looks no longer. */
  stop(): void {
    this.stopped = true
    clearInterval(this.timer)
    this.unsubscribe()
  }

  /**
   * Answers an Events request.
   *
   * @param reporters  proxies, with when they renewed their certificates
   * @throws ConnectError InvalidArgument for a window that is longer than changes are kept
   */
  since(
    { namespace, windowMs }: Pick<EventsRequest, "namespace" | "windowMs">,
    nowMs: number,
    reporters: readonly telemetryQueryV1.ProxyReporter[] = [],
  ): MessageInitShape<typeof EventsResponseSchema> {
    if (windowMs > EVENTS_KEPT_MS) {
      const sentence = `window_ms must be ${EVENTS_KEPT_MS} at most, or 0 for that, not ${windowMs}`
      throw invalid("WINDOW_OUT_OF_RANGE", "window_ms", sentence)
    }
    const sinceMs = Math.max(nowMs - (windowMs || EVENTS_KEPT_MS), this.startedMs)
    const events: MessageInitShape<typeof EventSchema>[] = []
    for (const { timeMs, kind, resource, what } of this.events.toReversed()) {
      // What is in no namespace bears on all.
      const elsewhere = namespace !== "" && resource.namespace !== "" && resource.namespace !== namespace
      if (timeMs < sinceMs || elsewhere) continue
      events.push({ timeMs, kind, resource, what })
    }
    events.push(...renewals(reporters, namespace, sinceMs))
    return { events: events.sort((a, b) => (b.timeMs ?? 0) - (a.timeMs ?? 0)), sinceMs }
  }

  /** Looks whether certificates rest on something else now. */
  lookAtAuthority(): void {
    for (const { resource, what } of this.authority.look(this.certified()))
      this.add(EventKind.CERTIFICATE, resource, what)
  }

  private look({ pods, policies, services }: ClusterDirt): void {
    for (const key of pods) {
      const [, namespace = "", name = ""] = key.split("/")
      const pod = this.store.pod(namespace, name)
      const revision = pod === undefined ? null : this.revisionOf(pod)
      if (pod !== undefined && revision !== null)
        this.add(EventKind.ROLLOUT, workloadOf(this.store, pod), `rollout of revision ${revision}`)
    }
    if (policies.size > 0)
      this.policies = this.compare(EventKind.POLICY, this.policies, byKey(this.store.policies()))
    // Routes say which Services they touch.
    if (services.size > 0)
      this.routes = this.compare(EventKind.ROUTE, this.routes, byKey(this.store.routes()))
  }

  /** The revision of a pod whose workload is known, and was not known to have that one; null for others. */
  private revisionOf(pod: PodRecord): string | null {
    const label = REVISION_LABELS.find(one => pod.labels.has(one))
    const revision = label === undefined ? undefined : pod.labels.get(label)
    if (revision === undefined || pod.owner === null) return null
    const key = resourceKey(workloadOf(this.store, pod))
    const known = this.revisions.get(key)
    if (known?.includes(revision)) return null
    this.revisions.set(key, [...(known ?? []), revision].slice(-MAX_REVISIONS))
    const [oldest = ""] = this.revisions.size > MAX_REVISED_WORKLOADS ? this.revisions.keys() : []
    this.revisions.delete(oldest)
    return known === undefined ? null : revision
  }

  private compare(
    kind: EventKind,
    before: ReadonlyMap<string, object>,
    after: Map<string, object>,
  ): Map<string, object> {
    for (const [key, object] of after) {
      const known = before.get(key)
      if (known !== object) this.add(kind, resourceOf(key), known === undefined ? "created" : "changed")
    }
    for (const key of before.keys()) if (!after.has(key)) this.add(kind, resourceOf(key), "deleted")
    return after
  }

  private add(kind: EventKind, resource: ResourceName, what: string): void {
    const timeMs = this.nowMs()
    this.events.push({ timeMs, kind, resource, what })
    const old = this.events.findIndex(event => event.timeMs > timeMs - EVENTS_KEPT_MS)
    this.events.splice(0, Math.max(old, this.events.length - MAX_EVENTS))
  }
}

function byKey(objects: Iterable<ResourceName>): Map<string, object> {
  return new Map([...objects].map(object => [resourceKey(object), object]))
}

function resourceOf(key: string): ResourceName {
  const [kind = "", namespace = "", name = ""] = key.split("/")
  return { kind, namespace, name }
}
