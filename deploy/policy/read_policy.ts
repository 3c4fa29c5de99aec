// Reads AuthorizationPolicy objects strictly: a word that is not understood refuses the object, instead of opening or
// closing a port by being passed over. Used by `conduit dev` on files and by the control plane on objects.
import { parseNetwork, readPattern } from "../../protos/authorization/mod.ts"
import { didYouMean, nearest } from "../suggest/mod.ts"
import {
  type AuthorizationPolicy,
  MAX_POLICY_RULES,
  MAX_POLICY_VALUES,
  type PlacedSource,
  POLICY_ACTIONS,
  POLICY_API_VERSION,
  POLICY_FIELDS,
  POLICY_GROUP,
  type PolicyComplaint,
  type PolicyFieldPath,
  type PolicyOperation,
  type PolicyRule,
  type PolicySource,
  TARGET_KINDS,
  type TargetPort,
} from "./authorization_policy.ts"

/** Methods that are registered (IANA, HTTP Method Registry), for suggestions; any other in upper case is taken too. */
const METHODS =
  "ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL".split(
    " ",
  )

/** What reading an object gave. */
export interface ReadPolicy {
  /** The policy; null when there are complaints, or when the object is another mesh's. */
  readonly policy: AuthorizationPolicy | null
  /** In the order of the fields' reading; all of them, not the first only. */
  readonly complaints: readonly PolicyComplaint[]
}

/**
 * Reads an object of kind AuthorizationPolicy. An object of that kind in another mesh's API group gives neither policy
 * nor complaint.
 *
 * @param defaultNamespace  namespace of an object that names none
 */
export function readAuthorizationPolicy(raw: unknown, defaultNamespace = "default"): ReadPolicy {
  const reader = new Reader(defaultNamespace)
  const object = reader.mapping(raw, [])
  if (object === null) return { policy: null, complaints: reader.complaints }
  if (isForeign(object.apiVersion)) return { policy: null, complaints: [] }
  if (object.apiVersion !== POLICY_API_VERSION) {
    reader.add(["apiVersion"], `must be ${POLICY_API_VERSION}, not ${show(object.apiVersion)}`)
  }
  const policy = reader.policy(object)
  return { policy: reader.complaints.length === 0 ? policy : null, complaints: reader.complaints }
}

/** Other meshes have objects of this kind too (`security.istio.io`, `policy.linkerd.io`); a slip of the pen is ours. */
function isForeign(apiVersion: unknown): boolean {
  if (typeof apiVersion !== "string") return false
  const [group = ""] = apiVersion.split("/", 1)
  return group !== POLICY_GROUP && group.includes(".") && nearest(group, [POLICY_GROUP]) === null
}

type Mapping = Readonly<Record<string, unknown>>

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
/** Name of a container's port (IANA service name). */
const PORT_NAME = /^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Z-]+$/
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]+\/[A-Za-z0-9._\-/]*\*?$/

class Reader {
  readonly complaints: PolicyComplaint[] = []
  private readonly defaultNamespace: string

  constructor(defaultNamespace: string) {
    this.defaultNamespace = defaultNamespace
  }

  add(path: PolicyFieldPath, message: string): null {
    this.complaints.push({ path, message })
    return null
  }

  policy(object: Mapping): AuthorizationPolicy | null {
    this.known(object, [], POLICY_FIELDS.object)
    const metadata = this.mapping(object.metadata, ["metadata"])
    const namespace = typeof metadata?.namespace === "string" ? metadata.namespace : this.defaultNamespace
    const name = metadata === null ? null : this.name(metadata.name, ["metadata", "name"])
    const spec = this.mapping(object.spec, ["spec"])
    if (spec === null) return null
    this.known(spec, ["spec"], POLICY_FIELDS.spec)
    const target = this.target(spec.target, namespace)
    const action = this.choice(spec.action, ["spec", "action"], POLICY_ACTIONS)
    const rules: PolicyRule[] = []
    for (const [index, rule] of this.list(
      spec.rules,
      ["spec", "rules"],
      "a policy needs at least one rule",
    )) {
      const read = this.rule(rule, ["spec", "rules", index], namespace)
      if (read !== null) rules.push(read)
    }
    if (rules.length > MAX_POLICY_RULES)
      this.add(
        ["spec", "rules"],
        `has ${rules.length} rules, more than ${MAX_POLICY_RULES}; split the policy`,
      )
    if (name === null || target === null || action === null) return null
    return { namespace, name, target, action, rules }
  }

  private target(value: unknown, namespace: string): AuthorizationPolicy["target"] | null {
    const path = ["spec", "target"]
    const target = this.mapping(value, path, "such as { kind: Deployment, name: web }")
    if (target === null) return null
    if (target.namespace !== undefined) {
      this.add([...path, "namespace"], "is not a field: a policy targets what is in its own namespace")
    }
    this.known(target, path, POLICY_FIELDS.target, ["namespace"])
    const kind = this.choice(target.kind, [...path, "kind"], TARGET_KINDS)
    let name: string | null
    if (kind === "Namespace") {
      name = target.name === undefined ? namespace : this.name(target.name, [...path, "name"])
      if (name !== null && name !== namespace) {
        const message = `is "${name}", but a policy holds in its own namespace only, which is "${namespace}"`
        this.add([...path, "name"], message)
      }
    } else name = this.name(target.name, [...path, "name"])
    const ports: TargetPort[] = []
    if (target.ports !== undefined) {
      const empty = "leave it out for every port"
      for (const [index, port] of this.list(target.ports, [...path, "ports"], empty)) {
        if (this.isPort(port, [...path, "ports", index])) ports.push(port)
      }
    }
    if (kind === null || name === null) return null
    return { kind, name, ports: target.ports === undefined ? null : ports }
  }

  private isPort(value: unknown, path: PolicyFieldPath): value is TargetPort {
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535) return true
    if (typeof value === "string" && PORT_NAME.test(value)) return true
    const digits = typeof value === "string" && /^\d+$/.test(value) ? "; leave out the quotes" : ""
    this.add(
      path,
      `must be a port from 1 to 65535 or the name of a container's port, not ${show(value)}${digits}`,
    )
    return false
  }

  private rule(value: unknown, path: PolicyFieldPath, namespace: string): PolicyRule | null {
    const rule = this.mapping(value, path)
    if (rule === null) return null
    this.known(rule, path, POLICY_FIELDS.rule)
    if (rule.from === undefined && rule.to === undefined) {
      return this.add(path, "is empty; it needs from, to, or both")
    }
    const from: PlacedSource[] = []
    if (rule.from !== undefined) {
      const at = [...path, "from"]
      for (const [index, entry] of this.list(rule.from, at, "leave it out for any client"))
        from.push(...this.sources(entry, [...at, index], namespace))
    }
    const to: PolicyOperation[] = []
    if (rule.to !== undefined) {
      const at = [...path, "to"]
      for (const [index, entry] of this.list(rule.to, at, "leave it out for any request")) {
        const operation = this.operation(entry, [...at, index])
        if (operation !== null) to.push(operation)
      }
    }
    return { from, to }
  }

  private sources(value: unknown, path: PolicyFieldPath, namespace: string): PlacedSource[] {
    const entry = this.mapping(value, path)
    if (entry === null) return []
    this.known(entry, path, POLICY_FIELDS.from)
    const kinds = POLICY_FIELDS.from.filter(kind => entry[kind] !== undefined)
    const [kind] = kinds
    if (kind === undefined || kinds.length > 1) {
      const has = kinds.length === 0 ? "names no client" : `has ${kinds.join(" and ")}`
      this.add(path, `${has}; each entry takes exactly one of ${POLICY_FIELDS.from.join(", ")}`)
      return []
    }
    const sources: PlacedSource[] = []
    for (const [index, text] of this.texts(entry[kind], [...path, kind])) {
      const at = [...path, kind, index]
      const source = this.source(kind, text, at, namespace)
      if (source !== null) sources.push({ ...source, field: dottedField(at) })
    }
    return sources
  }

  private source(
    kind: (typeof POLICY_FIELDS.from)[number],
    text: string,
    path: PolicyFieldPath,
    namespace: string,
  ): PolicySource | null {
    if (kind === "namespaces") {
      if (!DNS_LABEL.test(text)) return this.add(path, `must be the name of a namespace, not ${show(text)}`)
      return { kind: "namespace", name: text }
    }
    if (kind === "identities") {
      if (text === "*" || SPIFFE.test(text)) return { kind: "identity", pattern: text }
      const takes =
        "a SPIFFE id (spiffe://TRUST-DOMAIN/ns/NAMESPACE/sa/NAME), the beginning of one with a * behind it"
      return this.add(path, `must be ${takes}, or "*" for every meshed client, not ${show(text)}`)
    }
    if (kind === "networks") {
      const network = parseNetwork(text)
      return typeof network === "string"
        ? this.add(path, `cannot be used: ${network}`)
        : { kind: "network", network: text }
    }
    const [first = "", second = "", more] = text.split("/")
    if (more !== undefined || !DNS_LABEL.test(first) || !DNS_NAME.test(second)) {
      const meant = DNS_NAME.test(text) ? `; write ${namespace}/${text} for the one in this namespace` : ""
      return this.add(path, `must be NAMESPACE/NAME, not ${show(text)}${meant}`)
    }
    const singular = kind === "deployments" ? "deployment" : "serviceAccount"
    return { kind: singular, namespace: first, name: second }
  }

  private operation(value: unknown, path: PolicyFieldPath): PolicyOperation | null {
    const entry = this.mapping(value, path)
    if (entry === null) return null
    this.known(entry, path, POLICY_FIELDS.to)
    if (entry.methods === undefined && entry.paths === undefined) {
      return this.add(path, "is empty; it needs methods, paths, or both")
    }
    const methods: string[] = []
    for (const [index, text] of this.texts(entry.methods, [...path, "methods"], true)) {
      if (this.isMethod(text, [...path, "methods", index])) methods.push(text)
    }
    const paths: string[] = []
    for (const [index, text] of this.texts(entry.paths, [...path, "paths"], true)) {
      const read = readPattern(text)
      if (typeof read === "string") this.add([...path, "paths", index], `cannot be used: ${read}`)
      else paths.push(read.pattern)
    }
    return { methods, paths }
  }

  private isMethod(text: string, path: PolicyFieldPath): boolean {
    const upper = text.toUpperCase()
    if (!TOKEN.test(upper)) this.add(path, `must be a method such as GET, not ${show(text)}`)
    else if (upper !== text) this.add(path, `must be in upper case: ${upper}, not ${show(text)}`)
    else {
      const meant = METHODS.includes(text) ? "" : didYouMean(text, METHODS)
      if (meant === "") return true
      this.add(path, `is ${show(text)}, which is no method${meant}`)
    }
    return false
  }

  // ---- shapes ----

  mapping(value: unknown, path: PolicyFieldPath, example = ""): Mapping | null {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Mapping
    const hint = example === "" ? "" : `, ${example}`
    return this.add(
      path,
      value === undefined ? `is missing${hint}` : `must be a mapping, not ${show(value)}${hint}`,
    )
  }

  private known(
    mapping: Mapping,
    path: PolicyFieldPath,
    fields: readonly string[],
    reported: readonly string[] = [],
  ): void {
    for (const field of Object.keys(mapping)) {
      if (fields.includes(field) || reported.includes(field)) continue
      const meant = didYouMean(field, fields)
      this.add([...path, field], `is not a field${meant || `; there are ${fields.join(", ")}`}`)
    }
  }

  private *list(value: unknown, path: PolicyFieldPath, hint: string): Generator<[number, unknown]> {
    if (value === undefined || value === null) this.add(path, `is missing; ${hint}`)
    else if (!Array.isArray(value)) this.add(path, `must be a list, not ${show(value)}`)
    else if (value.length === 0) this.add(path, `is empty; ${hint}`)
    else if (value.length > MAX_POLICY_VALUES)
      this.add(path, `has ${value.length} entries, more than ${MAX_POLICY_VALUES}`)
    else yield* value.entries()
  }

  private *texts(value: unknown, path: PolicyFieldPath, optional = false): Generator<[number, string]> {
    if (optional && value === undefined) return
    for (const [index, text] of this.list(value, path, "it needs at least one value")) {
      if (typeof text === "string" && text !== "") yield [index, text]
      else this.add([...path, index], `must be text, not ${show(text)}`)
    }
  }

  private choice<Choice extends string>(
    value: unknown,
    path: PolicyFieldPath,
    choices: readonly Choice[],
  ): Choice | null {
    const choice = choices.find(one => one === value)
    if (choice !== undefined) return choice
    const all = `it must be one of ${choices.join(", ")}`
    if (value === undefined || value === null) return this.add(path, `is missing; ${all}`)
    const meant = typeof value === "string" ? didYouMean(value, choices) : ""
    return this.add(path, `is ${show(value)}${meant}; ${all}`)
  }

  private name(value: unknown, path: PolicyFieldPath): string | null {
    if (typeof value === "string" && DNS_NAME.test(value)) return value
    if (value === undefined || value === null || value === "") return this.add(path, "is missing")
    return this.add(path, `must be a name of lower-case letters, digits and "-", not ${show(value)}`)
  }
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing"
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

/** A path as people write it: `spec.rules[0].to[1].paths[0]`. */
export function dottedField(path: PolicyFieldPath): string {
  let text = ""
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`
    else text += text === "" ? step : `.${step}`
  }
  return text
}

/** A port that a target's containers declare. */
export interface DeclaredPort {
  readonly name: string
  readonly port: number
}

/** What is wrong with the ports that a policy names, given those that its target declares. */
export function portComplaints(
  policy: AuthorizationPolicy,
  declared: readonly DeclaredPort[],
): PolicyComplaint[] {
  const complaints: PolicyComplaint[] = []
  for (const [index, port] of (policy.target.ports ?? []).entries()) {
    if (declared.some(one => one.port === port || one.name === port)) continue
    const names = declared.map(one => one.name).filter(name => name !== "")
    const list = declared.map(({ name, port: number }) => (name === "" ? `${number}` : `${name} (${number})`))
    const target = `${policy.target.kind} "${policy.target.name}"`
    const meant = typeof port === "string" ? didYouMean(port, names) : ""
    const has = list.length === 0 ? "declares no port" : `declares ${list.join(", ")}`
    const path = ["spec", "target", "ports", index]
    complaints.push({ path, message: `is ${show(port)}, but ${target} ${has}${meant}` })
  }
  return complaints
}
