// Plugin of conduit.io/v1alpha1: where a plugin is called, for which hooks, and what it costs when it does not answer. Its
// model, and how it is read. The plugin API itself is protos/conduit/plugin/v1.
import { MAX_DURATION_MS, parseGatewayDuration } from "../gateway/mod.ts"
import {
  type Mapping,
  type PolicyComplaint,
  type PolicyFieldPath,
  PolicyReader,
  show,
} from "../policy/mod.ts"

/** Kind of the objects. */
export const PLUGIN_KIND = "Plugin"
/** API version of the objects. */
export const PLUGIN_API_VERSION = "conduit.io/v1alpha1"
/** Name in paths of the API server and in RBAC rules. */
export const PLUGIN_PLURAL = "plugins"

/** Hooks by the names that objects have. */
export const PLUGIN_HOOKS = [
  "Destination",
  "Policy",
  "Authorize",
  "Identity",
  "Telemetry",
  "Injection",
  "Check",
  "Api",
] as const
/** One of `PLUGIN_HOOKS`. */
export type PluginHook = (typeof PLUGIN_HOOKS)[number]

/** What becomes of what a plugin was to decide when it does not answer. */
export const FAILURE_POLICIES = ["Ignore", "Fail"] as const
/** One of `FAILURE_POLICIES`. */
export type FailurePolicy = (typeof FAILURE_POLICIES)[number]

/** Whether what a hook says comes into force, or is only counted and shown. */
export const PLUGIN_MODES = ["Enforce", "Audit"] as const
/** One of `PLUGIN_MODES`. */
export type PluginMode = (typeof PLUGIN_MODES)[number]
/** Hooks that may refuse something, and so may be in mode Audit. */
const AUDITED: readonly PluginHook[] = ["Policy", "Authorize", "Identity", "Injection"]

/** Fields by the mapping that holds them; the custom resource definition has the same. */
export const PLUGIN_FIELDS = {
  object: ["apiVersion", "kind", "metadata", "spec", "status"],
  spec: [
    "service",
    "address",
    "command",
    "hooks",
    "order",
    "deadline",
    "failurePolicy",
    "tls",
    "configuration",
  ],
  service: ["namespace", "name", "port"],
  hook: ["name", "mode", "deadline", "failurePolicy", "namespaces"],
  tls: ["caBundle", "serverName"],
} as const

/** Deadline of a call where neither the hook nor the plugin names one. */
export const DEFAULT_PLUGIN_DEADLINE_MS = 500
/** Longest deadline: those who wait for an answer wait no longer themselves (API servers for the injector: 10 s). */
export const MAX_PLUGIN_DEADLINE_MS = 10_000
/** Longest deadline of the hook Injection: API servers wait ten seconds for the injector, which has to do besides. */
export const MAX_INJECTION_DEADLINE_MS = 5_000
/** Longest configuration as JSON: it goes with every call. */
export const MAX_PLUGIN_CONFIGURATION_BYTES = 65_536
/** Words of a command. */
export const MAX_PLUGIN_COMMAND_WORDS = 64
/** `order` from its negative to it. */
export const MAX_PLUGIN_ORDER = 1_000_000

/** Where a plugin is called. */
export type PluginAddress =
  /** A port of a Service: meshed pods are called over mutual TLS, others in plaintext. */
  | { readonly kind: "service"; readonly namespace: string; readonly name: string; readonly port: number }
  /** `host:port` of whatever serves there: in plaintext, or over TLS where the object names a CA. */
  | { readonly kind: "address"; readonly address: string }
  /** A program that a local mesh runs; a cluster runs none. */
  | { readonly kind: "command"; readonly command: readonly string[] }

/** A hook that a plugin is called for. */
export interface PluginHookSettings {
  readonly name: PluginHook
  /** Milliseconds that a call may take; of a stream, that its first answer may. */
  readonly deadlineMs: number
  /** Audit: it is asked, and what it says is counted and shown, and not in force. */
  readonly mode: PluginMode
  /** In mode Audit always Ignore, whatever the object has for the day on which it is enforced. */
  readonly failurePolicy: FailurePolicy
  /**
   * Of the hook Policy with failurePolicy Fail, else empty: namespaces whose pods take nothing as long as the plugin has
   * never answered.
   */
  readonly namespaces: readonly string[]
}

/** A plugin that was understood. */
export interface Plugin {
  readonly name: string
  readonly address: PluginAddress
  readonly hooks: readonly PluginHookSettings[]
  /** Plugins with a lower order are asked first; of equal order, by name. */
  readonly order: number
  /** Null: no TLS of its own. */
  readonly tls: {
    /** PEM. */
    readonly ca: string
    /** Name that the certificate must bear; empty: the host of the address. */
    readonly serverName: string
  } | null
  /** Passed on as it is. */
  readonly configuration: Readonly<Record<string, unknown>>
  /** Changes with the spec where the object comes from an API server; 0 elsewhere. */
  readonly generation: number
}

/** What reading an object gave. */
export interface ReadPlugin {
  /** Null when there are complaints, or when the object is another project's. */
  readonly plugin: Plugin | null
  readonly complaints: readonly PolicyComplaint[]
}

/** RFC 1123 label: names of plugins stand before those of policies that they supply. */
const PLUGIN_NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const ADDRESS = /^(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?):([0-9]{1,5})$/

/** Reads an object of kind Plugin. One of another project's API group gives neither plugin nor complaint. */
export function readPlugin(raw: unknown): ReadPlugin {
  const reader = new Reader("")
  const object = reader.mapping(raw, [])
  if (object === null) return { plugin: null, complaints: reader.complaints }
  const { apiVersion } = object
  // `Plugin` is a name that others use as well; a version of ours that is not known is a mistake.
  if (typeof apiVersion === "string" && !apiVersion.startsWith("conduit.io/") && apiVersion.includes("/"))
    return { plugin: null, complaints: [] }
  const plugin = reader.plugin(object)
  return { plugin: reader.complaints.length === 0 ? plugin : null, complaints: reader.complaints }
}

class Reader extends PolicyReader {
  plugin(object: Mapping): Plugin | null {
    if (object.apiVersion !== PLUGIN_API_VERSION)
      this.add(["apiVersion"], `must be ${PLUGIN_API_VERSION}, not ${show(object.apiVersion)}`)
    this.known(object, [], PLUGIN_FIELDS.object)
    const metadata = this.mapping(object.metadata, ["metadata"])
    const name = metadata === null ? null : this.pluginName(metadata.name)
    const spec = this.mapping(object.spec, ["spec"])
    if (spec === null) return null
    this.known(spec, ["spec"], PLUGIN_FIELDS.spec)
    const address = this.address(spec)
    const deadlineMs = this.deadline(spec.deadline, ["spec", "deadline"], DEFAULT_PLUGIN_DEADLINE_MS)
    const failurePolicy = this.failurePolicy(spec.failurePolicy, ["spec", "failurePolicy"], "Ignore")
    const hooks = this.hooks(spec.hooks, deadlineMs, failurePolicy)
    const order = this.number(spec.order, ["spec", "order"], -MAX_PLUGIN_ORDER, MAX_PLUGIN_ORDER, 0)
    const tls = spec.tls === undefined ? null : this.tls(spec.tls, address)
    const configuration = this.configuration(spec.configuration)
    if (name === null || address === null || order === null || configuration === null) return null
    const generation = typeof metadata?.generation === "number" ? metadata.generation : 0
    return { name, address, hooks, order, tls, configuration, generation }
  }

  private pluginName(value: unknown): string | null {
    if (typeof value === "string" && PLUGIN_NAME.test(value)) return value
    return this.add(
      ["metadata", "name"],
      `must be at most 63 lower-case letters, digits and "-", not ${show(value)}`,
    )
  }

  private address(spec: Mapping): PluginAddress | null {
    const given = (["service", "address", "command"] as const).filter(field => spec[field] !== undefined)
    const [kind] = given
    if (kind === undefined)
      return this.add(["spec"], "needs one of service, address and command: where is the plugin called?")
    if (given.length > 1)
      return this.add(
        ["spec", given[1] ?? ""],
        `stands beside ${kind}; a plugin has one of service, address and command`,
      )
    if (kind === "service") return this.service(spec.service)
    if (kind === "address") {
      const { address } = spec
      const [, , , port] = (typeof address === "string" ? ADDRESS.exec(address) : null) ?? []
      if (typeof address === "string" && Number(port) >= 1 && Number(port) <= 65535) return { kind, address }
      return this.add(
        ["spec", "address"],
        `must be host:port, such as registry.example:9090, not ${show(address)}`,
      )
    }
    const words: string[] = []
    for (const [, word] of this.texts(spec.command, ["spec", "command"])) words.push(word)
    if (words.length > MAX_PLUGIN_COMMAND_WORDS)
      this.add(["spec", "command"], `has ${words.length} words, more than ${MAX_PLUGIN_COMMAND_WORDS}`)
    return { kind, command: words }
  }

  private service(value: unknown): PluginAddress | null {
    const path = ["spec", "service"]
    const service = this.mapping(
      value,
      path,
      "such as { namespace: plugins, name: business-hours, port: 9090 }",
    )
    if (service === null) return null
    this.known(service, path, PLUGIN_FIELDS.service)
    const namespace = this.name(service.namespace, [...path, "namespace"])
    const name = this.name(service.name, [...path, "name"])
    const port = this.number(service.port, [...path, "port"], 1, 65535, null)
    return namespace === null || name === null || port === null
      ? null
      : { kind: "service", namespace, name, port }
  }

  private hooks(
    value: unknown,
    deadlineMs: number,
    failurePolicy: FailurePolicy,
  ): readonly PluginHookSettings[] {
    const hooks: PluginHookSettings[] = []
    for (const [index, entry] of this.list(value, ["spec", "hooks"], "a plugin needs at least one hook")) {
      const path = ["spec", "hooks", index]
      const hook = this.mapping(entry, path, "such as { name: Policy }")
      if (hook === null) continue
      this.known(hook, path, PLUGIN_FIELDS.hook)
      const name = this.choice(hook.name, [...path, "name"], PLUGIN_HOOKS)
      const deadline = this.deadline(hook.deadline, [...path, "deadline"], deadlineMs)
      const policy = this.failurePolicy(hook.failurePolicy, [...path, "failurePolicy"], failurePolicy)
      const mode =
        (hook.mode === undefined ? null : this.choice(hook.mode, [...path, "mode"], PLUGIN_MODES)) ??
        "Enforce"
      if (name === null) continue
      if (mode === "Audit" && !AUDITED.includes(name))
        this.add([...path, "mode"], `counts for hooks that may refuse something: ${AUDITED.join(", ")}`)
      if (name === "Injection" && deadline > MAX_INJECTION_DEADLINE_MS)
        this.add(
          [...path, "deadline"],
          `must be ${MAX_INJECTION_DEADLINE_MS / 1000}s at most: API servers wait ten seconds for the injector`,
        )
      if (hooks.some(one => one.name === name))
        this.add([...path, "name"], `is ${name}, as that of an earlier entry`)
      const namespaces = this.closed(
        hook.namespaces,
        [...path, "namespaces"],
        name === "Policy" && policy === "Fail",
      )
      const audited = mode === "Audit"
      hooks.push({
        ...{ name, deadlineMs: deadline, mode },
        failurePolicy: audited ? "Ignore" : policy,
        namespaces: audited ? [] : namespaces,
      })
    }
    return hooks
  }

  /** What a plugin closes has to be said: everything would be too much. */
  private closed(value: unknown, path: PolicyFieldPath, closes: boolean): readonly string[] {
    if (!closes) {
      if (value !== undefined) this.add(path, "counts for the hook Policy with failurePolicy Fail only")
      return []
    }
    const namespaces: string[] = []
    const hint = "failurePolicy Fail closes these until the plugin has answered once"
    for (const [index, entry] of this.list(value, path, hint)) {
      const name = this.name(entry, [...path, index])
      if (name !== null) namespaces.push(name)
    }
    return namespaces
  }

  private failurePolicy(value: unknown, path: PolicyFieldPath, byDefault: FailurePolicy): FailurePolicy {
    return value === undefined ? byDefault : (this.choice(value, path, FAILURE_POLICIES) ?? byDefault)
  }

  private deadline(value: unknown, path: PolicyFieldPath, byDefault: number): number {
    if (value === undefined) return byDefault
    const ms = typeof value === "string" ? parseGatewayDuration(value) : null
    if (ms !== null && ms >= 1 && ms <= Math.min(MAX_PLUGIN_DEADLINE_MS, MAX_DURATION_MS)) return ms
    this.add(
      path,
      `must be a duration from 1ms to ${MAX_PLUGIN_DEADLINE_MS / 1000}s, such as 500ms, not ${show(value)}`,
    )
    return byDefault
  }

  private tls(value: unknown, address: PluginAddress | null): Plugin["tls"] {
    const path = ["spec", "tls"]
    const tls = this.mapping(value, path, "such as { caBundle: LS0tLS1CRUdJTi... }")
    if (tls === null) return null
    this.known(tls, path, PLUGIN_FIELDS.tls)
    if (address !== null && address.kind !== "address")
      this.add(path, "counts for spec.address only: pods of the mesh are called over its own mutual TLS")
    const ca = typeof tls.caBundle === "string" ? Buffer.from(tls.caBundle, "base64").toString() : ""
    if (!ca.includes("-----BEGIN CERTIFICATE-----"))
      this.add([...path, "caBundle"], "must be PEM certificates in base64")
    const serverName = tls.serverName === undefined ? "" : this.name(tls.serverName, [...path, "serverName"])
    return { ca, serverName: serverName ?? "" }
  }

  private configuration(value: unknown): Readonly<Record<string, unknown>> | null {
    if (value === undefined) return {}
    const path = ["spec", "configuration"]
    const configuration = this.mapping(value, path)
    if (configuration === null) return null
    const bytes = Buffer.byteLength(JSON.stringify(configuration))
    if (bytes > MAX_PLUGIN_CONFIGURATION_BYTES)
      this.add(path, `is ${bytes} bytes of JSON, more than ${MAX_PLUGIN_CONFIGURATION_BYTES}`)
    return configuration
  }
}

/** Where a plugin is called, for people. */
export function pluginAddressText(address: PluginAddress): string {
  switch (address.kind) {
    case "service":
      return `${address.name}.${address.namespace}:${address.port}`
    case "address":
      return address.address
    case "command":
      return address.command.join(" ")
  }
}

/** Order in which plugins are asked. */
export function comparePlugins(a: Plugin, b: Plugin): number {
  return a.order - b.order || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
}
