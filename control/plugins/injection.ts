// The Injection hook: what plugins say of a pod that is being injected: labels and annotations of it, warnings, or that it
// must not be. They are told nothing of the values of its environment.
import { MAX_COMPLAINT_CHARS, type Plugin } from "../../deploy/plugin_object/mod.ts"
import type { PatchOperation, PodTemplate } from "../../deploy/inject/mod.ts"
import { pluginHooksV1 } from "../../protos/mod.ts"
import { reasonOf } from "./hook_calls.ts"
import type { PluginSupervisor } from "./supervisor.ts"

/** Longest patch of one plugin. */
export const MAX_PLUGIN_PATCH_BYTES = 65_536
/** Operations of one plugin's patch. */
export const MAX_PLUGIN_PATCH_OPERATIONS = 64
/** Warnings of one plugin; API servers cut them where they are many. */
export const MAX_PLUGIN_WARNINGS = 5

/** RFC 6901 path of one label or annotation. */
const PATH = /^\/metadata\/(labels|annotations)\/([^/]{1,512})$/
/** Ours, and Kubernetes' own. */
const RESERVED = /^([a-z0-9.-]+\.)?(conduit\.io|kubernetes\.io|k8s\.io)\//
const QUALIFIED = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

/** What is done about a pod beside its injection. */
export interface InjectionVerdict {
  /** Why the pod is refused; empty where it is not. */
  readonly denied: string
  readonly warnings: readonly string[]
  /** Operations on the injected pod. */
  readonly patch: readonly PatchOperation[]
}

/** A pod that is asked about. */
export interface AskedPod {
  readonly namespace: string
  readonly ownerKind: string
  readonly owner: string
  readonly pod: PodTemplate
}

/** Asks all plugins with the hook, those aside whose own pod it may be: a plugin must not keep itself from starting. */
export async function askInjection(
  supervisor: PluginSupervisor,
  { namespace, ownerKind, owner, pod }: AskedPod,
): Promise<InjectionVerdict> {
  const asked = supervisor.withHook("Injection").filter(plugin => !isAt(plugin, namespace))
  if (asked.length === 0) return { denied: "", warnings: [], patch: [] }
  const names = new Set(asked.map(({ name }) => name))
  const podJson = JSON.stringify(withoutValues(pod))
  const answers = await supervisor.askAll(
    "Injection",
    pluginHooksV1.InjectionHookService,
    async (client, context, options) => {
      if (!names.has(context.plugin)) return null
      const answer = await client.mutate({ context, namespace, ownerKind, owner, podJson }, options)
      return { ...answer, operations: operationsOf(answer.patchJson) }
    },
  )
  const changes = new Map<string, PatchOperation>()
  const warnings: string[] = []
  let denied = ""
  for (const found of answers) {
    const { plugin } = found
    if (!names.has(plugin.name)) continue
    if ("failed" in found) {
      const fails = plugin.hooks.find(({ name }) => name === "Injection")?.failurePolicy === "Fail"
      if (fails) denied ||= `the plugin "${plugin.name}" has not decided about it: ${found.failed}`
      else warnings.push(`the plugin "${plugin.name}" was not asked: ${found.failed}`)
    } else if (found.answer !== null) {
      const { operations, denied: why } = found.answer
      if (why !== "") denied ||= `the plugin "${plugin.name}" refuses it: ${reasonOf(why)}`
      for (const text of found.answer.warnings.slice(0, MAX_PLUGIN_WARNINGS))
        warnings.push(`${plugin.name}: ${reasonOf(text)}`)
      // Of two that set the same, the later one in order counts.
      for (const operation of operations) changes.set(operation.path, operation)
    }
  }
  return { denied, warnings, patch: denied === "" ? onPod(pod, [...changes.values()]) : [] }
}

/** Whether a plugin runs in a namespace. */
function isAt({ address }: Plugin, namespace: string): boolean {
  return address.kind === "service" && address.namespace === namespace
}

/** @throws Error with a sentence for what a plugin may not change */
function operationsOf(text: string): PatchOperation[] {
  if (text === "") return []
  if (Buffer.byteLength(text) > MAX_PLUGIN_PATCH_BYTES)
    throw new Error(`its patch is longer than ${MAX_PLUGIN_PATCH_BYTES} bytes`)
  const patch: unknown = JSON.parse(text)
  if (!Array.isArray(patch) || patch.length > MAX_PLUGIN_PATCH_OPERATIONS)
    throw new Error(`its patch is no list of at most ${MAX_PLUGIN_PATCH_OPERATIONS} operations (RFC 6902)`)
  return patch.map((entry, index) => {
    const { op, path, value } = (entry ?? {}) as Record<string, unknown>
    const at = `operation ${index} of its patch`
    const [, list = "", escaped = ""] = (typeof path === "string" ? PATH.exec(path) : null) ?? []
    const key = escaped.replaceAll("~1", "/").replaceAll("~0", "~")
    const shown = String(path).slice(0, MAX_COMPLAINT_CHARS)
    if (list === "" || !QUALIFIED.test(key))
      throw new Error(
        `${at} is on ${JSON.stringify(shown)}: only labels and annotations are a plugin's to change`,
      )
    if (RESERVED.test(key)) throw new Error(`${at} is on ${key}, which is Conduit's or Kubernetes' own`)
    if (op === "remove") return { op, path: String(path) }
    if (op !== "add" && op !== "replace") throw new Error(`${at} must add, replace or remove`)
    if (typeof value !== "string" || (list === "labels" && !LABEL_VALUE.test(value)))
      throw new Error(
        `${at} gives ${key} no value that a ${list === "labels" ? "label" : "annotation"} may have`,
      )
    return { op: "add", path: String(path), value }
  })
}

/** Operations that apply to the pod: nothing is removed that is not there. An injected pod has both maps. */
function onPod({ metadata }: PodTemplate, operations: readonly PatchOperation[]): PatchOperation[] {
  return operations.filter(({ op, path }) => {
    if (op !== "remove") return true
    const [, , list = "", key = ""] = path.split("/")
    const map = list === "labels" ? metadata?.labels : metadata?.annotations
    return map?.[key.replaceAll("~1", "/").replaceAll("~0", "~")] !== undefined
  })
}

/** A pod without the values of its environment: secrets are among them. */
function withoutValues(pod: PodTemplate): unknown {
  const container = (one: object): object => {
    const { env } = one as { readonly env?: readonly { readonly name: string }[] }
    return env === undefined ? one : { ...one, env: env.map(({ name }) => ({ name })) }
  }
  const { spec } = pod
  return {
    metadata: pod.metadata,
    spec: {
      ...spec,
      containers: spec.containers.map(container),
      ...(spec.initContainers === undefined ? {} : { initContainers: spec.initContainers.map(container) }),
    },
  }
}
