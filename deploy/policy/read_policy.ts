// Reads AuthorizationPolicy objects strictly: a word that is not understood refuses the object, instead of opening or
// closing a port by being passed over. Used by `conduit dev` on files and by the control plane on objects.
import { parseNetwork, readPattern } from "../../protos/authorization/mod.ts"
import { didYouMean } from "../suggest/mod.ts"
import {
  type AskedPlugin,
  type AuthorizationPolicy,
  MAX_ASKED_HEADERS,
  MAX_POLICY_RULES,
  type PlacedSource,
  POLICY_ACTIONS,
  POLICY_FIELDS,
  type PolicyComplaint,
  type PolicyFieldPath,
  type PolicyOperation,
  type PolicyRule,
  type PolicySource,
} from "./authorization_policy.ts"
import { dottedField, isForeign, type Mapping, PolicyReader, show } from "./policy_reader.ts"

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
  const policy = reader.policy(object)
  return { policy: reader.complaints.length === 0 ? policy : null, complaints: reader.complaints }
}

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Z-]+$/
const HEADER = /^[!#$%&'*+.^_`|~0-9a-z-]{1,256}$/
const SPIFFE = /^spiffe:\/\/[a-z0-9._-]+\/[A-Za-z0-9._\-/]*\*?$/

class Reader extends PolicyReader {
  policy(object: Mapping): AuthorizationPolicy | null {
    const { namespace, head, spec } = this.head(object, POLICY_FIELDS.spec)
    if (spec === null) return null
    const action = this.choice(spec.action, ["spec", "action"], POLICY_ACTIONS)
    const ask = this.ask(spec, action === "Ask")
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
    if (head === null || action === null) return null
    return { ...head, action, ask, rules }
  }

  private ask(spec: Mapping, asks: boolean): AskedPlugin | null {
    if (!asks) {
      for (const field of ["plugin", "headers"])
        if (spec[field] !== undefined) this.add(["spec", field], "counts with action Ask only")
      return null
    }
    const plugin = this.name(spec.plugin, ["spec", "plugin"])
    const headers: string[] = []
    for (const [index, name] of this.texts(spec.headers, ["spec", "headers"], true)) {
      if (HEADER.test(name)) headers.push(name)
      else
        this.add(
          ["spec", "headers", index],
          `must be the name of a header field in lower case, such as x-tenant, not ${show(name)}`,
        )
    }
    if (headers.length > MAX_ASKED_HEADERS)
      this.add(["spec", "headers"], `has ${headers.length} names, more than ${MAX_ASKED_HEADERS}`)
    return plugin === null ? null : { plugin, headers: [...new Set(headers)] }
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
}
