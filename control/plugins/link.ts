// One plugin: describes it, keeps its streams, and begins anew whenever they break. What it answered last goes on to hold
// meanwhile; it is taken back when the object goes, or no longer has the hook.
import { create, type DescService } from "@bufbuild/protobuf"
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect"
import { MAX_COMPLAINT_CHARS, type Plugin, type PluginHook } from "../../deploy/plugin_object/mod.ts"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"
import type { AmendmentRecord, ClusterStore, PolicyRecord } from "../cluster/mod.ts"
import { objectKey } from "../cluster/mod.ts"
import type { Log } from "../log.ts"
import { amendRequest, MAX_AMENDED_PORTS, readAmendments, type ToldPort, toldPorts } from "./amendments.ts"
import { DescriptionCheck, InvalidPlugin, PLUGIN_API } from "./description.ts"
import { HookCalls, reasonOf } from "./hook_calls.ts"
import { keepStream, pause, type StreamKeeper, takeAnswers, tell } from "./hook_stream.ts"
import { LINK_PACE, type LinkPace } from "./link_pace.ts"
import {
  readSupply,
  replaceRecords,
  structOf,
  supplyRequest,
  type ToldWorkload,
  toldWorkloads,
  unansweredPolicies,
} from "./supplied_policies.ts"
import type { WindowFeed } from "./window_feed.ts"
import { Told, Wake } from "./told.ts"

/** Longest message of a plugin. */
export const MAX_PLUGIN_MESSAGE_BYTES = 4_194_304

/** What a plugin is to the control plane. */
export type PluginState = "Connecting" | "Ready" | "Degraded" | "Unreachable" | "Invalid"

/** Hooks whose answers hold as data. */
const STREAMS = ["Policy", "Destination"] as const

/** A way to a plugin, closed when it is no longer used. */
export interface Way {
  readonly transport: Transport
  close(): void
}

/** What a link works with. */
export interface LinkOptions {
  readonly store: ClusterStore
  /** Hooks that this process calls. */
  readonly hooks: ReadonlySet<PluginHook>
  /** @throws Error with a sentence when there is no way */
  readonly way: (plugin: Plugin) => Way
  readonly trustDomain: string
  readonly version: string
  readonly log: Log
  /** Monotonic clock, milliseconds. */
  readonly nowMs: () => number
  /** Default: LINK_PACE. */
  readonly pace?: LinkPace
  /** Windows for the Telemetry hook; absent in a process without figures. */
  readonly windows?: WindowFeed
  /** Told whenever the state has changed. */
  readonly onState: () => void
}

/** The link to one plugin. */
export class PluginLink {
  readonly plugin: Plugin
  /** Calls by hook, of the hooks that the object has and this process calls. */
  readonly hooks: ReadonlyMap<PluginHook, HookCalls>
  state: PluginState = "Connecting"
  reason = ""
  describedName = ""
  version = ""
  readonly #options: LinkOptions
  /** What every call carries: made once, since a request may wait for a call. */
  readonly #context: pluginV1.Context
  readonly #ending = new AbortController()
  #way: Way | null = null
  readonly #pace: LinkPace
  #pauseMs: number
  /** What is wrong with streams, by hook. */
  readonly #faults = new Map<PluginHook, string>()
  readonly #description = new DescriptionCheck()
  #policies: readonly PolicyRecord[] = []
  #amendments = new Map<string, AmendmentRecord>()
  readonly #doubt = new Wake()
  /** Streams of which no answer has come yet, with what is done when they are waited for no longer. */
  readonly #awaited = new Map<PluginHook, NodeJS.Timeout>()
  readonly #answered = new Set<PluginHook>()
  readonly #settled = Promise.withResolvers<void>()
  readonly #workloads = new Wake()
  readonly #ports = new Wake()

  /** @param before  the link to the same plugin before its object changed: what that was answered goes on to hold */
  constructor(plugin: Plugin, options: LinkOptions, before?: PluginLink) {
    this.plugin = plugin
    this.#options = options
    this.#pace = options.pace ?? LINK_PACE
    this.#pauseMs = this.#pace.reconnectMinMs
    this.#context = create(pluginV1.ContextSchema, {
      plugin: plugin.name,
      configuration: structOf(plugin.configuration),
      generation: BigInt(plugin.generation),
      trustDomain: options.trustDomain,
    })
    this.hooks = new Map(
      plugin.hooks
        .filter(({ name }) => options.hooks.has(name))
        .map(settings => [settings.name, new HookCalls(settings, options.nowMs)]),
    )
    if (before !== undefined) {
      const { policies, amendments } = before.#handOver()
      if (this.hooks.has("Policy")) this.#policies = policies
      this.#apply(before.#inForce(policies), this.#inForce(this.#policies))
      const kept = this.hooks.has("Destination")
        ? amendments.map(one => ({ ...one, order: plugin.order }))
        : []
      this.#applyAmendments(amendments, kept)
      for (const one of kept) this.#amendments.set(objectKey(one), one)
      for (const hook of before.#answered) this.#answered.add(hook)
    }
    for (const hook of STREAMS) this.#await(hook)
    this.#settleIfDone()
    void this.#run()
  }

  /** Its policies and amendments are there, or were waited for long enough. */
  get settled(): Promise<void> {
    return this.#settled.promise
  }

  /** What it supplies, in force or, in mode Audit, not. */
  get policies(): readonly PolicyRecord[] {
    return this.#policies
  }

  /** Workloads may differ from what was told. */
  workloadsChanged(): void {
    this.#workloads.wake()
  }

  /** Ports of Services or their endpoints may differ from what was told. */
  portsChanged(): void {
    this.#ports.wake()
  }

  /**
   * Calls a hook.
   *
   * @throws Error with a sentence where the plugin is not there, does not answer, or not as it should
   */
  async ask<Service extends DescService, Answer>(
    hook: PluginHook,
    service: Service,
    make: (
      client: Client<Service>,
      context: pluginV1.Context,
      options: { readonly timeoutMs: number; readonly signal: AbortSignal },
    ) => Promise<Answer>,
  ): Promise<Answer> {
    const calls = this.hooks.get(hook)
    if (calls === undefined) throw new Error(`the plugin "${this.plugin.name}" has no hook ${hook}`)
    try {
      const answer = await calls.call(
        async options => await make(this.client(service), this.#context, options),
      )
      if (this.state === "Degraded") this.#judge()
      return answer
    } catch (error) {
      // It may be gone: whether it is is found out at once.
      if ((error instanceof ConnectError && error.code === Code.Unavailable) || calls.open) this.#doubt.wake()
      throw error
    }
  }

  /** A client for what has no deadline. @throws Error with a sentence where the plugin is not there */
  client<Service extends DescService>(service: Service): Client<Service> {
    if (this.#way === null) throw new Error(this.reason === "" ? "it is not connected yet" : this.reason)
    return createClient(service, this.#way.transport)
  }

  /** Ends it, and takes back what the plugin answered. */
  stop(): void {
    const { policies, amendments } = this.#handOver()
    this.#apply(this.#inForce(policies), [])
    this.#applyAmendments(amendments, [])
  }

  /** Policies that count: all, or none in mode Audit. */
  #inForce(policies: readonly PolicyRecord[]): readonly PolicyRecord[] {
    return this.hooks.get("Policy")?.settings.mode === "Audit" ? [] : policies
  }

  #supplyNow(policies: readonly PolicyRecord[]): void {
    this.#apply(this.#inForce(this.#policies), this.#inForce(policies))
    this.#policies = policies
  }

  /** Ends it; what the plugin answered stays. */
  #handOver(): { policies: readonly PolicyRecord[]; amendments: readonly AmendmentRecord[] } {
    this.#ending.abort()
    for (const timer of this.#awaited.values()) clearTimeout(timer)
    this.#awaited.clear()
    this.#settleIfDone()
    this.#workloads.wake()
    this.#ports.wake()
    this.#way?.close()
    this.#way = null
    return { policies: this.#policies, amendments: [...this.#amendments.values()] }
  }

  /** Waits for the first answer of a stream; without one in its time, a hook with failurePolicy Fail closes what it says. */
  #await(hook: PluginHook): void {
    const settings = this.hooks.get(hook)?.settings
    if (settings === undefined || settings.mode === "Audit" || this.#answered.has(hook)) return
    const giveUp = (): void => {
      this.#awaited.delete(hook)
      if (hook === "Policy") this.#supplyNow(unansweredPolicies(this.plugin.name, settings))
      this.#settleIfDone()
    }
    this.#awaited.set(hook, setTimeout(giveUp, this.#pace.firstAnswerMs))
  }

  #hasAnswered(hook: PluginHook): void {
    this.#answered.add(hook)
    clearTimeout(this.#awaited.get(hook))
    this.#awaited.delete(hook)
    this.#settleIfDone()
  }

  #settleIfDone(): void {
    if (this.#awaited.size === 0) this.#settled.resolve()
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending
    const { reconnectMinMs, reconnectMaxMs, invalidRetryMs } = this.#pace
    while (!signal.aborted) {
      let pauseMs: number
      const round = new AbortController()
      const end = (): void => round.abort()
      signal.addEventListener("abort", end)
      try {
        const way = this.#options.way(this.plugin)
        this.#way = way
        await this.#describe(way.transport)
        for (const calls of this.hooks.values()) calls.tryAgain()
        this.#faults.clear()
        this.#judge()
        this.#pauseMs = reconnectMinMs
        await this.#serve(way.transport, round)
        pauseMs = reconnectMinMs
      } catch (error) {
        if (signal.aborted) break
        const invalid = error instanceof InvalidPlugin
        this.#become(invalid ? "Invalid" : "Unreachable", reasonOf(error))
        pauseMs = invalid ? invalidRetryMs : this.#pauseMs
        this.#pauseMs = Math.min(this.#pauseMs * 2, reconnectMaxMs)
      } finally {
        round.abort()
        signal.removeEventListener("abort", end)
        this.#way?.close()
        this.#way = null
      }
      await pause(pauseMs, signal)
    }
  }

  async #describe(transport: Transport): Promise<void> {
    const { describeTimeoutMs } = this.#pace
    const answer = await createClient(pluginV1.PluginService, transport)
      .describe(
        {
          context: this.#context,
          apiVersions: [PLUGIN_API],
          conduitVersion: this.#options.version,
        },
        { timeoutMs: describeTimeoutMs, signal: this.#ending.signal },
      )
      .catch(error => {
        const late = error instanceof ConnectError && error.code === Code.DeadlineExceeded
        throw late ? new Error(`it did not answer Describe within ${describeTimeoutMs} ms`) : error
      })
    this.describedName = reasonOf(answer.name)
    this.version = reasonOf(answer.version)
    this.#description.check(this.plugin, answer)
  }

  /** Keeps the streams; describes the plugin again now and then. @throws what Describe does */
  async #serve(transport: Transport, round: AbortController): Promise<void> {
    const { signal } = round
    const streams: Promise<void>[] = []
    const policy = this.hooks.get("Policy")
    if (policy !== undefined) streams.push(this.#supply(transport, this.#keeper(policy), signal))
    const destination = this.hooks.get("Destination")
    if (destination !== undefined) streams.push(this.#amend(transport, this.#keeper(destination), signal))
    const telemetry = this.hooks.get("Telemetry")
    const { windows } = this.#options
    if (telemetry !== undefined && windows !== undefined)
      streams.push(this.#observe(transport, this.#keeper(telemetry), windows, signal))
    try {
      for (;;) {
        await Promise.race([pause(this.#pace.describeAgainMs, signal), this.#doubt.wait()])
        if (signal.aborted) return
        await this.#describe(transport)
        this.#judge()
      }
    } finally {
      round.abort()
      // They end with the round; what they say of that is of no interest.
      await Promise.allSettled(streams)
    }
  }

  #keeper(calls: HookCalls): StreamKeeper {
    const hook = calls.settings.name
    return {
      calls,
      nowMs: this.#options.nowMs,
      minPauseMs: this.#pace.reconnectMinMs,
      maxPauseMs: this.#pace.reconnectMaxMs,
      onBroken: () => this.#doubt.wake(),
      onFault: fault => {
        if (fault === "") this.#faults.delete(hook)
        else this.#faults.set(hook, fault)
        // What is unreachable or invalid is so for as long as it does not describe itself.
        if (this.#way !== null) this.#judge()
      },
    }
  }

  async #supply(transport: Transport, keeper: StreamKeeper, round: AbortSignal): Promise<void> {
    const client = createClient(pluginPolicyV1.PolicyHookService, transport)
    const { store } = this.#options
    await keepStream(keeper, round, async (signal, well) => {
      const told = new Told<ToldWorkload>(() => toldWorkloads(store))
      const first = create(pluginPolicyV1.SupplyRequestSchema, { context: this.#context })
      const requests = tell(first, told, this.#workloads, supplyRequest, signal)
      const take = (answer: pluginPolicyV1.SupplyResponse): void => {
        this.#supplyNow(readSupply(this.plugin.name, answer))
        this.#hasAnswered("Policy")
      }
      await takeAnswers(keeper, client.supply(requests, { signal }), take, signal, well)
    })
  }

  async #amend(transport: Transport, keeper: StreamKeeper, round: AbortSignal): Promise<void> {
    const client = createClient(pluginDestinationV1.DestinationHookService, transport)
    const { store } = this.#options
    await keepStream(keeper, round, async (signal, well) => {
      const told = new Told<ToldPort>(() => toldPorts(store))
      const first = create(pluginDestinationV1.AmendRequestSchema, { context: this.#context })
      const requests = tell(first, told, this.#ports, amendRequest, signal)
      // What the last stream was answered holds until this one is answered: what it does not name then is taken back.
      let stale: Map<string, AmendmentRecord> | null = new Map(this.#amendments)
      const take = (answer: pluginDestinationV1.AmendResponse): void => {
        const amendments = readAmendments(this.plugin, answer)
        const next = new Map(this.#amendments)
        if (stale !== null) for (const key of stale.keys()) next.delete(key)
        for (const one of amendments) {
          if (one.add.length === 0 && one.change.size === 0) next.delete(objectKey(one))
          else next.set(objectKey(one), one)
        }
        if (next.size > MAX_AMENDED_PORTS)
          throw new Error(`it amends ${next.size} ports of Services, more than ${MAX_AMENDED_PORTS}`)
        stale = null
        this.#applyAmendments([...this.#amendments.values()], [...next.values()])
        this.#amendments = next
        this.#hasAnswered("Destination")
      }
      await takeAnswers(keeper, client.amend(requests, { signal }), take, signal, well)
    })
  }

  async #observe(
    transport: Transport,
    keeper: StreamKeeper,
    windows: WindowFeed,
    round: AbortSignal,
  ): Promise<void> {
    const client = createClient(pluginHooksV1.TelemetryHookService, transport)
    const context = this.#context
    await keepStream(keeper, round, async (signal, well) => {
      const windowsTold = async function* () {
        yield { context }
        for await (const told of windows.read(signal)) {
          yield told
          // What has been asked for again was read.
          keeper.calls.succeeded(0)
          keeper.onFault("")
          well()
        }
      }
      await client.observe(windowsTold(), { signal })
    })
  }

  /** It has answered: it is well, unless a hook is not called for now. */
  #judge(): void {
    const [fault] = this.#faults.values()
    const open = [...this.hooks].find(([, calls]) => calls.open)
    if (fault !== undefined) this.#become("Degraded", fault)
    else if (open === undefined) this.#become("Ready", "")
    else this.#become("Degraded", `${open[0]} is not called for a while: ${open[1].figures().lastError}`)
  }

  #become(state: PluginState, reason: string): void {
    if (this.state === state && this.reason === reason) return
    const { log, onState } = this.#options
    const told = reason.slice(0, MAX_COMPLAINT_CHARS)
    if (state === "Ready") log.info("a plugin is ready", { plugin: this.plugin.name, version: this.version })
    else if (this.state !== state)
      log.warn(`a plugin is ${state.toLowerCase()}: ${told}`, { plugin: this.plugin.name })
    this.state = state
    this.reason = told
    onState()
  }

  #apply(before: readonly PolicyRecord[], after: readonly PolicyRecord[]): void {
    this.#options.store.apply(replaceRecords(before, after))
  }

  #applyAmendments(before: readonly AmendmentRecord[], after: readonly AmendmentRecord[]): void {
    this.#options.store.apply(replaceRecords(before, after))
  }
}
