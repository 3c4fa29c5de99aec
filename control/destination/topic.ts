// The targets of watches: what their state is made from, and which changes of the cluster touch it. All who watch an
// address share one state; only namespaces with consumer routes to it (GEP-1294) see one of their own.
import type { ClusterStore } from "../cluster/mod.ts"
import { hasConsumerRoutes } from "../routing/mod.ts"
import { TopicSet, type Watched, type Watcher } from "../serve/mod.ts"
import { type ResolveOptions, resolveInbound, resolveOutbound } from "./resolve.ts"
import { changeBody, inboundState, outboundState, type TargetState, unchangedBody } from "./state.ts"

/** A target of a watch. */
export type Target =
  | { readonly kind: "outbound"; readonly ip: string; readonly port: number }
  | { readonly kind: "inbound"; readonly namespace: string; readonly pod: string; readonly port: number }

/** Who watches. */
export interface Client extends Watcher {
  /** Namespace whose consumer routes count. */
  readonly namespace: string
}

/** What a target is to its clients. */
interface ClientStates {
  /** To clients of all other namespaces. */
  readonly common: TargetState
  /** By namespace; null where no namespace has consumer routes. */
  readonly own: ReadonlyMap<string, TargetState> | null
}

/** A state, and the keys of what it was made from: `ip/...`, `service/...` and `pod/...`. */
interface Resolved {
  readonly state: ClientStates
  readonly dependsOn: readonly string[]
}

/** The targets that are watched now. Watchers get WatchResponses without their `watch_id`. */
export class Topics {
  private readonly store: ClusterStore
  private readonly options: ResolveOptions
  private readonly unsubscribe: () => void
  private readonly topics = new TopicSet<Target, ClientStates, TargetState, Client>({
    key: targetKey,
    resolve: target => this.resolve(target),
    view: ({ common, own }, client) => own?.get(client.namespace) ?? common,
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

  /** Adds a client; see `TopicSet.watch`. */
  watch(target: Target, version: string, client: Client): Watched<Client> {
    return this.topics.watch(target, version, client)
  }

  /** Resolves what changed now; see `TopicSet.flush`. */
  flush(): void {
    this.topics.flush()
  }

  private resolve(target: Target): Resolved {
    if (target.kind === "outbound") return this.resolveOutbound(target.ip, target.port)
    const { namespace, pod, port } = target
    return {
      state: { common: inboundState(resolveInbound(this.store, namespace, pod, port)), own: null },
      dependsOn: [`pod/${namespace}/${pod}`],
    }
  }

  private resolveOutbound(ip: string, port: number): Resolved {
    const dependsOn = new Set([`ip/${ip}`])
    const stateFor = (namespace: string): TargetState => {
      const resolution = resolveOutbound(this.store, ip, port, namespace, this.options)
      if (resolution.kind === "service") for (const key of resolution.dependsOn) dependsOn.add(key)
      return outboundState(resolution)
    }
    const common = stateFor("")
    const own = new Map<string, TargetState>()
    for (const namespace of this.consumers(ip, port)) own.set(namespace, stateFor(namespace))
    return { state: { common, own: own.size === 0 ? null : own }, dependsOn: [...dependsOn] }
  }

  /** Namespaces with consumer routes to what stands behind an address. */
  private consumers(ip: string, port: number): Set<string> {
    const found = this.store.serviceAt(ip, port)
    const consumers = new Set<string>()
    if (found === undefined) return consumers
    for (const { namespace } of this.store.routesOf(found.service.namespace, found.service.name)) {
      if (hasConsumerRoutes(this.store, found.service, found.port, namespace)) consumers.add(namespace)
    }
    return consumers
  }
}

function targetKey(target: Target): string {
  return target.kind === "outbound"
    ? `${target.ip} ${target.port}`
    : `${target.namespace}/${target.pod} ${target.port}`
}
