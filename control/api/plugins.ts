// Plugins: what is known of each, and what is wrong with them.
import { create } from "@bufbuild/protobuf"
import { type PluginsResponse, PluginsResponseSchema, pluginHooksV1 } from "../../protos/mod.ts"
import { MAX_CHECK_LINES } from "../../deploy/plugin_object/mod.ts"
import { type PluginSupervisor, reasonOf } from "../plugins/mod.ts"

/** What is known of plugins in this process. */
export function plugins(supervisor: PluginSupervisor | null): PluginsResponse {
  return create(PluginsResponseSchema, {
    plugins: (supervisor?.report() ?? []).map(
      ({ plugin, address, state, reason, describedName, version, hooks }) => ({
        ...{ name: plugin.name, address, state, reason, describedName, version, order: plugin.order },
        hooks: [...hooks].map(([hook, calls]) => {
          const { failurePolicy, mode } = calls.settings
          const { calls: made, errors, refused, lastErrorMs, ...figures } = calls.figures()
          return {
            ...{ hook, failurePolicy, mode, ...figures },
            ...{ calls: BigInt(made), errors: BigInt(errors), refused: BigInt(refused) },
            lastErrorMs: BigInt(lastErrorMs),
          }
        }),
      }),
    ),
  })
}

/**
 * What is wrong with plugins, by their own word too.
 *
 * @param known  what is known of them
 */
export async function pluginFaults(
  supervisor: PluginSupervisor | null,
  known = plugins(supervisor),
): Promise<{ readonly where: string; readonly message: string }[]> {
  if (supervisor === null) return []
  const states = known.plugins
    .filter(({ state }) => state !== "Ready")
    .map(({ name, address, state, reason }) => ({
      where: `Plugin ${name}`,
      message: `${state}: ${reason === "" ? `no answer of ${address} yet` : reason}`,
    }))
  const unready = new Set(states.map(({ where }) => where))
  const answers = await supervisor.askAll(
    "Check",
    pluginHooksV1.CheckHookService,
    async (client, context, options) => (await client.check({ context }, options)).lines,
  )
  const told = answers.flatMap(found => {
    const where = `Plugin ${found.plugin.name}`
    if ("failed" in found)
      return unready.has(where) ? [] : [{ where, message: `its check was not answered: ${found.failed}` }]
    return found.answer
      .slice(0, MAX_CHECK_LINES)
      .filter(({ status }) => status !== pluginHooksV1.CheckStatus.OK)
      .map(({ description, message }) => ({
        where,
        message: `${reasonOf(description)}: ${reasonOf(message)}`,
      }))
  })
  return [...states, ...told]
}
