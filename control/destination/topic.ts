// The targets of watches: what their state is made from, and which changes of the cluster touch it.
import { type ClusterStore, objectKey } from "../cluster/mod.ts"
import { TopicSet, type Watcher } from "../serve/mod.ts"
import { type ResolveOptions, resolveInbound, resolveOutbound } from "./resolve.ts"
import { changeBody, inboundState, outboundState, type TargetState, unchangedBody } from "./state.ts"

/** A target of a watch. */
export type Target =
  | { readonly kind: "outbound"; readonly ip: string; readonly port: number }
  | { readonly kind: "inbound"; readonly namespace: string; readonly pod: string; readonly port: number }

/** The targets that are watched now. Watchers get WatchResponses without their `watch_id`. */
export class Topics {
  private readonly store: ClusterStore
  private readonly options: ResolveOptions
  private readonly unsubscribe: () => void
  private readonly topics = new TopicSet<Target, TargetState>({
    key: targetKey,
    resolve: target => this.resolve(target),
    change: changeBody,
    unchanged: unchangedBody,
  })

  constructor(store: ClusterStore, options: ResolveOptions = {}) {
    this.store = store
    this.options = options
    this.unsubscribe = store.subscribe(({ services, ips, pods }) => {
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
  watch(target: Target, version: string, watcher: Watcher): () => void {
    return this.topics.watch(target, version, watcher)
  }

  private resolve(target: Target): { state: TargetState; dependsOn: string[] } {
    if (target.kind === "inbound") {
      const { namespace, pod, port } = target
      return {
        state: inboundState(resolveInbound(this.store, namespace, pod, port)),
        dependsOn: [`pod/${namespace}/${pod}`],
      }
    }
    const resolution = resolveOutbound(this.store, target.ip, target.port, this.options)
    const dependsOn = [`ip/${target.ip}`]
    if (resolution.kind === "service") dependsOn.push(resolution.dependsOn)
    return { state: outboundState(resolution), dependsOn }
  }
}

function targetKey(target: Target): string {
  return target.kind === "outbound"
    ? `outbound ${target.ip} ${target.port}`
    : `${objectKey({ kind: "inbound", namespace: target.namespace, name: target.pod })} ${target.port}`
}
