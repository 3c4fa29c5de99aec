// What an installation can be told: one table of values with defaults, for `conduit install` and the Helm chart alike.
import { didYouMean } from "../suggest/mod.ts"
import { sorted, valueAt } from "./template.ts"

/** A value that cannot be used: one sentence that names it and says what it takes. */
export class ValuesError extends Error {
  override readonly name = "ValuesError"
}

/** Values by name, as values.yaml nests them. */
export type Values = Readonly<Record<string, unknown>>

/** Default inbound policies, as the annotation of that name takes them. */
const POLICIES = [
  "all-unauthenticated",
  "all-authenticated",
  "cluster-unauthenticated",
  "cluster-authenticated",
  "deny",
  "audit",
]

interface Rule {
  readonly byDefault: unknown
  /** A line for values.yaml. */
  readonly about: string
  /** What is wrong with a value, or null. */
  readonly check: (value: unknown) => string | null
}

const REQUESTS = { requests: { cpu: "50m", memory: "96Mi" }, limits: { memory: "1Gi" } }

/** Every value by its dotted path. */
const RULES: Readonly<Record<string, Rule>> = {
  installNamespace: flag(true, "make the namespace too (with helm --create-namespace: false)"),
  clusterDomain: word("cluster.local", "DNS domain of the cluster"),
  identityTrustDomain: word(
    "cluster.local",
    "trust domain of the mesh's identities; cannot be changed later",
  ),
  identityTrustAnchorsPEM: pem("trust anchors of the mesh, PEM; public"),
  "identity.issuer.crtPEM": pem("certificate of the issuer, PEM"),
  "identity.issuer.keyPEM": pem("key of the issuer, PEM; secret"),
  identityExternalIssuer: flag(
    false,
    "the issuer is the Secret conduit-identity-issuer (tls.crt, tls.key) that another keeps, such as cert-manager",
  ),
  identityIssuanceLifetime: duration(
    "24h",
    [10_000, 720 * 3_600_000],
    "life of certificates, from 10s to 720h",
  ),
  identityClockSkewAllowance: duration("20s", [0, 3_600_000], "allowance for clocks that differ, to 1h"),
  "image.registry": word("conduit", "where the images are: REGISTRY/control, REGISTRY/proxy"),
  "image.version": word("", "tag of the images; this release's when empty"),
  "image.pullPolicy": oneOf("IfNotPresent", ["Always", "IfNotPresent", "Never"], "when images are pulled"),
  imagePullSecrets: list([], "secrets for pulling images, such as [{ name: registry }]"),
  "policy.defaultInboundPolicy": oneOf("all-unauthenticated", POLICIES, "who may call where no policy says"),
  "policy.clusterNetworks": word(
    "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8",
    "networks of the cluster's pods and nodes, for the policies cluster-*",
  ),
  "injector.enabled": flag(true, "put proxies into pods as they are made, where an annotation asks for it"),
  "injector.failurePolicy": oneOf(
    "Ignore",
    ["Ignore", "Fail"],
    "what becomes of pods that nobody could look at: made without proxy, or not made",
  ),
  "injector.namespaceLabels": mapping(
    {},
    "labels of the namespaces that are looked at; all where none is given",
  ),
  "web.enabled": flag(true, "the dashboard, which conduit dashboard opens"),
  "telemetry.prometheusUrl": word(
    "",
    "a Prometheus that scrapes the proxies (deploy/prometheus), such as http://prometheus.monitoring:9090: it is asked for what is older than an hour",
  ),
  "telemetry.persistence.enabled": flag(
    false,
    "keep figures in a PersistentVolumeClaim, so that they outlive the pod",
  ),
  "telemetry.persistence.storageClass": word("", "its storage class; the cluster's default when empty"),
  "telemetry.persistence.size": word("2Gi", "its size; figures take half a gibibyte at most"),
  logFormat: oneOf("plain", ["plain", "json"], "how log lines look"),
  ha: flag(false, "three of every service that can be several, spread over nodes, with disruption budgets"),
  networkPolicies: flag(false, "let nothing else reach the control plane's pods"),
  "cni.enabled": flag(false, "a CNI plugin on every node redirects pods: none of theirs needs a privilege"),
  "cni.binDir": path("/opt/cni/bin", "where the nodes' container runtime looks for CNI plugins"),
  "cni.confDir": path("/etc/cni/net.d", "where it looks for network configurations"),
  "cni.netnsDir": path("/var/run/netns", "where it keeps the network namespaces of pods"),
  resources: mapping(REQUESTS, "of each container of the control plane"),
  nodeSelector: mapping({ "kubernetes.io/os": "linux" }, "nodes that the control plane runs on"),
  tolerations: list([], "taints that the control plane tolerates"),
  priorityClassName: word("", "priority of the control plane's pods"),
  podAnnotations: mapping({}, "annotations of the control plane's pods"),
}

function flag(byDefault: boolean, about: string): Rule {
  return { byDefault, about, check: value => (typeof value === "boolean" ? null : "must be true or false") }
}

function word(byDefault: string, about: string): Rule {
  const check = (value: unknown): string | null =>
    typeof value === "string" && /^\S*$/.test(value) ? null : "must be text without spaces"
  return { byDefault, about, check }
}

function path(byDefault: string, about: string): Rule {
  const check = (value: unknown): string | null =>
    typeof value === "string" && /^\/[^\s:]+$/.test(value) && !value.split("/").includes("..")
      ? null
      : "must be an absolute path"
  return { byDefault, about, check }
}

function oneOf(byDefault: string, allowed: readonly string[], about: string): Rule {
  const check = (value: unknown): string | null =>
    allowed.includes(String(value)) ? null : `must be one of ${allowed.join(", ")}`
  return { byDefault, about: `${about}: ${allowed.join(", ")}`, check }
}

function pem(about: string): Rule {
  const check = (value: unknown): string | null =>
    value === "" || (typeof value === "string" && value.includes("-----BEGIN ")) ? null : "must be PEM"
  return { byDefault: "", about, check }
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 }

function duration(byDefault: string, [minMs, maxMs]: readonly [number, number], about: string): Rule {
  const check = (value: unknown): string | null => {
    const [, count, unit = ""] = /^(\d{1,12})(ms|s|m|h)$/.exec(String(value)) ?? []
    const ms = Number(count) * (UNITS_MS[unit] ?? 0)
    return ms >= minMs && ms <= maxMs
      ? null
      : `must be a duration such as ${byDefault}, of ${minMs / 1000} s to ${maxMs / 1000} s`
  }
  return { byDefault, about, check }
}

function list(byDefault: readonly unknown[], about: string): Rule {
  return { byDefault, about, check: value => (Array.isArray(value) ? null : "must be a list") }
}

function mapping(byDefault: object, about: string): Rule {
  return { byDefault, about, check: value => (isMapping(value) ? null : "must be a mapping") }
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** Every value with its default and what it is for, in order. */
export function valueTable(): {
  readonly path: string
  readonly byDefault: unknown
  readonly about: string
}[] {
  return Object.entries(RULES).map(([path, { byDefault, about }]) => ({ path, byDefault, about }))
}

/**
 * All values: the defaults, and over them each layer in turn.
 *
 * @throws ValuesError for a value that is not known or cannot be used
 */
export function readValues(layers: readonly { values: unknown; from: string }[]): Values {
  const merged: Record<string, unknown> = {}
  for (const [path, { byDefault }] of Object.entries(RULES)) setAt(merged, path, sorted(byDefault))
  for (const { values, from } of layers) mergeLayer(merged, values, "", from)
  const { crtPEM, keyPEM } = (merged.identity as { issuer: { crtPEM: string; keyPEM: string } }).issuer
  const { identityTrustAnchorsPEM: anchors, identityExternalIssuer: external } = merged
  if (external === true) {
    if (crtPEM + keyPEM === "" && anchors !== "") return merged
    throw new ValuesError(
      "identityExternalIssuer needs identityTrustAnchorsPEM, and neither identity.issuer.crtPEM nor identity.issuer.keyPEM: those are in the other's Secret",
    )
  }
  const given = [crtPEM, keyPEM, anchors].filter(one => one !== "").length
  if (given !== 0 && given !== 3) {
    throw new ValuesError(
      "identityTrustAnchorsPEM, identity.issuer.crtPEM and identity.issuer.keyPEM go together: give all of them or none",
    )
  }
  return merged
}

function mergeLayer(into: Record<string, unknown>, layer: unknown, prefix: string, from: string): void {
  if (layer === null || layer === undefined) return
  if (!isMapping(layer)) {
    throw new ValuesError(`${from}: ${prefix === "" ? "the values" : prefix.slice(0, -1)} must be a mapping`)
  }
  for (const [name, value] of Object.entries(layer)) {
    const path = `${prefix}${name}`
    const rule = Object.hasOwn(RULES, path) ? RULES[path] : undefined
    if (rule !== undefined) {
      const complaint = rule.check(value)
      if (complaint !== null) throw new ValuesError(`${from}: ${path} ${complaint}${shown(path, value)}`)
      const before = valueAt(path, into)
      setAt(into, path, sorted(isMapping(before) && isMapping(value) ? merged(before, value) : value))
    } else if (Object.keys(RULES).some(known => known.startsWith(`${path}.`))) {
      mergeLayer(into, value, `${path}.`, from)
    } else {
      throw new ValuesError(`${from}: there is no value ${path}${didYouMean(path, Object.keys(RULES))}`)
    }
  }
}

/** Mappings are put over each other field by field, and null takes a field away, as Helm does. */
function merged(before: Record<string, unknown>, over: Record<string, unknown>): Record<string, unknown> {
  const result = { ...before }
  for (const [name, value] of Object.entries(over)) {
    const kept = result[name]
    if (value === null) delete result[name]
    else result[name] = isMapping(kept) && isMapping(value) ? merged(kept, value) : value
  }
  return result
}

/** Keys and certificates are not shown. */
function shown(path: string, value: unknown): string {
  return path.endsWith("PEM") ? "" : `, not ${JSON.stringify(value)}`
}

function setAt(into: Record<string, unknown>, path: string, value: unknown): void {
  const names = path.split(".")
  const last = names.pop() ?? ""
  let at = into
  for (const name of names) {
    const next = isMapping(at[name]) ? at[name] : {}
    at[name] = next
    at = next
  }
  at[last] = value
}

/**
 * Reads `a.b=value,c=value` as Helm's --set does, without its index syntax: true, false and null are what they say,
 * `{}` and `[]` are empty, everything else is text where text is wanted.
 *
 * @throws ValuesError for a part without `=`
 */
export function parseSet(argument: string): Values {
  const values: Record<string, unknown> = {}
  for (const part of argument.split(/(?<!\\),/)) {
    const at = part.indexOf("=")
    if (at < 1) throw new ValuesError(`--set ${argument}: write NAME=VALUE, such as --set ha=true`)
    const path = part.slice(0, at)
    const raw = part.slice(at + 1).replaceAll("\\,", ",")
    const words: Readonly<Record<string, unknown>> = {
      true: true,
      false: false,
      null: null,
      "{}": {},
      "[]": [],
    }
    setNested(values, path, Object.hasOwn(words, raw) ? words[raw] : raw)
  }
  return values
}

/** A path of `--set`; a dot that belongs to a name is written `\.`. */
function setNested(values: Record<string, unknown>, path: string, value: unknown): void {
  const names = path.split(/(?<!\\)\./).map(name => name.replaceAll("\\.", "."))
  const last = names.pop() ?? ""
  let at = values
  for (const name of names) {
    const next = isMapping(at[name]) ? at[name] : {}
    at[name] = next
    at = next
  }
  at[last] = value
}
