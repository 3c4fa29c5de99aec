// The Injection hook: what plugins say of a pod that is being injected: labels and annotations of it, warnings, or that it
// must not be. They are told nothing of the values of its environment.

import type { PatchOperation, PodTemplate } from "../../deploy/inject/mod.ts"
import { type Plugin, readPodPatch } from "../../deploy/plugin_object/mod.ts"
import { pluginHooksV1 } from "../../protos/mod.ts"
import { reasonOf } from "./hook_calls.ts"
import type { PluginSupervisor } from "./supervisor.ts"

/** Warnings of one plugin; API servers cut them where they are many. */
export const MAX_PLUGIN_WARNINGS = 5

/** What is done about a pod beside its injection. */
export interface InjectionVerdict {
  /** Why the pod is refused; empty where it is not. */
  readonly denied: string
  readonly warnings: readonly string[]
  /** Operations on the injected pod. */
  readonly patch: readonly PatchOperation[]
  /** Names of the plugins that have answered. */
  readonly answered: readonly string[]
}

/** Where no plugin is asked. */
export const NOBODY_ASKED: InjectionVerdict = { denied: "", warnings: [], patch: [], answered: [] }

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
  if (asked.length === 0) return NOBODY_ASKED
  const podJson = JSON.stringify(withoutValues(pod))
  const answers = await supervisor.askAll(
    "Injection",
    pluginHooksV1.InjectionHookService,
    async (client, context, options) => {
      const answer = await client.mutate({ context, namespace, ownerKind, owner, podJson }, options)
      return { ...answer, operations: readPodPatch(answer.patchJson, pod.metadata) }
    },
    asked,
  )
  const changes = new Map<string, PatchOperation>()
  const warnings: string[] = []
  let denied = ""
  for (const found of answers) {
    const { plugin } = found
    if ("failed" in found) {
      const fails = plugin.hooks.find(({ name }) => name === "Injection")?.failurePolicy === "Fail"
      if (fails) denied ||= `the plugin "${plugin.name}" has not decided about it: ${found.failed}`
      else warnings.push(`the plugin "${plugin.name}" was not asked: ${found.failed}`)
    } else {
      const { operations, denied: why } = found.answer
      const enforced = supervisor.enforces(plugin.name, "Injection")
      if (why !== "") {
        supervisor.refused(plugin.name, "Injection")
        if (enforced) denied ||= `the plugin "${plugin.name}" refuses it: ${reasonOf(why)}`
        else warnings.push(`the plugin "${plugin.name}" in mode Audit would refuse it: ${reasonOf(why)}`)
      }
      for (const text of found.answer.warnings.slice(0, MAX_PLUGIN_WARNINGS))
        warnings.push(`${plugin.name}: ${reasonOf(text)}`)
      // Of two that set the same, the later one in order counts.
      for (const operation of enforced ? operations : []) changes.set(operation.path, operation)
    }
  }
  const answered = answers.filter(found => "answer" in found).map(({ plugin }) => plugin.name)
  return { denied, warnings, patch: denied === "" ? onPod(pod, [...changes.values()]) : [], answered }
}

/** Whether a plugin runs in a namespace. */
function isAt({ address }: Plugin, namespace: string): boolean {
  return address.kind === "service" && address.namespace === namespace
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
