// What the readers of all our policies share: strict shapes, each with a sentence for every way to get it wrong, and the
// target that each of them has. A word that is not understood refuses the object.
import { didYouMean, nearest } from "../suggest/mod.ts"
import {
  MAX_POLICY_VALUES,
  POLICY_API_VERSION,
  POLICY_FIELDS,
  POLICY_GROUP,
  type PolicyComplaint,
  type PolicyFieldPath,
  type PolicyTarget,
  TARGET_KINDS,
  type TargetPort,
} from "./authorization_policy.ts"

/** A mapping of an object, its fields still unread. */
export type Mapping = Readonly<Record<string, unknown>>

const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
/** Name of a container's port (IANA service name). */
const PORT_NAME = /^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$/

/** What every policy has. */
export interface PolicyHead {
  readonly namespace: string
  readonly name: string
  readonly target: PolicyTarget
}

/** Whether an object of one of our kinds is another project's (`security.istio.io`, `kuadrant.io`); a slip of the pen is ours. */
export function isForeign(apiVersion: unknown): boolean {
  if (typeof apiVersion !== "string") return false
  const [group = ""] = apiVersion.split("/", 1)
  return group !== POLICY_GROUP && group.includes(".") && nearest(group, [POLICY_GROUP]) === null
}

/** Reads fields and collects complaints. */
export class PolicyReader {
  readonly complaints: PolicyComplaint[] = []
  private readonly defaultNamespace: string

  /** @param defaultNamespace  namespace of an object that names none */
  constructor(defaultNamespace: string) {
    this.defaultNamespace = defaultNamespace
  }

  /** Complains about a field. */
  add(path: PolicyFieldPath, message: string): null {
    this.complaints.push({ path, message })
    return null
  }

  /**
   * Namespace, name and target of an object, and its spec; null without them. The namespace holds in any case.
   *
   * @param specFields  fields that a spec of the kind may have
   */
  head(
    object: Mapping,
    specFields: readonly string[],
  ): { namespace: string; head: PolicyHead | null; spec: Mapping | null } {
    if (object.apiVersion !== POLICY_API_VERSION) {
      this.add(["apiVersion"], `must be ${POLICY_API_VERSION}, not ${show(object.apiVersion)}`)
    }
    this.known(object, [], POLICY_FIELDS.object)
    const metadata = this.mapping(object.metadata, ["metadata"])
    const namespace = typeof metadata?.namespace === "string" ? metadata.namespace : this.defaultNamespace
    const name = metadata === null ? null : this.name(metadata.name, ["metadata", "name"])
    const spec = this.mapping(object.spec, ["spec"])
    if (spec === null) return { namespace, head: null, spec }
    this.known(spec, ["spec"], specFields)
    const target = this.target(spec.target, namespace)
    return { namespace, head: name === null || target === null ? null : { namespace, name, target }, spec }
  }

  private target(value: unknown, namespace: string): PolicyTarget | null {
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

  /** A mapping; null, with a complaint, for anything else. */
  mapping(value: unknown, path: PolicyFieldPath, example = ""): Mapping | null {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Mapping
    const hint = example === "" ? "" : `, ${example}`
    return this.add(
      path,
      value === undefined ? `is missing${hint}` : `must be a mapping, not ${show(value)}${hint}`,
    )
  }

  /** Complains about fields that are not among those known. */
  known(
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

  /** Entries of a list that must have some. */
  *list(value: unknown, path: PolicyFieldPath, hint: string): Generator<[number, unknown]> {
    if (value === undefined || value === null) this.add(path, `is missing; ${hint}`)
    else if (!Array.isArray(value)) this.add(path, `must be a list, not ${show(value)}`)
    else if (value.length === 0) this.add(path, `is empty; ${hint}`)
    else if (value.length > MAX_POLICY_VALUES)
      this.add(path, `has ${value.length} entries, more than ${MAX_POLICY_VALUES}`)
    else yield* value.entries()
  }

  /** Entries of a list of texts. */
  *texts(value: unknown, path: PolicyFieldPath, optional = false): Generator<[number, string]> {
    if (optional && value === undefined) return
    for (const [index, text] of this.list(value, path, "it needs at least one value")) {
      if (typeof text === "string" && text !== "") yield [index, text]
      else this.add([...path, index], `must be text, not ${show(text)}`)
    }
  }

  /** One of some words. */
  choice<Choice extends string>(
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

  /** A name as Kubernetes has them. */
  name(value: unknown, path: PolicyFieldPath): string | null {
    if (typeof value === "string" && DNS_NAME.test(value)) return value
    if (value === undefined || value === null || value === "") return this.add(path, "is missing")
    return this.add(path, `must be a name of lower-case letters, digits and "-", not ${show(value)}`)
  }

  /** A whole number within bounds; `byDefault` where it is absent. */
  number(
    value: unknown,
    path: PolicyFieldPath,
    min: number,
    max: number,
    byDefault: number | null,
  ): number | null {
    if ((value === undefined || value === null) && byDefault !== null) return byDefault
    if (typeof value === "number" && Number.isInteger(value) && value >= min && value <= max) return value
    if (value === undefined || value === null) return this.add(path, "is missing")
    const digits = typeof value === "string" && /^\d+$/.test(value) ? "; leave out the quotes" : ""
    return this.add(path, `must be a whole number from ${min} to ${max}, not ${show(value)}${digits}`)
  }
}

/** A value within a sentence, cut short. */
export function show(value: unknown): string {
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
export function portComplaints(policy: PolicyHead, declared: readonly DeclaredPort[]): PolicyComplaint[] {
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
