// The targets of watches: what their state is made from, and which changes of the cluster touch it.
import { type ClusterStore, objectKey } from "../cluster/mod.ts"
import { TopicSet, type Watched, type Watcher } from "../serve/mod.ts"
import { type OutboundState, OutboundStates } from "./outbound_states.ts"
import { type ResolveOptions, resolveInbound } from "./resolve.ts"
import { inboundState, type TargetState, unchangedBody } from "./state.ts"

/** A target of a watch. */
export type Target =
  /** `namespace` is the client's: its consumer routes count. */
  | { readonly kind: "outbound"; readonly namespace: string; readonly ip: string; readonly port: number }
  | { readonly kind: "inbound"; readonly namespace: string; readonly pod: string; readonly port: number }

/** The targets that are watched now. Watchers get WatchResponses without their `watch_id`. */
export class Topics {
  private readonly store: ClusterStore
  private readonly states: OutboundStates
  private readonly unsubscribe: () => void
  private readonly topics = new TopicSet<Target, TargetState>({
    key: targetKey,
    resolve: target => this.resolve(target),
    change: (before, after) => this.states.change(before, after),
    unchanged: unchangedBody,
  })

  constructor(store: ClusterStore, options: ResolveOptions = {}) {
    this.store = store
    this.states = new OutboundStates(store, options)
    this.unsubscribe = store.subscribe(({ services, ips, pods }) => {
      this.states.forget()
      this.topics.soil([...services, ...[...ips].map(ip => `ip/${ip}`), ...pods])
    })
  }

  /** Number of targets that are watched. */
  get size(): number {
    return this.topics.size
  }

  /** Forgets all; for the end of the process. */
  close(): void {
    this.unsubscribe()
    this.topics.close()
  }

  /** Adds a watcher; see `TopicSet.watch`. */
  watch(target: Target, version: string, watcher: Watcher): Watched {
    return this.topics.watch(target, version, watcher)
  }

  /** Resolves what changed now; see `TopicSet.flush`. */
  flush(): void {
    this.topics.flush()
  }

  private resolve(target: Target): OutboundState {
    if (target.kind === "outbound") return this.states.resolve(target.ip, target.port, target.namespace)
    const { namespace, pod, port } = target
    return {
      state: inboundState(resolveInbound(this.store, namespace, pod, port)),
      dependsOn: [`pod/${namespace}/${pod}`],
    }
  }
}

function targetKey(target: Target): string {
  return target.kind === "outbound"
    ? `outbound ${target.namespace} ${target.ip} ${target.port}`
    : `${objectKey({ kind: "inbound", namespace: target.namespace, name: target.pod })} ${target.port}`
}
