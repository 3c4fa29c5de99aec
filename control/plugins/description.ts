// Whether what a plugin says of itself fits its object: versions, hooks, and the configuration by the schema that it hands out.
import {
  type ConfigurationCheck,
  configurationCheck,
  type Plugin,
  type PluginHook,
} from "../../deploy/plugin_object/mod.ts"
import { pluginV1 } from "../../protos/mod.ts"
import { reasonOf } from "./hook_calls.ts"

/** Version of the plugin API that is spoken here. */
export const PLUGIN_API = "v1"

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

/** A plugin is not what it should be: it is not called until it says something else. */
export class InvalidPlugin extends Error {}

/** Checks what one plugin says of itself, again and again. */
export class DescriptionCheck {
  #schema = ""
  #configuration: ConfigurationCheck = () => []

  /** @throws InvalidPlugin with what is wrong first */
  check({ name, hooks, configuration }: Plugin, answer: pluginV1.DescribeResponse): void {
    if (!answer.apiVersions.includes(PLUGIN_API)) {
      const spoken = answer.apiVersions.slice(0, 5).join(", ") || "none"
      throw new InvalidPlugin(`it speaks ${reasonOf(spoken)} of the plugin API, and not ${PLUGIN_API}`)
    }
    for (const { name: hook } of hooks) {
      if (!answer.hooks.includes(HOOK_NUMBERS[hook]))
        throw new InvalidPlugin(`it does not serve the hook ${hook}, which Plugin "${name}" names`)
    }
    if (answer.configurationSchema !== this.#schema) {
      try {
        this.#configuration = configurationCheck(answer.configurationSchema)
      } catch (error) {
        throw new InvalidPlugin(reasonOf(error))
      }
      this.#schema = answer.configurationSchema
    }
    const [first] = [...this.#configuration(configuration), ...answer.problems]
    if (first === undefined) return
    const at =
      first.path === "" ? "spec.configuration" : `spec.configuration${first.path.replaceAll("/", ".")}`
    throw new InvalidPlugin(`${reasonOf(at)} ${reasonOf(first.message)}`)
  }
}
