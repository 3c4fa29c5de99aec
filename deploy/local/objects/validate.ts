// Checks one object before anything is made of it, so that a bad manifest leaves nothing behind. Not a schema:
// the fields that the local cluster uses, with sentences for the person who wrote them.
import { dottedRouteField, readReferenceGrant, readRoute, readServiceTraffic } from "../../gateway/mod.ts"
import { INIT_IMAGE, PROXY_IMAGE } from "../../inject/mod.ts"
import { PLUGIN_KIND, readPlugin } from "../../plugin_object/mod.ts"
import { dottedField, readAnyPolicy } from "../../policy/mod.ts"
import { KINDS } from "./kube_object.ts"

/** Where in the object something is wrong, and what. */
export interface Problem {
  readonly path: readonly (string | number)[]
  readonly message: string
}

type Path = readonly (string | number)[]
type Fields = Record<string, unknown>

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const DNS_NAME = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/
const PROTOCOLS = ["TCP", "UDP", "SCTP"]
const VOLUME_SOURCES = [
  "emptyDir",
  "configMap",
  "secret",
  "downwardAPI",
  "projected",
  "hostPath",
  "persistentVolumeClaim",
  "ephemeral",
]

const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Everything wrong with one parsed object, in the order of the document; empty when it can be used.
 *
 * @param defaultNamespace  namespace of an object that names none
 */
export function validate(value: unknown, defaultNamespace = "default"): Problem[] {
  const problems: Problem[] = []
  const check = new Check(problems)
  const object = check.mapping(value, [], "a manifest")
  if (object === null) return problems
  const kind = check.text(object, ["kind"], 'a manifest needs a kind, such as "kind: Deployment"')
  check.text(object, ["apiVersion"], `${kind ?? "a manifest"} needs an apiVersion`)
  const metadata = check.mapping(object.metadata, ["metadata"], `metadata of this ${kind ?? "object"}`)
  if (kind === null || metadata === null) return problems
  const name = check.text(metadata, ["metadata", "name"], `this ${kind} has no metadata.name`)
  if (name === null) return problems
  const pattern = kind === "Service" || kind === "Namespace" ? DNS_LABEL : DNS_NAME
  if (!pattern.test(name)) {
    check.add(["metadata", "name"], `"${name}" is not a name: use lower-case letters, digits and "-"`)
  }
  const namespace = metadata.namespace
  if (namespace !== undefined && (typeof namespace !== "string" || !DNS_LABEL.test(namespace))) {
    check.add(["metadata", "namespace"], `"${String(namespace)}" is not a namespace's name`)
  }
  check.stringMap(metadata.labels, ["metadata", "labels"])
  check.stringMap(metadata.annotations, ["metadata", "annotations"])
  const treatment = Object.hasOwn(KINDS, kind) ? KINDS[kind] : "ignored"
  // Strict where a person can still mend it: the control plane goes on with what is left of a route.
  const traffic = [
    ...readRoute(object).complaints,
    ...readReferenceGrant(object).complaints,
    ...(kind === "Service" ? readServiceTraffic(object).complaints : []),
  ]
  for (const { path, message } of traffic) {
    check.add(path, `${dottedRouteField(path)} of ${kind} "${name}" ${message}`)
  }
  const ours = kind === PLUGIN_KIND ? readPlugin(object) : readAnyPolicy(object, defaultNamespace)
  for (const { path, message } of ours?.complaints ?? []) {
    check.add(path, `${dottedField(path)} of ${kind} "${name}" ${message}`)
  }
  if (kind === "Service") service(check, object, name)
  else if (kind === "Pod") podSpec(check, object.spec, ["spec"], `Pod "${name}"`)
  else if (treatment === "workload") workload(check, object, kind, name)
  else if (kind === "ConfigMap" || kind === "Secret") {
    check.stringMap(object.data, ["data"])
    check.stringMap(object.stringData, ["stringData"])
    check.stringMap(object.binaryData, ["binaryData"])
    if (kind === "Secret") base64(check, object.data, "data", "stringData takes plain text")
    else base64(check, object.binaryData, "binaryData", "data takes plain text")
  }
  return problems
}

function base64(check: Check, value: unknown, field: string, hint: string): void {
  if (typeof value !== "object" || value === null) return
  for (const [key, text] of Object.entries(value)) {
    // Of a text that is none the message is about the type already.
    if (typeof text !== "string" || BASE64.test(text.replace(/\s/g, ""))) continue
    check.add([field, key], `${field} "${key}" is not base64; ${hint}`)
  }
}

function workload(check: Check, object: Fields, kind: string, name: string): void {
  const what = `${kind} "${name}"`
  const spec = check.mapping(object.spec, ["spec"], `spec of ${what}`)
  if (spec === null) return
  if (spec.template === undefined || spec.template === null) {
    check.add(
      ["spec", "template"],
      `spec.template is missing in ${what}; a ${kind} needs a pod template (is this a kustomize patch?)`,
    )
    return
  }
  for (const field of ["replicas", "completions", "parallelism", "backoffLimit"]) {
    check.count(spec[field], ["spec", field], field)
  }
  const template = check.mapping(spec.template, ["spec", "template"], `spec.template of ${what}`)
  if (template === null) return
  const metadata =
    template.metadata === undefined || template.metadata === null
      ? {}
      : check.mapping(template.metadata, ["spec", "template", "metadata"], "metadata of the pod template")
  if (metadata === null) return
  check.stringMap(metadata.labels, ["spec", "template", "metadata", "labels"])
  check.stringMap(metadata.annotations, ["spec", "template", "metadata", "annotations"])
  if (kind !== "Job") selector(check, spec, metadata, what)
  podSpec(check, template.spec, ["spec", "template", "spec"], what)
}

function selector(check: Check, spec: Fields, metadata: Fields, what: string): void {
  const path = ["spec", "selector"]
  const selector =
    spec.selector === undefined ? null : check.mapping(spec.selector, path, `selector of ${what}`)
  if (spec.selector === undefined) check.add(path, `spec.selector is missing in ${what}`)
  const wanted = selector?.matchLabels
  if (typeof wanted !== "object" || wanted === null) return
  const labels = (metadata.labels ?? {}) as Fields
  for (const [label, value] of Object.entries(wanted)) {
    if (labels[label] === value) continue
    check.add(
      [...path, "matchLabels", label],
      `${what} selects pods with ${label}=${String(value)}, but its template makes pods without that label`,
    )
  }
}

function podSpec(check: Check, value: unknown, path: Path, what: string): void {
  const spec = check.mapping(value, path, `${path.join(".")} of ${what}`)
  if (spec === null) return
  const containers = check.list(spec.containers, [...path, "containers"], `containers of ${what}`)
  if (containers?.length === 0) check.add([...path, "containers"], `${what} has no containers`)
  const volumes = new Set<string>()
  for (const [index, entry] of (check.optionalList(spec.volumes, [...path, "volumes"]) ?? []).entries()) {
    const volume = check.mapping(entry, [...path, "volumes", index], `volume ${index + 1} of ${what}`)
    if (volume === null) continue
    volumes.add(String(volume.name))
    const source = Object.keys(volume).find(key => key !== "name")
    if (source !== undefined && !VOLUME_SOURCES.includes(source)) {
      check.add(
        [...path, "volumes", index, source],
        `volume "${String(volume.name)}" is of kind ${source}, which conduit dev cannot mount; it can mount ${VOLUME_SOURCES.join(", ")}`,
      )
    }
  }
  const claims = path[0] === "spec" && path.length > 1
  const names = new Set<string>()
  for (const list of ["initContainers", "containers"]) {
    for (const [index, entry] of (check.optionalList(spec[list], [...path, list]) ?? []).entries()) {
      const at = [...path, list, index]
      const name = container(check, entry, at, what)
      if (name === null) continue
      if (names.has(name)) check.add([...at, "name"], `two containers of ${what} are named "${name}"`)
      names.add(name)
      if (!claims) mounts(check, entry as Fields, at, volumes)
    }
  }
}

function mounts(check: Check, container: Fields, path: Path, volumes: ReadonlySet<string>): void {
  if (!Array.isArray(container.volumeMounts)) return
  for (const [index, mount] of container.volumeMounts.entries()) {
    const name = String((mount as Fields | null)?.name)
    if (volumes.has(name)) continue
    check.add(
      [...path, "volumeMounts", index],
      `container "${String(container.name)}" mounts volume "${name}", which the pod does not have`,
    )
  }
}

function container(check: Check, value: unknown, path: Path, what: string): string | null {
  const fields = check.mapping(value, path, `a container of ${what}`)
  if (fields === null) return null
  const name = check.text(fields, [...path, "name"], `a container of ${what} has no name`)
  if (name === null) return null
  const who = `container "${name}" of ${what}`
  if (!DNS_LABEL.test(name)) check.add([...path, "name"], `"${name}" is not a container's name`)
  const image = typeof fields.image === "string" ? fields.image : ""
  const ours = [PROXY_IMAGE, INIT_IMAGE].some(known => image === known || image.startsWith(`${known}:`))
  const command = check.strings(fields.command, [...path, "command"], `command of ${who}`)
  check.strings(fields.args, [...path, "args"], `args of ${who}`)
  if ((command === null || command.length === 0) && fields.command !== undefined) {
    if (command !== null) check.add([...path, "command"], `${who} has an empty command`)
  } else if (command === null && !ours) {
    const quoted = image === "" ? "its image" : `image "${image}"`
    check.add(path, `${who} has no command: ${quoted} is not run by conduit dev; give it a command`)
  }
  if (fields.workingDir !== undefined && typeof fields.workingDir !== "string") {
    check.add([...path, "workingDir"], `workingDir of ${who} must be text`)
  }
  for (const [index, entry] of (check.optionalList(fields.env, [...path, "env"]) ?? []).entries()) {
    environment(check, entry, [...path, "env", index], who)
  }
  for (const [index, entry] of (check.optionalList(fields.ports, [...path, "ports"]) ?? []).entries()) {
    const at = [...path, "ports", index]
    const port = check.mapping(entry, at, `port ${index + 1} of ${who}`)
    if (port === null) continue
    check.port(port.containerPort, [...at, "containerPort"], `containerPort of ${who}`)
    check.protocol(port.protocol, [...at, "protocol"])
  }
  for (const field of ["startupProbe", "readinessProbe", "livenessProbe"]) {
    if (fields[field] !== undefined && fields[field] !== null) {
      probe(check, fields[field], [...path, field], `${field} of ${who}`)
    }
  }
  return name
}

function environment(check: Check, value: unknown, path: Path, who: string): void {
  const variable = check.mapping(value, path, `a variable of ${who}`)
  if (variable === null) return
  if (typeof variable.name !== "string" || variable.name === "" || /[=\0]/.test(variable.name)) {
    check.add([...path, "name"], `a variable of ${who} has no usable name`)
  }
  const given = variable.value
  if (given !== undefined && given !== null && typeof given !== "string") {
    check.add(
      [...path, "value"],
      `variable ${String(variable.name)} of ${who} is ${typeof given} ${String(given)}: values are text, put it in quotes`,
    )
  }
}

function probe(check: Check, value: unknown, path: Path, what: string): void {
  const fields = check.mapping(value, path, what)
  if (fields === null) return
  const kinds = ["httpGet", "tcpSocket", "exec", "grpc"].filter(kind => fields[kind] !== undefined)
  const kind = kinds[0]
  if (kind === undefined || kinds.length > 1) {
    check.add(path, `${what} needs exactly one of httpGet, tcpSocket, exec, grpc`)
    return
  }
  const action = check.mapping(fields[kind], [...path, kind], `${kind} of ${what}`)
  if (action === null) return
  if (kind === "exec") check.strings(action.command, [...path, kind, "command"], `command of ${what}`)
  else if (typeof action.port !== "string")
    check.port(action.port, [...path, kind, "port"], `port of ${what}`)
  const numbers = [
    "initialDelaySeconds",
    "periodSeconds",
    "timeoutSeconds",
    "failureThreshold",
    "successThreshold",
  ]
  for (const field of numbers) check.count(fields[field], [...path, field], `${field} of ${what}`)
}

function service(check: Check, object: Fields, name: string): void {
  const what = `Service "${name}"`
  const spec = check.mapping(object.spec, ["spec"], `spec of ${what}`)
  if (spec === null) return
  check.stringMap(spec.selector, ["spec", "selector"])
  if (spec.type === "ExternalName") {
    check.text(spec, ["spec", "externalName"], `${what} is an ExternalName without externalName`)
    return
  }
  const ports = check.optionalList(spec.ports, ["spec", "ports"]) ?? []
  if (ports.length === 0 && spec.clusterIP !== "None") check.add(["spec", "ports"], `${what} has no ports`)
  const names = new Set<string>()
  for (const [index, entry] of ports.entries()) {
    const path = ["spec", "ports", index]
    const port = check.mapping(entry, path, `port ${index + 1} of ${what}`)
    if (port === null) continue
    check.port(port.port, [...path, "port"], `port of ${what}`)
    check.protocol(port.protocol, [...path, "protocol"])
    if (port.targetPort !== undefined && typeof port.targetPort !== "string") {
      check.port(port.targetPort, [...path, "targetPort"], `targetPort of ${what}`)
    }
    const portName = typeof port.name === "string" ? port.name : ""
    if (ports.length > 1 && portName === "") check.add(path, `${what} has several ports: each needs a name`)
    if (portName !== "" && names.has(portName))
      check.add(path, `two ports of ${what} are named "${portName}"`)
    names.add(portName)
  }
}

/** The checks that repeat, each adding its own sentence. */
class Check {
  readonly #problems: Problem[]

  constructor(problems: Problem[]) {
    this.#problems = problems
  }

  add(path: Path, message: string): void {
    this.#problems.push({ path, message })
  }

  mapping(value: unknown, path: Path, what: string): Fields | null {
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Fields
    this.add(path, value === undefined ? `${what} is missing` : `${what} must be a mapping of keys to values`)
    return null
  }

  list(value: unknown, path: Path, what: string): unknown[] | null {
    if (Array.isArray(value)) return value
    this.add(path, value === undefined ? `${what} is missing` : `${what} must be a list`)
    return null
  }

  optionalList(value: unknown, path: Path): unknown[] | null {
    return value === undefined || value === null ? null : this.list(value, path, path.join("."))
  }

  text(fields: Fields, path: Path, message: string): string | null {
    const value = fields[String(path.at(-1))]
    if (typeof value === "string" && value !== "") return value
    this.add(
      path,
      value === undefined || value === "" || value === null ? message : `${path.join(".")} must be text`,
    )
    return null
  }

  strings(value: unknown, path: Path, what: string): string[] | null {
    if (value === undefined || value === null) return null
    const list = this.list(value, path, what)
    if (list === null) return null
    for (const [index, entry] of list.entries()) {
      if (typeof entry === "string") continue
      this.add([...path, index], `${what}: ${JSON.stringify(entry)} must be text, put it in quotes`)
      return null
    }
    return list as string[]
  }

  stringMap(value: unknown, path: Path): void {
    if (value === undefined || value === null) return
    const map = this.mapping(value, path, path.join("."))
    for (const [key, entry] of Object.entries(map ?? {})) {
      if (typeof entry === "string") continue
      this.add(
        [...path, key],
        `${path.join(".")}: "${key}" is ${JSON.stringify(entry)}: it must be text, put it in quotes`,
      )
    }
  }

  count(value: unknown, path: Path, what: string): void {
    if (value === undefined || value === null) return
    if (typeof value === "number" && Number.isInteger(value) && value >= 0) return
    this.add(path, `${what} is ${JSON.stringify(value)}; it must be a whole number from 0`)
  }

  port(value: unknown, path: Path, what: string): void {
    if (typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535) return
    this.add(path, `${what} is ${JSON.stringify(value) ?? "missing"}; it must be a port from 1 to 65535`)
  }

  protocol(value: unknown, path: Path): void {
    if (value === undefined || value === null || PROTOCOLS.includes(String(value))) return
    this.add(path, `protocol "${String(value)}" is none of ${PROTOCOLS.join(", ")}`)
  }
}
