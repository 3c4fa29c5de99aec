// States of outbound targets, made once for all that share them: clients of every namespace but those with consumer routes
// of their own meet the same state, and a change between two states is encoded once.
import type { ClusterStore } from "../cluster/mod.ts"
import { hasConsumerRoutes } from "../routing/mod.ts"
import { type ResolveOptions, resolveOutbound } from "./resolve.ts"
import { changeBody, outboundState, type TargetState } from "./state.ts"

/** A state, and the keys of what it was made from: `ip/...` and `service/...`. */
export interface OutboundState {
  readonly state: TargetState
  readonly dependsOn: readonly string[]
}

/** Makes states and remembers them until the cluster changes. */
export class OutboundStates {
  private readonly store: ClusterStore
  private readonly options: ResolveOptions
  private made = new Map<string, OutboundState>()
  private changes = new Map<TargetState, { readonly to: TargetState; readonly body: Uint8Array }>()

  constructor(store: ClusterStore, options: ResolveOptions) {
    this.store = store
    this.options = options
  }

  /** The state of an address for clients of a namespace. */
  resolve(ip: string, port: number, clientNamespace: string): OutboundState {
    const found = this.store.serviceAt(ip, port)
    const own =
      found !== undefined && hasConsumerRoutes(this.store, found.service, found.port, clientNamespace)
    const scope = own ? clientNamespace : ""
    const key = `${ip} ${port} ${scope}`
    const known = this.made.get(key)
    if (known !== undefined) return known
    const resolution = resolveOutbound(this.store, ip, port, scope, this.options)
    const dependsOn = [`ip/${ip}`, ...(resolution.kind === "service" ? resolution.dependsOn : [])]
    const made = { state: outboundState(resolution), dependsOn }
    // Addresses of no Service are without number, and cost nothing to make again.
    if (found !== undefined) this.made.set(key, made)
    return made
  }

  /** What takes a watcher from one state to another. */
  change(from: TargetState, to: TargetState): Uint8Array {
    const known = this.changes.get(from)
    if (known?.to === to) return known.body
    const body = changeBody(from, to)
    this.changes.set(from, { to, body })
    return body
  }

  /** The cluster has changed: what was made before may be void. */
  forget(): void {
    this.made = new Map()
    this.changes = new Map()
  }
}
