// The plugins of one control-plane process: a link for each object that has a hook of this process, in their order.
import type { DescService } from "@bufbuild/protobuf"
import type { Client } from "@connectrpc/connect"
import {
  comparePlugins,
  type Plugin,
  type PluginHook,
  pluginAddressText,
} from "../../deploy/plugin_object/mod.ts"
import type { pluginV1 } from "../../protos/mod.ts"
import type { PolicyRecord } from "../cluster/mod.ts"
import type { Metric } from "../serve/mod.ts"
import { reasonOf } from "./hook_calls.ts"
import { type LinkOptions, PluginLink, type PluginState } from "./link.ts"

/** Plugins of a cluster: each holds a connection and a stream of every control-plane process. */
export const MAX_PLUGINS = 64

/** What is known of a plugin. */
export interface PluginReport {
  readonly plugin: Plugin
  readonly address: string
  readonly state: PluginState
  /** Why it is not `Ready`; empty otherwise. */
  readonly reason: string
  readonly describedName: string
  readonly version: string
  readonly hooks: PluginLink["hooks"]
}

/** What a plugin has to say of requests. */
export interface Supplied {
  /** Neither of its hooks is in mode Audit. */
  readonly inForce: boolean
  readonly policies: readonly PolicyRecord[]
  /** It is asked about single requests. */
  readonly asked: boolean
}

/** What a hook of one plugin answered, or why it did not. */
export type HookAnswer<Answer> = { readonly plugin: Plugin } & (
  | { readonly answer: Answer }
  | { readonly failed: string }
)

/** Keeps the links current with the objects. */
export class PluginSupervisor {
  readonly #options: Omit<LinkOptions, "onState">
  readonly #links = new Map<string, PluginLink>()
  readonly #listeners = new Set<() => void>()
  readonly #unsubscribe: () => void
  readonly #release: () => void
  #stopped = false

  constructor(options: Omit<LinkOptions, "onState">) {
    this.#options = options
    const { store } = options
    // Before the cluster is known a plugin would be told that everything is gone.
    this.#release = store.holdBack()
    store.whenSynced(() => {
      this.#look()
      // Otherwise proxies of a control plane that was started anew would be told what holds without plugins, for a moment.
      void Promise.all([...this.#links.values()].map(({ settled }) => settled)).then(this.#release)
    })
    this.#unsubscribe = store.subscribe(({ plugins, pods, services }) => {
      if (!store.synced) return
      if (plugins.size > 0) this.#look()
      for (const link of this.#links.values()) {
        if (pods.size > 0) link.workloadsChanged()
        if (services.size > 0) link.portsChanged()
      }
    })
  }

  /** Calls back whenever the state of a plugin has changed; returns what ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** What is known of each plugin, in their order. */
  report(): PluginReport[] {
    return this.#ordered().map(({ plugin, state, reason, describedName, version, hooks }) => ({
      ...{ plugin, state, reason, describedName, version, hooks },
      address: pluginAddressText(plugin.address),
    }))
  }

  /** Plugins that have a hook, in the order in which they are asked. */
  withHook(hook: PluginHook): Plugin[] {
    return this.#ordered()
      .filter(({ hooks }) => hooks.has(hook))
      .map(({ plugin }) => plugin)
  }

  /** Asks one plugin. @throws Error with a sentence where it does not answer as it should */
  async ask<Service extends DescService, Answer>(
    name: string,
    hook: PluginHook,
    service: Service,
    make: (
      client: Client<Service>,
      context: pluginV1.Context,
      options: { readonly timeoutMs: number; readonly signal: AbortSignal },
    ) => Promise<Answer>,
  ): Promise<Answer> {
    const link = this.#links.get(name)
    if (link === undefined) throw new Error(`there is no plugin "${name}"`)
    return await link.ask(hook, service, make)
  }

  /** Counts that a plugin refused what it was asked about. */
  refused(name: string, hook: PluginHook): void {
    this.#links.get(name)?.hooks.get(hook)?.refused()
  }

  /** Whether what a hook says is in force: not in mode Audit. */
  enforces(name: string, hook: PluginHook): boolean {
    return this.#links.get(name)?.hooks.get(hook)?.settings.mode !== "Audit"
  }

  /**
   * What a plugin would have to say of requests: the policies that it supplies, in force or, in mode Audit, not, and whether it is
   * asked about single ones. Null for a plugin with neither hook.
   */
  supplied(name: string): Supplied | null {
    const link = this.#links.get(name)
    const policy = link?.hooks.get("Policy")
    const asked = link?.hooks.get("Authorize")
    if (link === undefined || (policy === undefined && asked === undefined)) return null
    return {
      inForce: [policy, asked].every(calls => calls?.settings.mode !== "Audit"),
      policies: policy === undefined ? [] : link.policies,
      asked: asked !== undefined,
    }
  }

  /** A client of one plugin, for streams. @throws Error with a sentence where it is not there */
  client<Service extends DescService>(name: string, service: Service): Client<Service> {
    const link = this.#links.get(name)
    if (link === undefined) throw new Error(`there is no plugin "${name}"`)
    return link.client(service)
  }

  /**
   * Asks plugins with a hook at once; answers in their order. Never throws.
   *
   * @param asked  those to ask, by default all that have it
   */
  async askAll<Service extends DescService, Answer>(
    hook: PluginHook,
    service: Service,
    make: (
      client: Client<Service>,
      context: pluginV1.Context,
      options: { readonly timeoutMs: number; readonly signal: AbortSignal },
    ) => Promise<Answer>,
    asked: readonly Plugin[] = this.withHook(hook),
  ): Promise<HookAnswer<Answer>[]> {
    const answers = asked.map(async plugin => {
      try {
        return { plugin, answer: await this.ask(plugin.name, hook, service, make) }
      } catch (error) {
        return { plugin, failed: reasonOf(error) }
      }
    })
    return await Promise.all(answers)
  }

  /** Figures for /metrics. */
  metrics(): Metric[] {
    return this.#ordered().flatMap(({ plugin, state, hooks }) => [
      {
        name: "plugin_ready",
        help: "1 while the plugin answers as it should.",
        type: "gauge" as const,
        value: state === "Ready" ? 1 : 0,
        labels: { plugin: plugin.name },
      },
      ...[...hooks].flatMap(([hook, calls]) => {
        const { calls: made, errors, refused } = calls.figures()
        const labels = { plugin: plugin.name, hook }
        return [
          {
            name: "plugin_calls_total",
            help: "Calls of plugins, and answers on their streams.",
            type: "counter" as const,
            value: made,
            labels,
          },
          {
            name: "plugin_errors_total",
            help: "Those of them that failed.",
            type: "counter" as const,
            value: errors,
            labels,
          },
          {
            name: "plugin_refusals_total",
            help: "Answers by which plugins refused what they were asked about; in mode Audit they are not in force.",
            type: "counter" as const,
            value: refused,
            labels,
          },
        ]
      }),
    ])
  }

  /** Ends all links, and takes back what plugins answered. */
  stop(): void {
    this.#stopped = true
    this.#release()
    this.#unsubscribe()
    for (const link of this.#links.values()) link.stop()
    this.#links.clear()
  }

  #ordered(): PluginLink[] {
    return [...this.#links.values()].sort((a, b) => comparePlugins(a.plugin, b.plugin))
  }

  #look(): void {
    if (this.#stopped) return
    const { store, hooks, log } = this.#options
    const all = [...store.plugins()].map(({ plugin }) => plugin).sort(comparePlugins)
    if (all.length > MAX_PLUGINS)
      log.warn(`there are ${all.length} plugins, more than ${MAX_PLUGINS}; the last in order are not called`)
    const wanted = new Map(
      all
        .slice(0, MAX_PLUGINS)
        .filter(plugin => plugin.hooks.some(({ name }) => hooks.has(name)))
        .map(plugin => [plugin.name, plugin]),
    )
    for (const [name, link] of this.#links) {
      const plugin = wanted.get(name)
      if (plugin === link.plugin) continue
      this.#links.delete(name)
      if (plugin === undefined) link.stop()
      else this.#links.set(name, this.#link(plugin, link))
    }
    for (const [name, plugin] of wanted) {
      if (!this.#links.has(name)) this.#links.set(name, this.#link(plugin))
    }
    this.#changed()
  }

  #link(plugin: Plugin, before?: PluginLink): PluginLink {
    return new PluginLink(plugin, { ...this.#options, onState: () => this.#changed() }, before)
  }

  #changed(): void {
    for (const listener of this.#listeners) listener()
  }
}
