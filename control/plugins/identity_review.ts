// The Identity hook: plugins that have a say before a certificate is signed.
import { pluginHooksV1 } from "../../protos/mod.ts"
import { reasonOf } from "./hook_calls.ts"
import type { PluginSupervisor } from "./supervisor.ts"

/** A certificate that is asked for. */
export interface AskedIdentity {
  /** SPIFFE id. */
  readonly identity: string
  readonly namespace: string
  readonly serviceAccount: string
  /** Seconds. */
  readonly lifetimeSeconds: number
}

/** Why a certificate is not signed, and whether that may change by itself. */
export interface IdentityVeto {
  readonly message: string
  /** The plugin was not asked; it counts since its failurePolicy is Fail. */
  readonly unavailable: boolean
}

/**
 * Asks all plugins with the hook; not about their own namespaces, nor about the control plane's: neither must keep itself
 * from starting.
 *
 * @returns null where nobody objects
 */
export async function askIdentity(
  supervisor: PluginSupervisor,
  controlNamespace: string,
  { identity, namespace, serviceAccount, lifetimeSeconds }: AskedIdentity,
): Promise<IdentityVeto | null> {
  if (namespace === controlNamespace) return null
  const asked = supervisor
    .withHook("Identity")
    .filter(({ address }) => address.kind !== "service" || address.namespace !== namespace)
  if (asked.length === 0) return null
  const answers = await supervisor.askAll(
    "Identity",
    pluginHooksV1.IdentityHookService,
    (client, context, options) =>
      client.review({ context, identity, namespace, serviceAccount, lifetimeSeconds }, options),
    asked,
  )
  for (const found of answers) {
    const { plugin } = found
    if ("failed" in found) {
      if (plugin.hooks.find(({ name }) => name === "Identity")?.failurePolicy !== "Fail") continue
      return { message: `the plugin "${plugin.name}" has not decided: ${found.failed}`, unavailable: true }
    } else if (!found.answer.allowed) {
      supervisor.refused(plugin.name, "Identity")
      if (!supervisor.enforces(plugin.name, "Identity")) continue
      const why = found.answer.reason === "" ? "it says no" : reasonOf(found.answer.reason)
      return { message: `the plugin "${plugin.name}" refuses it: ${why}`, unavailable: false }
    }
  }
  return null
}
