// One plugin: describes it, keeps its streams, and begins anew whenever they break. What it answered last goes on to hold
// meanwhile; it is taken back when the object goes, or no longer has the hook.
import { create, type DescService } from "@bufbuild/protobuf"
import { type Client, Code, ConnectError, createClient, type Transport } from "@connectrpc/connect"
import {
  type ConfigurationCheck,
  configurationCheck,
  MAX_COMPLAINT_CHARS,
  type Plugin,
  type PluginHook,
} from "../../deploy/plugin_object/mod.ts"
import { pluginDestinationV1, pluginHooksV1, pluginPolicyV1, pluginV1 } from "../../protos/mod.ts"
import type { AmendmentRecord, ClusterStore, PolicyRecord } from "../cluster/mod.ts"
import { objectKey } from "../cluster/mod.ts"
import type { Log } from "../log.ts"
import { amendRequest, MAX_AMENDED_PORTS, readAmendments, type ToldPort, toldPorts } from "./amendments.ts"
import { HookCalls, reasonOf } from "./hook_calls.ts"
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
import { TOLD_AFTER_MS, Told, type ToldChange, Wake } from "./told.ts"

/** Version of the plugin API that is spoken here. */
export const PLUGIN_API = "v1"
/** Longest wait for Describe: a plugin may be starting. */
export const DESCRIBE_TIMEOUT_MS = 5_000
/** First pause before a plugin is called again; it doubles up to `RECONNECT_MAX_MS`. */
export const RECONNECT_MIN_MS = 100
/** Longest pause. */
export const RECONNECT_MAX_MS = 5_000
/** A plugin that answers is described again after this: what it says of itself may have changed. */
export const DESCRIBE_AGAIN_MS = 15_000
/** A plugin that is wrong about itself is asked again after this. */
export const INVALID_RETRY_MS = 5_000
/** Answers of a stream are taken this far apart at least; what comes faster waits with the plugin. */
export const MIN_ANSWER_GAP_MS = 20
/**
 * How long the first policies and amendments of a plugin are waited for, whatever its deadline: a process that has begun tells
 * proxies nothing meanwhile, and those of new pods wait as long for their first answer.
 */
export const FIRST_ANSWER_MS = 2_000
/** Longest message of a plugin. */
export const MAX_PLUGIN_MESSAGE_BYTES = 4_194_304

/** What a plugin is to the control plane. */
export type PluginState = "Connecting" | "Ready" | "Degraded" | "Unreachable" | "Invalid"

/** Hooks whose answers hold as data. */
const STREAMS = ["Policy", "Destination"] as const

/** Numbers of hooks in the API. */
const HOOK_NUMBERS: Readonly<Record<PluginHook, pluginV1.Hook>> = {
  Destination: pluginV1.Hook.DESTINATION,
  Policy: pluginV1.Hook.POLICY,
  Authorize: pluginV1.Hook.AUTHORIZE,
  Identity: pluginV1.Hook.IDENTITY,
  Telemetry: pluginV1.Hook.TELEMETRY,
  Injection: pluginV1.Hook.INJECTION,
  Check: pluginV1.Hook.CHECK,
  Api: pluginV1.Hook.API,
}

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
  /** Windows for the Telemetry hook; absent in a process without figures. */
  readonly windows?: WindowFeed
  /** Told whenever the state has changed. */
  readonly onState: () => void
}

/** A plugin is not what it should be: it is not called until it says something else. */
class InvalidPlugin extends Error {}

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
  #pauseMs = RECONNECT_MIN_MS
  #schema = ""
  #check: ConfigurationCheck = () => []
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
      else this.#apply(policies, [])
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
    return await calls.call(async options => {
      const client = this.client(service)
      try {
        return await make(client, this.#context, options)
      } catch (error) {
        // It may be gone: whether it is is found out at once.
        if (error instanceof ConnectError && error.code === Code.Unavailable) this.#doubt.wake()
        throw error
      }
    })
  }

  /** A client for what has no deadline. @throws Error with a sentence where the plugin is not there */
  client<Service extends DescService>(service: Service): Client<Service> {
    if (this.#way === null) throw new Error(this.reason === "" ? "it is not connected yet" : this.reason)
    return createClient(service, this.#way.transport)
  }

  /** Ends it, and takes back what the plugin answered. */
  stop(): void {
    const { policies, amendments } = this.#handOver()
    this.#apply(policies, [])
    this.#applyAmendments(amendments, [])
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
    if (settings === undefined || this.#answered.has(hook)) return
    const giveUp = (): void => {
      this.#awaited.delete(hook)
      if (hook === "Policy") {
        const closing = unansweredPolicies(this.plugin.name, settings)
        this.#apply(this.#policies, closing)
        this.#policies = closing
      }
      this.#settleIfDone()
    }
    this.#awaited.set(hook, setTimeout(giveUp, FIRST_ANSWER_MS))
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
    while (!signal.aborted) {
      let pauseMs: number
      const round = new AbortController()
      const end = (): void => round.abort()
      signal.addEventListener("abort", end)
      try {
        const way = this.#options.way(this.plugin)
        this.#way = way
        await this.#describe(way.transport)
        this.#become("Ready", "")
        this.#pauseMs = RECONNECT_MIN_MS
        await this.#serve(way.transport, round)
        pauseMs = RECONNECT_MIN_MS
      } catch (error) {
        if (signal.aborted) break
        const invalid = error instanceof InvalidPlugin
        this.#become(invalid ? "Invalid" : "Unreachable", reasonOf(error))
        pauseMs = invalid ? INVALID_RETRY_MS : this.#pauseMs
        this.#pauseMs = Math.min(this.#pauseMs * 2, RECONNECT_MAX_MS)
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
    const { name, configuration } = this.plugin
    const answer = await createClient(pluginV1.PluginService, transport).describe(
      {
        context: this.#context,
        apiVersions: [PLUGIN_API],
        conduitVersion: this.#options.version,
      },
      { timeoutMs: DESCRIBE_TIMEOUT_MS, signal: this.#ending.signal },
    )
    this.describedName = reasonOf(answer.name)
    this.version = reasonOf(answer.version)
    if (!answer.apiVersions.includes(PLUGIN_API)) {
      const spoken = answer.apiVersions.slice(0, 5).join(", ") || "none"
      throw new InvalidPlugin(`it speaks ${reasonOf(spoken)} of the plugin API, and not ${PLUGIN_API}`)
    }
    for (const { name: hook } of this.plugin.hooks) {
      if (!answer.hooks.includes(HOOK_NUMBERS[hook]))
        throw new InvalidPlugin(`it does not serve the hook ${hook}, which Plugin "${name}" names`)
    }
    if (answer.configurationSchema !== this.#schema) {
      try {
        this.#check = configurationCheck(answer.configurationSchema)
      } catch (error) {
        throw new InvalidPlugin(reasonOf(error))
      }
      this.#schema = answer.configurationSchema
    }
    const [first] = [...this.#check(configuration), ...answer.problems]
    if (first !== undefined) {
      const at =
        first.path === "" ? "spec.configuration" : `spec.configuration${first.path.replaceAll("/", ".")}`
      throw new InvalidPlugin(`${reasonOf(at)} ${reasonOf(first.message)}`)
    }
  }

  /** Keeps the streams; describes the plugin again now and then. @throws whatever ends it */
  async #serve(transport: Transport, round: AbortController): Promise<void> {
    const streams: Promise<void>[] = []
    const policy = this.hooks.get("Policy")
    if (policy !== undefined) streams.push(this.#supply(transport, policy, round.signal))
    const destination = this.hooks.get("Destination")
    if (destination !== undefined) streams.push(this.#amend(transport, destination, round.signal))
    const telemetry = this.hooks.get("Telemetry")
    const { windows } = this.#options
    if (telemetry !== undefined && windows !== undefined)
      streams.push(this.#observe(transport, telemetry, windows, round.signal))
    const again = async (): Promise<void> => {
      for (;;) {
        await Promise.race([pause(DESCRIBE_AGAIN_MS, round.signal), this.#doubt.wait()])
        if (round.signal.aborted) return
        await this.#describe(transport)
        this.#judge()
      }
    }
    await Promise.race([...streams, again()]).finally(() => round.abort())
    // The others end with the round; what they say of that is of no interest.
    await Promise.allSettled(streams)
    if (!this.#ending.signal.aborted) throw new Error("it has ended a stream")
  }

  async #supply(transport: Transport, calls: HookCalls, signal: AbortSignal): Promise<void> {
    const client = createClient(pluginPolicyV1.PolicyHookService, transport)
    const { store } = this.#options
    const told = new Told<ToldWorkload>(() => toldWorkloads(store))
    const first = create(pluginPolicyV1.SupplyRequestSchema, { context: this.#context })
    const requests = tell(first, told, this.#workloads, supplyRequest, signal)
    await this.#answers(calls, client.supply(requests, { signal }), answer => {
      const policies = readSupply(this.plugin.name, answer)
      this.#apply(this.#policies, policies)
      this.#policies = policies
      this.#hasAnswered("Policy")
    })
  }

  async #amend(transport: Transport, calls: HookCalls, signal: AbortSignal): Promise<void> {
    const client = createClient(pluginDestinationV1.DestinationHookService, transport)
    const { store } = this.#options
    const told = new Told<ToldPort>(() => toldPorts(store))
    const first = create(pluginDestinationV1.AmendRequestSchema, { context: this.#context })
    const requests = tell(first, told, this.#ports, amendRequest, signal)
    // What the last stream was answered holds until this one is answered: what it does not name then is taken back.
    let stale: Map<string, AmendmentRecord> | null = new Map(this.#amendments)
    await this.#answers(calls, client.amend(requests, { signal }), answer => {
      const amendments = readAmendments(this.plugin, answer)
      const next = new Map(this.#amendments)
      if (stale !== null) for (const key of stale.keys()) next.delete(key)
      stale = null
      for (const one of amendments) {
        if (one.add.length === 0 && one.change.size === 0) next.delete(objectKey(one))
        else next.set(objectKey(one), one)
      }
      if (next.size > MAX_AMENDED_PORTS)
        throw new Error(`it amends ${next.size} ports of Services, more than ${MAX_AMENDED_PORTS}`)
      this.#applyAmendments([...this.#amendments.values()], [...next.values()])
      this.#amendments = next
      this.#hasAnswered("Destination")
    })
  }

  async #observe(
    transport: Transport,
    calls: HookCalls,
    windows: WindowFeed,
    signal: AbortSignal,
  ): Promise<void> {
    const client = createClient(pluginHooksV1.TelemetryHookService, transport)
    const context = this.#context
    const tell = async function* () {
      yield { context }
      for await (const told of windows.read(signal)) {
        yield told
        // What has been asked for again was read.
        calls.succeeded(0)
      }
    }
    try {
      await client.observe(tell(), { signal })
    } catch (error) {
      if (!signal.aborted) calls.failed(error, 0)
      throw error
    }
  }

  /** Takes answers one by one; one that is not as it should be counts as an error and changes nothing. */
  async #answers<Answer>(
    calls: HookCalls,
    stream: AsyncIterable<Answer>,
    take: (answer: Answer) => void,
  ): Promise<void> {
    const { nowMs } = this.#options
    const { name, deadlineMs } = calls.settings
    const late = setTimeout(() => {
      const why = `it has not answered the stream of ${name} within ${deadlineMs} ms, which it is to do with what it has`
      calls.failed(new Error(why), deadlineMs)
      this.#become("Degraded", why)
    }, deadlineMs)
    try {
      for await (const answer of stream) {
        clearTimeout(late)
        const before = nowMs()
        try {
          take(answer)
          calls.succeeded(nowMs() - before)
          this.#judge()
        } catch (error) {
          calls.failed(error, nowMs() - before)
          this.#become("Degraded", `an answer of it is refused, the last good one holds: ${reasonOf(error)}`)
        }
        await pause(MIN_ANSWER_GAP_MS, this.#ending.signal)
      }
    } catch (error) {
      if (!this.#ending.signal.aborted) calls.failed(error, 0)
      throw error
    } finally {
      clearTimeout(late)
    }
  }

  /** It has answered: it is well, unless a hook is not called for now. */
  #judge(): void {
    const open = [...this.hooks].find(([, calls]) => calls.open)
    if (open === undefined) this.#become("Ready", "")
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

/** What a stream tells: who is asked, all there is, and what changes from then on. */
async function* tell<Item, Message>(
  first: Message,
  told: Told<Item>,
  wake: Wake,
  message: (change: ToldChange<Item>, complete: boolean) => Message,
  signal: AbortSignal,
): AsyncGenerator<Message> {
  yield first
  yield message(told.next(), true)
  const end = (): void => wake.wake()
  signal.addEventListener("abort", end)
  try {
    for (;;) {
      await wake.wait()
      if (signal.aborted) return
      await pause(TOLD_AFTER_MS, signal)
      const change = told.next()
      if (change.changed.length + change.removed.length > 0) yield message(change, false)
    }
  } finally {
    signal.removeEventListener("abort", end)
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>(resolve => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    signal.addEventListener("abort", done)
  })
}
