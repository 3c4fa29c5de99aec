// The `config.conduit.io/<setting>` annotations: read from the pod template over its namespace, and checked.
import { formatPortList, type PortRange, parsePortList } from "../redirect/mod.ts"

/** Prefix of every per-workload setting. */
export const SETTING_PREFIX = "config.conduit.io/"

/** A setting whose value cannot be used. The message is one sentence that names annotation and value. */
export class SettingError extends Error {
  readonly annotation: string

  constructor(annotation: string, message: string) {
    super(message)
    this.name = "SettingError"
    this.annotation = annotation
  }
}

/** Settings of one workload after defaults. */
export interface ProxySettings {
  readonly skipInboundPorts: readonly PortRange[]
  readonly skipOutboundPorts: readonly PortRange[]
  readonly opaquePorts: readonly PortRange[]
  readonly proxyUid: number
  readonly logLevel: string
  readonly logFormat: string
  readonly accessLog: string
  readonly traceCollector: string | null
  readonly traceSampling: string
  readonly shutdownGracePeriod: string
  readonly nativeSidecar: boolean
  readonly image: string | null
  readonly version: string | null
  readonly defaultInboundPolicy: string | null
  readonly outboundMtls: string | null
  readonly requests: Readonly<Record<string, string>>
  readonly limits: Readonly<Record<string, string>>
}

const CPU = /^\d+(\.\d+)?m?$/
const MEMORY = /^\d+(\.\d+)?(k|Ki|M|Mi|G|Gi|T|Ti)?$/
/** What the units of quantities stand for. */
const UNITS: Readonly<Record<string, number>> = {
  m: 1e-3,
  k: 1e3,
  Ki: 2 ** 10,
  M: 1e6,
  Mi: 2 ** 20,
  G: 1e9,
  Gi: 2 ** 30,
  T: 1e12,
  Ti: 2 ** 40,
}
const DURATION = /^(\d+(\.\d+)?(ms|s|m|h))+$/
const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):\d{1,5}$/
const POLICIES = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
]

/** Every setting, and what its value must be. */
const RULES: Readonly<Record<string, (value: string) => string | null>> = {
  "skip-inbound-ports": portList,
  "skip-outbound-ports": portList,
  "opaque-ports": portList,
  "proxy-cpu-request": matching(CPU, "a quantity such as 100m"),
  "proxy-cpu-limit": matching(CPU, "a quantity such as 500m"),
  "proxy-memory-request": matching(MEMORY, "a quantity such as 20Mi"),
  "proxy-memory-limit": matching(MEMORY, "a quantity such as 250Mi"),
  "proxy-log-level": oneOf(["error", "warn", "info", "debug", "trace"]),
  "proxy-log-format": oneOf(["plain", "json"]),
  "proxy-image": matching(/^\S+$/, "an image name"),
  "proxy-version": matching(/^[\w][\w.-]*$/, "a version"),
  "proxy-uid": uid,
  "default-inbound-policy": oneOf(POLICIES),
  "shutdown-grace-period": matching(DURATION, "a duration such as 30s"),
  "access-log": oneOf(["off", "apache", "json"]),
  "trace-collector": matching(
    HOST_PORT,
    "host:port of an OpenTelemetry collector, such as collector.tracing:4318",
  ),
  "trace-sampling": share,
  "native-sidecar": oneOf(["enabled", "disabled", "true", "false"]),
  "outbound-mtls": oneOf(["preferred", "required"]),
}

/** Names of all settings, in the order of the contract. */
export const SETTING_NAMES: readonly string[] = Object.keys(RULES)

/**
 * Settings from annotations; those later in the list win over those before.
 *
 * @throws SettingError for an unknown setting or a value that cannot be used
 */
export function readSettings(
  annotations: readonly (Readonly<Record<string, string>> | undefined)[],
  defaults: { readonly nativeSidecar: boolean; readonly logLevel: string },
): ProxySettings {
  const values: Record<string, string> = {}
  for (const layer of annotations) {
    for (const [annotation, raw] of Object.entries(layer ?? {})) {
      if (!annotation.startsWith(SETTING_PREFIX)) continue
      const name = annotation.slice(SETTING_PREFIX.length)
      if (!Object.hasOwn(RULES, name)) {
        throw new SettingError(
          annotation,
          `annotation ${annotation} is not a setting of Conduit; the settings are ${SETTING_NAMES.join(", ")}`,
        )
      }
      const value = String(raw).trim()
      const complaint = complaintAbout(name, value)
      if (complaint !== null) {
        throw new SettingError(annotation, `annotation ${annotation}: "${raw}" cannot be used: ${complaint}`)
      }
      values[name] = value
    }
  }
  for (const resource of ["cpu", "memory"]) checkResource(resource, values)
  const sidecar = values["native-sidecar"]
  return {
    skipInboundPorts: parsePortList(values["skip-inbound-ports"] ?? ""),
    skipOutboundPorts: parsePortList(values["skip-outbound-ports"] ?? ""),
    opaquePorts: parsePortList(values["opaque-ports"] ?? ""),
    proxyUid: Number(values["proxy-uid"] ?? 2102),
    logLevel: values["proxy-log-level"] ?? defaults.logLevel,
    logFormat: values["proxy-log-format"] ?? "plain",
    accessLog: values["access-log"] ?? "off",
    traceCollector: values["trace-collector"] ?? null,
    traceSampling: values["trace-sampling"] ?? "0",
    shutdownGracePeriod: values["shutdown-grace-period"] ?? "30s",
    nativeSidecar:
      sidecar === undefined ? defaults.nativeSidecar : sidecar === "enabled" || sidecar === "true",
    image: values["proxy-image"] ?? null,
    version: values["proxy-version"] ?? null,
    defaultInboundPolicy: values["default-inbound-policy"] ?? null,
    outboundMtls: values["outbound-mtls"] ?? null,
    requests: resources(values, "request"),
    limits: resources(values, "limit"),
  }
}

/** Why a setting cannot have a value, as the end of a sentence; null when it can. */
export function complaintAbout(name: string, value: string): string | null {
  return RULES[name]?.(value.trim()) ?? null
}

/** Checks the settings among some annotations. @throws SettingError as `readSettings` */
export function checkSettings(annotations: Readonly<Record<string, string>>): void {
  readSettings([annotations], { nativeSidecar: false, logLevel: "info" })
}

/** Port list as the proxy's environment takes it. */
export function portListValue(ranges: readonly PortRange[]): string {
  return formatPortList(ranges)
}

function resources(values: Readonly<Record<string, string>>, which: string): Record<string, string> {
  const cpu = values[`proxy-cpu-${which}`]
  const memory = values[`proxy-memory-${which}`]
  return { ...(cpu === undefined ? {} : { cpu }), ...(memory === undefined ? {} : { memory }) }
}

/** Kubernetes refuses a container that asks for more than it may use. */
function checkResource(resource: string, values: Readonly<Record<string, string>>): void {
  const request = values[`proxy-${resource}-request`]
  const limit = values[`proxy-${resource}-limit`]
  if (request === undefined || limit === undefined || quantity(request) <= quantity(limit)) return
  const annotation = `${SETTING_PREFIX}proxy-${resource}-request`
  throw new SettingError(
    annotation,
    `annotation ${annotation}: "${request}" cannot be used: it is more than proxy-${resource}-limit, which is ${limit}`,
  )
}

function quantity(text: string): number {
  return Number.parseFloat(text) * (UNITS[text.replace(/^[\d.]+/, "")] ?? 1)
}

function portList(value: string): string | null {
  try {
    parsePortList(value)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

function uid(value: string): string | null {
  const parsed = Number(value)
  return /^\d+$/.test(value) && parsed > 0 && parsed < 0xffffffff
    ? null
    : "a user id is a number above 0 (root's connections cannot be told from the application's)"
}

function share(value: string): string | null {
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
  return number >= 0 && number <= 1 ? null : "it must be a share from 0 to 1, such as 0.01"
}

function oneOf(allowed: readonly string[]): (value: string) => string | null {
  return value => (allowed.includes(value) ? null : `it must be one of ${allowed.join(", ")}`)
}

function matching(pattern: RegExp, what: string): (value: string) => string | null {
  return value => (pattern.test(value) ? null : `it must be ${what}`)
}
