// Decisions about requests, asked of one plugin each: the Authorize hook.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { pluginPolicyV1 } from "../../protos/mod.ts"
import type { PluginSupervisor } from "./supervisor.ts"

/** What a plugin is told of a request, its context aside. */
type Facts = Omit<MessageInitShape<typeof pluginPolicyV1.AuthorizeRequestSchema>, "context" | "$typeName">

/**
 * Asks the Authorize hook of a plugin.
 *
 * @throws Error with a sentence where it does not answer as it should, or not in its time
 */
export async function authorize(
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
