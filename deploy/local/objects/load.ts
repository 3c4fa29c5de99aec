// Manifests from files: YAML and JSON, several documents a file, folders, Lists; every complaint names file,
// document and line.
import { readdirSync, readFileSync, statSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { isCollection, isPair, LineCounter, type Node, parseAllDocuments } from "yaml"
import { SettingError } from "../../inject/mod.ts"
import { dottedField, portComplaints, readAnyPolicy } from "../../policy/mod.ts"
import { CLUSTER_SCOPED, KINDS, type KubeObject, objectKey, templateOf } from "./kube_object.ts"
import { withPluginProcess } from "./plugin_process.ts"
import { validate } from "./validate.ts"

/** A manifest that cannot be used; the message is one or more lines, each naming file, document and line. */
export class ManifestError extends Error {
  constructor(problems: readonly string[]) {
    super(problems.join("\n"))
    this.name = "ManifestError"
  }
}

/** Objects of some files, and remarks about what was ignored in them. */
export interface Manifests {
  readonly objects: KubeObject[]
  readonly notes: string[]
  /** Every file that was read; what to watch for changes. */
  readonly files: string[]
}

/** How to read manifests. */
export interface LoadOptions {
  /** Namespace of objects that name none; default `default`. */
  readonly namespace?: string
  /** Text to read for the file named `-`; without it `-` is an error. */
  readonly stdin?: string
  /** Further check of each object; what it throws is reported at the object's place. */
  readonly check?: (object: KubeObject) => void
}

const EXTENSIONS = [".yaml", ".yml", ".json"]

/**
 * Reads files and folders (all .yaml, .yml, .json in them, not deeper).
 *
 * @throws ManifestError when a file is missing, is no YAML, or holds an object that cannot be used
 */
export function loadManifests(paths: readonly string[], options: LoadOptions = {}): Manifests {
  const problems: string[] = []
  const manifests: Manifests = { objects: [], notes: [], files: [] }
  const seen = new Map<string, string>()
  const policies: PlacedPolicy[] = []
  for (const path of paths.flatMap(path => expandFiles(path, problems))) {
    const text = readText(path, options, problems)
    if (text === null) continue
    manifests.files.push(path)
    parseFile(path, text, options, manifests, seen, policies, problems)
  }
  for (const policy of policies) checkPorts(policy, manifests.objects, problems)
  if (problems.length > 0) throw new ManifestError(problems)
  return manifests
}

/** A policy with its place. */
interface PlacedPolicy {
  readonly object: KubeObject
  readonly where: (path: readonly (string | number)[]) => string
}

/** A policy's ports must be there on its target, where the files hold the target too. */
function checkPorts(
  { object, where }: PlacedPolicy,
  objects: readonly KubeObject[],
  problems: string[],
): void {
  const policy = readAnyPolicy(object)?.policy ?? null
  if (policy === null) return
  const { namespace, target } = policy
  const found = objects.find(
    one =>
      one.kind === target.kind &&
      one.metadata.name === target.name &&
      one.metadata.namespace === namespace &&
      KINDS[one.kind] === "workload",
  )
  if (found === undefined) return
  const { containers, initContainers = [] } = templateOf(found).spec
  const sidecars = initContainers.filter(container => container.restartPolicy === "Always")
  const declared = [...containers, ...sidecars]
    .flatMap(container => container.ports ?? [])
    .filter(port => (port.protocol ?? "TCP") === "TCP")
    .map(port => ({ name: port.name ?? "", port: port.containerPort }))
  for (const { path, message } of portComplaints(policy, declared)) {
    const name = `${object.kind} "${policy.name}"`
    problems.push(`${where(path)}: ${dottedField(path)} of ${name} ${message}`)
  }
}

/** Files that a path stands for: itself, those of a folder, or `-`; complains into `problems`. */
export function expandFiles(path: string, problems: string[]): string[] {
  if (path === "-") return [path]
  try {
    if (!statSync(path).isDirectory()) return [path]
    const names = readdirSync(path).filter(
      name => EXTENSIONS.some(end => name.endsWith(end)) && name[0] !== ".",
    )
    if (names.length === 0) problems.push(`${path}: the folder holds no ${EXTENSIONS.join(", ")} file`)
    return names.sort().map(name => join(path, name))
  } catch (error) {
    problems.push(`${path}: cannot be read: ${reason(error)}`)
    return []
  }
}

/** Text of a file; null, with a complaint in `problems`, where it cannot be read. */
export function readText(path: string, options: LoadOptions, problems: string[]): string | null {
  if (path === "-") {
    if (options.stdin === undefined) problems.push("-: standard input cannot be read here; give a file")
    return options.stdin ?? null
  }
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    problems.push(`${path}: cannot be read: ${reason(error)}`)
    return null
  }
}

function parseFile(
  path: string,
  text: string,
  options: LoadOptions,
  manifests: Manifests,
  seen: Map<string, string>,
  policies: PlacedPolicy[],
  problems: string[],
): void {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, merge: true })
  let found = 0
  for (const [index, document] of [...documents].entries()) {
    const where = (line: number) => `${path}, document ${index + 1}, line ${line}`
    const broken = document.errors[0]
    if (broken !== undefined) {
      problems.push(`${where(lines.linePos(broken.pos[0]).line)}: this is not YAML: ${broken.message}`)
      continue
    }
    let value: unknown
    try {
      value = document.toJS({ maxAliasCount: 100 })
    } catch (error) {
      problems.push(`${where(1)}: this is not usable YAML: ${reason(error)}`)
      continue
    }
    if (value === null || value === undefined) continue
    for (const [object, base] of flattenLists(value)) {
      found++
      const line = (at: readonly (string | number)[]) =>
        documentLine(document.contents, [...base, ...at], lines)
      const complaints = validate(object, options.namespace)
      for (const { path: at, message } of complaints) problems.push(`${where(line(at))}: ${message}`)
      if (complaints.length > 0) continue
      const known = object as KubeObject
      const treatment = Object.hasOwn(KINDS, known.kind) ? KINDS[known.kind] : "ignored"
      if (treatment === "ignored") {
        manifests.notes.push(
          `${where(line([]))}: ${known.kind} "${known.metadata.name}" is ignored by conduit dev`,
        )
        continue
      }
      const placed = withNamespace(known, options.namespace ?? "default")
      try {
        options.check?.(placed)
      } catch (error) {
        const at = error instanceof SettingError ? annotationPath(placed, error.annotation) : []
        problems.push(`${where(line(at))}: ${placed.kind} "${placed.metadata.name}": ${reason(error)}`)
        continue
      }
      const key = objectKey(placed)
      const first = seen.get(key)
      if (first !== undefined) {
        problems.push(
          `${where(line([]))}: ${placed.kind} "${placed.metadata.name}" was already given in ${first}`,
        )
        continue
      }
      seen.set(key, where(line([])))
      manifests.objects.push(
        ...withPluginProcess(placed, path === "-" ? process.cwd() : dirname(resolve(path))),
      )
      if (readAnyPolicy(placed) !== null) policies.push({ object: placed, where: at => where(line(at)) })
    }
  }
  if (found === 0 && problems.length === 0) manifests.notes.push(`${path}: holds no object`)
}

/** The objects of a document, those of lists one by one, each with its path in it. */
export function flattenLists(
  value: unknown,
  base: readonly (string | number)[] = [],
): [unknown, (string | number)[]][] {
  const items = (value as { items?: unknown }).items
  const kind = (value as { kind?: unknown }).kind
  if (typeof kind === "string" && kind.endsWith("List") && Array.isArray(items)) {
    return items.flatMap((item, index) => flattenLists(item, [...base, "items", index]))
  }
  return [[value, [...base]]]
}

function withNamespace(object: KubeObject, namespace: string): KubeObject {
  if (CLUSTER_SCOPED.includes(object.kind)) return object
  return { ...object, metadata: { ...object.metadata, namespace: object.metadata.namespace ?? namespace } }
}

function annotationPath(object: KubeObject, annotation: string): (string | number)[] {
  const template = object.kind === "Pod" || object.kind === "Namespace" ? [] : ["spec", "template"]
  return [...template, "metadata", "annotations", annotation]
}

/** Line (from 1) of the deepest node on the path that exists. */
export function documentLine(
  root: Node | null,
  path: readonly (string | number)[],
  lines: LineCounter,
): number {
  let node: unknown = root
  let offset = root?.range?.[0] ?? 0
  for (const step of path) {
    if (!isCollection(node)) break
    const pair: { key?: unknown } | undefined = node.items.find(
      item => isPair(item) && String((item.key as { value?: unknown } | null)?.value) === String(step),
    ) as { key?: unknown } | undefined
    const key = pair?.key as Node | undefined
    const next = node.get(step, true)
    const at = key?.range?.[0] ?? (next as Node | undefined)?.range?.[0]
    if (at === undefined) break
    offset = at
    node = next
  }
  return lines.linePos(offset).line
}

function reason(error: unknown): string {
  const code = (error as { code?: string }).code
  if (code === "ENOENT") return "no such file or folder"
  if (code === "EACCES") return "permission denied"
  return error instanceof Error ? error.message : String(error)
}
