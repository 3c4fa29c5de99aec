// Plugins as the whole control plane sees them: figures of a hook are with the processes that call it, which tell them on their
// admin ports, and a plugin is as well as the one sees it that sees it worst.
import { create, fromJsonString } from "@bufbuild/protobuf"
import { PLUGIN_HOOKS, type PluginHook } from "../../deploy/plugin_object/mod.ts"
import {
  type PluginHookState,
  PluginHookStateSchema,
  type PluginsResponse,
  PluginsResponseSchema,
  type PluginState as PluginKnown,
  PluginStateSchema,
} from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import type { PluginState } from "../plugins/mod.ts"
import { askPod } from "../proxies/mod.ts"

/** Where a process tells of the plugins that it asks. */
export const PLUGINS_PATH = "/plugins"
/** A process that has not told of its plugins within this is left out: who asks waits. */
export const PROCESS_TIMEOUT_MS = 1_000
/** Longest answer of a process: all plugins that there may be, with all hooks and errors. */
export const MAX_PROCESS_ANSWER_BYTES = 1_048_576
/** Processes that are asked: replicas of a few services. */
export const MAX_PLUGIN_PROCESSES = 32

/** Which processes ask plugins. */
export interface PluginProcesses {
  /** Namespace of the control plane. */
  readonly namespace: string
  /** Service that calls a hook, such as `identity`. */
  readonly askedBy: Readonly<Record<PluginHook, string>>
  /** Services that run in this process. */
  readonly own: ReadonlySet<string>
  /** Pod of this process: others of the same services are replicas, and are asked as well. */
  readonly ownPod: string
  /** Admin port of all of them. */
  readonly adminPort: number
}

type Told = { readonly pod: PodRecord; readonly service: string } & (
  | { readonly of: PluginsResponse }
  | { readonly error: string }
)

/** States from the best to the worst. */
const STATES: readonly string[] = [
  "Ready",
  "Connecting",
  "Degraded",
  "Unreachable",
  "Invalid",
] satisfies PluginState[]

/**
 * What is known of plugins in all processes.
 *
 * @param own  what this process knows; its plugins and their order are those that are told
 */
export async function pluginsOfMesh(
  own: PluginsResponse,
  store: ClusterStore,
  processes: PluginProcesses | undefined,
  signal: AbortSignal,
): Promise<PluginsResponse> {
  const { plugins } = own
  if (processes === undefined || plugins.length === 0) return own
  const told = await askAll(store, processes, signal)
  const unknown = told.flatMap(one => ("error" in one ? [`${one.pod.name}: ${one.error}`] : []))
  for (const hook of PLUGIN_HOOKS) {
    const service = processes.askedBy[hook]
    if (processes.own.has(service) || told.some(one => one.service === service)) continue
    if (plugins.some(({ hooks }) => hooks.some(one => one.hook === hook)))
      unknown.push(`there is no pod of conduit-${service}, which calls the hook ${hook}`)
  }
  return create(PluginsResponseSchema, {
    plugins: plugins.map(plugin => merged(plugin, told, processes)),
    unknown,
  })
}

async function askAll(store: ClusterStore, processes: PluginProcesses, signal: AbortSignal): Promise<Told[]> {
  const { namespace, askedBy, own, ownPod, adminPort } = processes
  const services = new Map(Object.values(askedBy).map(service => [`conduit-${service}`, service]))
  const asking = [...store.pods(namespace)].filter(
    ({ serviceAccount, finished }) => services.has(serviceAccount) && !finished,
  )
  // A process that does not find itself among them would take what it knows for another's.
  const found = asking.some(({ name }) => name === ownPod)
  const pods = asking
    .filter(({ name, serviceAccount }) =>
      own.has(services.get(serviceAccount) ?? "") ? found && name !== ownPod : true,
    )
    .slice(0, MAX_PLUGIN_PROCESSES)
  const question = { path: PLUGINS_PATH, maxBytes: MAX_PROCESS_ANSWER_BYTES }
  const options = { adminPort, timeoutMs: PROCESS_TIMEOUT_MS }
  return await Promise.all(
    pods.map(async pod => {
      const from = { pod, service: services.get(pod.serviceAccount) ?? "" }
      const { text, error } = await askPod(pod, question, signal, options)
      if (error !== "") return { ...from, error }
      try {
        return { ...from, of: fromJsonString(PluginsResponseSchema, text, { ignoreUnknownFields: true }) }
      } catch {
        return { ...from, error: "what it says of its plugins cannot be read; its version may be another" }
      }
    }),
  )
}

function merged(plugin: PluginKnown, told: readonly Told[], { askedBy, own }: PluginProcesses): PluginKnown {
  let { state, reason } = plugin
  const others = told.flatMap(one => {
    const found = "of" in one ? one.of.plugins.find(({ name }) => name === plugin.name) : undefined
    return found === undefined ? [] : [{ service: one.service, found }]
  })
  for (const { service, found } of others) {
    if (STATES.indexOf(found.state) <= STATES.indexOf(state)) continue
    state = found.state
    reason = `conduit-${service}: ${found.reason === "" ? "no answer of it yet" : found.reason}`
  }
  const hooks = plugin.hooks.map(hook => {
    const asker = askedBy[hook.hook as PluginHook]
    const more = others.flatMap(({ found }) => found.hooks.filter(one => one.hook === hook.hook))
    const unknown = !own.has(asker) && !others.some(({ service }) => service === asker)
    return create(PluginHookStateSchema, { ...more.reduce(added, hook), unknown })
  })
  return create(PluginStateSchema, { ...plugin, state, reason, hooks })
}

/** Figures of two processes together; latencies are the slower one's. */
function added(a: PluginHookState, b: PluginHookState): PluginHookState {
  const { lastError, lastErrorMs } = b.lastErrorMs > a.lastErrorMs ? b : a
  return {
    ...a,
    callsPerSecond: a.callsPerSecond + b.callsPerSecond,
    errorsPerSecond: a.errorsPerSecond + b.errorsPerSecond,
    calls: a.calls + b.calls,
    errors: a.errors + b.errors,
    refused: a.refused + b.refused,
    p50Ms: Math.max(a.p50Ms, b.p50Ms),
    p99Ms: Math.max(a.p99Ms, b.p99Ms),
    open: a.open || b.open,
    ...{ lastError, lastErrorMs },
  }
}
