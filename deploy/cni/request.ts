// What a container runtime asks of a CNI plugin: variables and a configuration on standard input, and the documents that
// it takes for answers (https://www.cni.dev/docs/spec/, versions 0.3.0 to 1.1.0).

/** Versions whose chained plugins get a `prevResult`; it is passed on as it came, so all of them are the same here. */
export const SUPPORTED_VERSIONS: readonly string[] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
/** The version of answers to a runtime that names none. */
const OWN_VERSION = "1.1.0"
/** Largest configuration that is read; real ones have a few kilobytes. */
export const MAX_CONFIG_BYTES = 1024 * 1024

/** Codes of errors, as the specification numbers them. */
export const CNI_CODES = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  ioFailure: 5,
  undecodable: 6,
  invalidConfig: 7,
  tryAgainLater: 11,
} as const

/** An answer that is none, for the runtime: kubelet shows its message in the pod's events. */
export class CniError extends Error {
  override readonly name = "CniError"
  /** One of {@link CNI_CODES}. */
  readonly code: number
  readonly details: string

  constructor(code: number, message: string, details = "") {
    super(message)
    this.code = code
    this.details = details
  }
}

/** What the runtime wants. */
export type CniCommand = "ADD" | "DEL" | "CHECK" | "GC" | "STATUS" | "VERSION"

/** A pod as kubelet's runtime names it. */
export interface PodName {
  readonly namespace: string
  readonly name: string
  /** Empty where the runtime does not say. */
  readonly uid: string
}

/** What a runtime asks. */
export interface CniRequest {
  readonly command: CniCommand
  readonly version: string
  /** The pod's network namespace, a path; empty for commands without one. */
  readonly netns: string
  /** Null for a container that is no pod's. */
  readonly pod: PodName | null
  /** What the plugins before this one have made; undefined where there were none. */
  readonly prevResult: unknown
  /** Path of the kubeconfig to find pods with; empty where none is configured. */
  readonly kubeconfig: string
  /** Namespaces whose pods are never meshed. */
  readonly excludeNamespaces: readonly string[]
}

const COMMANDS: readonly CniCommand[] = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION"]
/** What a command cannot do without. */
const NEEDED: Readonly<Record<CniCommand, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME"],
  GC: [],
  STATUS: [],
  VERSION: [],
}
/** Names of pods and namespaces become parts of an address. */
const NAME = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/

/**
 * Reads a request.
 *
 * @param stdin  the network configuration, JSON
 * @throws CniError that says what of it cannot be used
 */
export function readRequest(env: Readonly<Record<string, string | undefined>>, stdin: string): CniRequest {
  const config = readConfig(stdin)
  const command = COMMANDS.find(one => one === env.CNI_COMMAND)
  if (command === undefined) {
    throw new CniError(
      CNI_CODES.invalidEnvironment,
      `CNI_COMMAND is "${env.CNI_COMMAND ?? ""}"; it must be one of ${COMMANDS.join(", ")}`,
    )
  }
  const version = config.cniVersion ?? (command === "VERSION" ? OWN_VERSION : "0.1.0")
  if (typeof version !== "string" || (command !== "VERSION" && !SUPPORTED_VERSIONS.includes(version))) {
    throw new CniError(
      CNI_CODES.incompatibleVersion,
      `cniVersion ${JSON.stringify(version)} is not supported; supported are ${SUPPORTED_VERSIONS.join(", ")}`,
    )
  }
  const missing = NEEDED[command].filter(name => (env[name] ?? "") === "")
  if (missing.length > 0) {
    throw new CniError(CNI_CODES.invalidEnvironment, `${command} needs ${missing.join(", ")}`)
  }
  return {
    command,
    version,
    netns: env.CNI_NETNS ?? "",
    pod: podOf(env.CNI_ARGS ?? ""),
    prevResult: config.prevResult,
    kubeconfig: textOf(config, "kubeconfig"),
    excludeNamespaces: namesOf(config, "excludeNamespaces"),
  }
}

/** The version that a configuration asks answers in, as far as it can be read. */
export function versionOf(stdin: string): string {
  try {
    const { cniVersion } = readConfig(stdin)
    return typeof cniVersion === "string" ? cniVersion : OWN_VERSION
  } catch {
    return OWN_VERSION
  }
}

/** The document of an error. */
export function errorDocument(error: CniError, cniVersion: string): string {
  const { code, message, details } = error
  const document = { cniVersion, code, msg: `conduit-cni: ${message}` }
  return JSON.stringify(details === "" ? document : { ...document, details })
}

/** The answer to VERSION. */
export function versionDocument(cniVersion: string): string {
  return JSON.stringify({ cniVersion, supportedVersions: SUPPORTED_VERSIONS })
}

function readConfig(stdin: string): Record<string, unknown> {
  if (stdin.length > MAX_CONFIG_BYTES) {
    throw new CniError(CNI_CODES.undecodable, `the configuration is larger than ${MAX_CONFIG_BYTES} bytes`)
  }
  let config: unknown
  try {
    config = JSON.parse(stdin)
  } catch (error) {
    throw new CniError(
      CNI_CODES.undecodable,
      "the configuration on standard input is not JSON",
      String(error),
    )
  }
  if (typeof config !== "object" || config === null || Array.isArray(config)) {
    throw new CniError(CNI_CODES.undecodable, "the configuration on standard input is no JSON object")
  }
  return config as Record<string, unknown>
}

function textOf(config: Readonly<Record<string, unknown>>, name: string): string {
  const value = config[name] ?? ""
  if (typeof value === "string") return value
  throw new CniError(CNI_CODES.invalidConfig, `"${name}" of the configuration must be text`)
}

function namesOf(config: Readonly<Record<string, unknown>>, name: string): string[] {
  const value = config[name] ?? []
  if (Array.isArray(value) && value.every(one => typeof one === "string")) return value
  throw new CniError(CNI_CODES.invalidConfig, `"${name}" of the configuration must be a list of names`)
}

/** `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_UID=...`, as containerd and CRI-O write it. */
function podOf(args: string): PodName | null {
  const values = new Map<string, string>()
  for (const pair of args.split(";")) {
    if (pair.trim() === "") continue
    const at = pair.indexOf("=")
    if (at < 1)
      throw new CniError(CNI_CODES.invalidEnvironment, `CNI_ARGS has "${pair}", which is no KEY=VALUE`)
    values.set(pair.slice(0, at).trim(), pair.slice(at + 1))
  }
  const name = values.get("K8S_POD_NAME") ?? ""
  const namespace = values.get("K8S_POD_NAMESPACE") ?? ""
  if (name === "" && namespace === "") return null
  if (!NAME.test(name) || !NAME.test(namespace)) {
    throw new CniError(CNI_CODES.invalidEnvironment, `CNI_ARGS names no pod: "${namespace}/${name}"`)
  }
  return { namespace, name, uid: values.get("K8S_POD_UID") ?? "" }
}
