// Decisions about requests, asked of one plugin each: the Authorize hook.
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { pluginPolicyV1 } from "../../protos/mod.ts"
import type { PluginSupervisor } from "./supervisor.ts"

/** What a plugin is told of a request, its context aside. */
type Facts = Omit<MessageInitShape<typeof pluginPolicyV1.AuthorizeRequestSchema>, "context" | "$typeName">

/**
 * Asks the Authorize hook of a plugin; in mode Audit its decision is counted, and comes to nothing.
 *
 * @throws Error with a sentence where it does not answer as it should, or not in its time
 */
export async function authorize(
  supervisor: PluginSupervisor,
  plugin: string,
  facts: Facts,
): Promise<pluginPolicyV1.AuthorizeResponse> {
  const answer = await wouldAuthorize(supervisor, plugin, facts)
  const { Decision } = pluginPolicyV1
  if (answer.decision === Decision.DENY) supervisor.refused(plugin, "Authorize")
  // An Allow opens what others close: in mode Audit it counts as little as a Deny.
  return supervisor.enforces(plugin, "Authorize")
    ? answer
    : create(pluginPolicyV1.AuthorizeResponseSchema, { decision: Decision.DEFER, cacheMs: answer.cacheMs })
}

/** What the plugin says of a request, whatever its mode. @throws as `authorize` */
export async function wouldAuthorize(
  supervisor: PluginSupervisor,
  plugin: string,
  facts: Facts,
): Promise<pluginPolicyV1.AuthorizeResponse> {
  return await supervisor.ask(
    plugin,
    "Authorize",
    pluginPolicyV1.PolicyHookService,
    (client, context, options) => client.authorize({ ...facts, context }, options),
  )
}
