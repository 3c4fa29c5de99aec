// The Api hook: services of plugins under the public API, on its port, by its protocols and for its callers. What is called
// is decoded and encoded here by the descriptors that the plugin hands out, so that JSON works too.
import type { DescMethod, DescService, Message } from "@bufbuild/protobuf"
import { type Client, Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect"
import {
  type OwnPanel,
  type OwnServices,
  type Plugin,
  readOwnServices,
} from "../../deploy/plugin_object/mod.ts"
import { pluginHooksV1 } from "../../protos/mod.ts"
import { type PluginSupervisor, reasonOf } from "../plugins/mod.ts"
import { apiError } from "../rpc/mod.ts"

/** A plugin that has not said which services it has, or not as it should, is asked again after this. */
export const ASK_AGAIN_MS = 5_000

/** A service of a plugin. */
export interface MountedService {
  readonly plugin: string
  readonly service: DescService
}

/** The services of all plugins, kept current. */
export class PluginServices {
  readonly #supervisor: PluginSupervisor
  readonly #onChange: () => void
  readonly #unsubscribe: () => void
  /** By plugin: what it was when it was asked, and what it said. */
  readonly #said = new Map<string, { readonly of: Plugin } & Omit<OwnServices, "complaints">>()
  readonly #asking = new Set<string>()
  #again: NodeJS.Timeout | undefined
  #stopped = false

  /** @param onChange  told whenever others are mounted than before */
  constructor(supervisor: PluginSupervisor, onChange: () => void) {
    this.#supervisor = supervisor
    this.#onChange = onChange
    this.#unsubscribe = supervisor.subscribe(() => this.#look())
    this.#look()
  }

  /** Services by name; of two of one name that of the plugin which comes first in order. */
  mounted(): MountedService[] {
    const found = new Map<string, MountedService>()
    for (const { name } of this.#supervisor.withHook("Api")) {
      for (const service of this.#said.get(name)?.services ?? []) {
        if (!found.has(service.typeName)) found.set(service.typeName, { plugin: name, service })
      }
    }
    return [...found.values()]
  }

  /** Panels of all plugins, in the order of their plugins. */
  panels(): { readonly plugin: string; readonly panel: OwnPanel }[] {
    return this.#supervisor
      .withHook("Api")
      .flatMap(({ name }) => (this.#said.get(name)?.panels ?? []).map(panel => ({ plugin: name, panel })))
  }

  /** Adds them to a router. */
  route(router: ConnectRouter): void {
    for (const { plugin, service } of this.mounted()) {
      const methods = Object.fromEntries(
        service.methods.map(method => [method.localName, this.#method(plugin, service, method)]),
      )
      router.service(service, methods as object)
    }
  }

  /** Looks no longer. */
  stop(): void {
    this.#stopped = true
    clearTimeout(this.#again)
    this.#unsubscribe()
  }

  #method(plugin: string, service: DescService, method: DescMethod) {
    type Unary = (request: Message, options: object) => Promise<Message>
    type Streaming = (request: Message, options: object) => AsyncIterable<Message>
    const client = (of: Client<DescService>): Record<string, unknown> => of as never
    if (method.methodKind === "unary") {
      return async (request: Message) => {
        const { answer, refusal } = await this.#supervisor
          .ask(plugin, "Api", service, async (of, _context, options) => {
            try {
              const answer = await (client(of)[method.localName] as Unary)(request, options)
              return { answer, refusal: null }
            } catch (error) {
              // What a caller asks for wrongly says nothing of the plugin's health.
              if (isRefusal(error)) return { answer: null, refusal: error }
              throw error
            }
          })
          .catch(error => {
            throw away(plugin, error)
          })
        if (answer === null) throw refusal
        return answer
      }
    }
    const supervisor = this.#supervisor
    return async function* (request: Message, { signal }: HandlerContext) {
      try {
        const of = supervisor.client(plugin, service)
        yield* (client(of)[method.localName] as Streaming)(request, { signal })
      } catch (error) {
        throw isRefusal(error) ? error : away(plugin, error)
      }
    }
  }

  #look(): void {
    const plugins = this.#supervisor.report().filter(({ hooks }) => hooks.has("Api"))
    const names = new Set(plugins.map(({ plugin }) => plugin.name))
    let changed = false
    for (const name of this.#said.keys()) if (!names.has(name)) changed = this.#said.delete(name) || changed
    if (changed) this.#onChange()
    for (const { plugin, state } of plugins) {
      if (state !== "Ready" || this.#said.get(plugin.name)?.of === plugin) continue
      if (!this.#asking.has(plugin.name)) void this.#ask(plugin)
    }
  }

  async #ask(plugin: Plugin): Promise<void> {
    this.#asking.add(plugin.name)
    try {
      const own = await this.#supervisor.ask(
        plugin.name,
        "Api",
        pluginHooksV1.ApiHookService,
        async (client, context, options) => servicesOf(await client.services({ context }, options)),
      )
      this.#said.set(plugin.name, { of: plugin, ...own })
      this.#onChange()
    } catch {
      // It is counted with the hook's calls.
      if (!this.#stopped) this.#again = setTimeout(() => this.#look(), ASK_AGAIN_MS)
    } finally {
      this.#asking.delete(plugin.name)
    }
  }
}

/** @throws Error with a sentence when any of it is not as it should be */
function servicesOf(answer: pluginHooksV1.ServicesResponse): Omit<OwnServices, "complaints"> {
  const { complaints, ...own } = readOwnServices(answer)
  const [first] = complaints
  if (first !== undefined) throw new Error(first)
  return own
}

/** Codes by which a plugin refuses what its caller asked for; others mean that it does not answer as it should. */
const REFUSALS: ReadonlySet<Code> = new Set([
  ...[Code.InvalidArgument, Code.NotFound, Code.AlreadyExists, Code.PermissionDenied, Code.Unauthenticated],
  ...[Code.FailedPrecondition, Code.Aborted, Code.OutOfRange, Code.Unimplemented],
])

/** Whether the plugin itself has answered its caller so. */
function isRefusal(error: unknown): error is ConnectError {
  return (
    error instanceof ConnectError &&
    REFUSALS.has(error.code) &&
    // The library says so with the first code where an answer breaks off.
    !error.rawMessage.startsWith("protocol error:")
  )
}

function away(plugin: string, error: unknown): ConnectError {
  return apiError(Code.Unavailable, `the plugin "${plugin}" did not answer: ${reasonOf(error)}`, {
    reason: "PLUGIN_UNAVAILABLE",
  })
}
