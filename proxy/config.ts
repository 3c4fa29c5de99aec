// The proxy's settings, read from its environment once at the start.
import { isLogLevel, LOG_LEVELS, type LogFormat, type LogLevel } from "./log.ts"
import { parseAddress } from "./net/mod.ts"
import { type PortRange, parsePortRanges } from "./port_ranges.ts"

/** The proxy's version, as it reports it to the control plane. */
export const PROXY_VERSION = "0.1.0"

/** Time from SIGTERM to the end at the latest, unless set; Kubernetes kills after 30 s by default. */
export const DEFAULT_SHUTDOWN_GRACE_MS = 30_000

/** Everything that the environment says. */
export interface Config {
  readonly namespace: string
  readonly pod: string
  /** Addresses of the pod, in canonical text form; may be empty. */
  readonly podIps: readonly string[]
  readonly node: string
  readonly serviceAccount: string
  /** `deployment`, `statefulset`, ...; empty when unknown. */
  readonly workloadKind: string
  readonly workload: string
  /** `host:port` of the destination service. */
  readonly destinationAddress: string
  /** `host:port` of the telemetry service. */
  readonly telemetryAddress: string
  /** `host:port` of the identity service; empty: no identity, so no mutual TLS. */
  readonly identityAddress: string
  /** `host:port` of the policy service; empty: only the default policy holds. */
  readonly policyAddress: string
  /** Trust domain of the mesh's identities. */
  readonly trustDomain: string
  /** Namespace of the control plane; part of every identity's DNS name. */
  readonly controlNamespace: string
  /** Trust anchors at the start, PEM; the identity service tells of changes. */
  readonly trustAnchors: string
  /** File with the token that proves the workload; read anew for each certificate. */
  readonly tokenFile: string
  /** What holds until the policy service has answered, and where nothing else is said. */
  readonly defaultInboundPolicy: DefaultInboundPolicy
  /** `required`: nothing leaves in plaintext to the mesh. */
  readonly outboundMtls: OutboundMtls
  /** Ports on which nothing is detected: inbound ports and outbound destination ports. */
  readonly opaquePorts: readonly PortRange[]
  readonly logLevel: LogLevel
  readonly logFormat: LogFormat
  /** A line per request on standard output. */
  readonly accessLog: AccessLogFormat
  /** `host:port` of the OpenTelemetry collector that takes spans; empty: no tracing. */
  readonly traceCollector: string
  /** Share of requests without a trace that begin one, 0 to 1. */
  readonly traceSampling: number
  readonly shutdownGraceMs: number
  readonly outboundPort: number
  readonly inboundPort: number
  readonly adminPort: number
  readonly tapPort: number
}

/** Who may call where no policy says anything; the names of the annotation `default-inbound-policy`. */
export const DEFAULT_INBOUND_POLICIES = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
] as const

/** One of `DEFAULT_INBOUND_POLICIES`. */
export type DefaultInboundPolicy = (typeof DEFAULT_INBOUND_POLICIES)[number]

/** Whether a meshed peer may be called in plaintext when mutual TLS cannot be had. */
export type OutboundMtls = "preferred" | "required"

/** Form of the access log. */
export type AccessLogFormat = "off" | "apache" | "json"

/** The environment is not usable; the message names the variable and says what it takes. */
export class ConfigError extends Error {}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads the settings.
 *
 * @throws ConfigError for the first variable that is missing or has a bad value
 */
export function readConfig(env: Environment): Config {
  return {
    namespace: required(env, "NAMESPACE", "the namespace of the pod"),
    pod: required(env, "POD", "the name of the pod"),
    podIps: addresses(env, "POD_IPS"),
    node: text(env, "NODE"),
    serviceAccount: text(env, "SERVICE_ACCOUNT"),
    workloadKind: text(env, "WORKLOAD_KIND").toLowerCase(),
    workload: text(env, "WORKLOAD"),
    destinationAddress: hostPort(env, "DESTINATION_ADDR"),
    telemetryAddress: hostPort(env, "TELEMETRY_ADDR"),
    identityAddress: optionalHostPort(env, "IDENTITY_ADDR"),
    policyAddress: optionalHostPort(env, "POLICY_ADDR"),
    trustDomain: text(env, "TRUST_DOMAIN") || "cluster.local",
    controlNamespace: text(env, "CONTROL_NAMESPACE") || "conduit",
    trustAnchors: text(env, "TRUST_ANCHORS"),
    tokenFile: text(env, "TOKEN_FILE") || "/var/run/secrets/conduit.io/identity/token",
    defaultInboundPolicy: oneOf(env, "DEFAULT_INBOUND_POLICY", DEFAULT_INBOUND_POLICIES),
    outboundMtls: oneOf(env, "OUTBOUND_MTLS", ["preferred", "required"]),
    opaquePorts: portList(env, "OPAQUE_PORTS"),
    logLevel: logLevel(env, "LOG_LEVEL"),
    logFormat: oneOf(env, "LOG_FORMAT", ["plain", "json"]),
    accessLog: oneOf(env, "ACCESS_LOG", ["off", "apache", "json"]),
    traceCollector: optionalHostPort(env, "TRACE_COLLECTOR"),
    traceSampling: share(env, "TRACE_SAMPLING"),
    shutdownGraceMs: duration(env, "SHUTDOWN_GRACE_PERIOD", DEFAULT_SHUTDOWN_GRACE_MS),
    outboundPort: port(env, "OUTBOUND_PORT", 4140),
    inboundPort: port(env, "INBOUND_PORT", 4143),
    adminPort: port(env, "ADMIN_PORT", 4191),
    tapPort: port(env, "TAP_PORT", 4190),
  }
}

const PREFIX = "CONDUIT_PROXY_"

function text(env: Environment, name: string): string {
  return env[PREFIX + name]?.trim() ?? ""
}

function bad(name: string, value: string, takes: string): ConfigError {
  return new ConfigError(
    value === ""
      ? `${PREFIX}${name} is not set; it takes ${takes}`
      : `${PREFIX}${name}=${JSON.stringify(value)} is not usable; it takes ${takes}`,
  )
}

function required(env: Environment, name: string, takes: string): string {
  const value = text(env, name)
  if (value === "") throw bad(name, value, takes)
  return value
}

function hostPort(env: Environment, name: string): string {
  const value = text(env, name)
  const match = /^(?:\[[0-9a-fA-F:.]+\]|[^\s:[\]/]+):(\d{1,5})$/.exec(value)
  const number = Number(match?.[1])
  if (!(number >= 1 && number <= 65535)) {
    throw bad(name, value, "host:port, such as conduit-destination.conduit.svc.cluster.local:8086")
  }
  return value
}

function optionalHostPort(env: Environment, name: string): string {
  return text(env, name) === "" ? "" : hostPort(env, name)
}

function port(env: Environment, name: string, fallback: number): number {
  const value = text(env, name)
  if (value === "") return fallback
  const number = /^\d{1,5}$/.test(value) ? Number(value) : 0
  if (number < 1 || number > 65535) throw bad(name, value, "a port from 1 to 65535")
  return number
}

function share(env: Environment, name: string): number {
  const value = text(env, name)
  if (value === "") return 0
  const number = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
  if (!(number >= 0 && number <= 1)) throw bad(name, value, "a share from 0 to 1, such as 0.01")
  return number
}

function addresses(env: Environment, name: string): string[] {
  const value = text(env, name)
  const list = value
    .split(",")
    .map(one => one.trim())
    .filter(one => one !== "")
  for (const address of list) {
    if (parseAddress(address) === null) throw bad(name, value, "IP addresses separated by commas")
  }
  return list
}

function portList(env: Environment, name: string): PortRange[] {
  const value = text(env, name)
  try {
    return parsePortRanges(value)
  } catch (error) {
    throw new ConfigError(
      `${PREFIX}${name}=${JSON.stringify(value)} is not usable: ${(error as Error).message}`,
      {
        cause: error,
      },
    )
  }
}

function logLevel(env: Environment, name: string): LogLevel {
  const value = text(env, name) || "info"
  if (!isLogLevel(value)) throw bad(name, value, `one of ${LOG_LEVELS.join(", ")}`)
  return value
}

/** The first choice is the default. */
function oneOf<Choice extends string>(
  env: Environment,
  name: string,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  const value = text(env, name)
  if (value === "") return choices[0]
  const choice = choices.find(one => one === value)
  if (choice === undefined) throw bad(name, value, `one of ${choices.join(", ")}`)
  return choice
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

function duration(env: Environment, name: string, fallbackMs: number): number {
  const value = text(env, name)
  if (value === "") return fallbackMs
  let totalMs = 0
  const rest = value.replace(/(\d+(?:\.\d+)?)(ms|s|m|h)/g, (_all, amount: string, unit: string) => {
    totalMs += Number(amount) * (UNIT_MS[unit] ?? 0)
    return ""
  })
  if (rest !== "" && !/^\d+$/.test(value)) throw bad(name, value, "a duration such as 30s or 2m")
  return rest === "" ? totalMs : Number(value) * 1000
}
