// Streams of Kubernetes objects as text: each object is found, checked as far as its pod template goes, treated, and
// put back. Documents in which nothing was changed come out byte for byte.
import type { PodTemplate, WorkloadKind } from "../inject/mod.ts"
import {
  type Change,
  EditError,
  editSource,
  type Fields,
  ownPair,
  type Piece,
  parseSource,
  type Source,
  splitStream,
  YamlError,
} from "../yaml_edit/mod.ts"
import { saysTheSame } from "./compare.ts"

/** A stream of documents, such as a file. */
export interface Input {
  /** What people call it: a path, an address, `standard input`. */
  readonly name: string
  readonly text: string
}

/** An object of a stream. */
export interface FoundObject {
  readonly source: Source
  readonly object: Fields
  /** Empty where the document is no Kubernetes object. */
  readonly kind: string
  /** Empty where the API server is to choose it. */
  readonly name: string
  /** Empty where none is named. */
  readonly namespace: string
  /** The pod template of a workload that Conduit knows. */
  readonly workload: Workload | null
  /** A sentence of a problem, with file, document and line of the deepest place on the path that is there. */
  readonly problem: (path: readonly string[], sentence: string) => string
}

/** A workload's pod template. */
export interface Workload {
  readonly kind: WorkloadKind
  /** Path from the object to its template; empty for a Pod, which is its own. */
  readonly path: readonly string[]
  readonly template: PodTemplate
}

/** What became of one object. */
export interface Report {
  readonly kind: string
  readonly name: string
  /** Name of the input. */
  readonly input: string
  readonly outcome: "injected" | "annotated" | "uninjected" | "skipped"
  /** Why it was skipped; null where that goes without saying. */
  readonly reason: string | null
  readonly warnings: readonly string[]
}

/** What a treatment says of one object. */
export interface Treatment {
  readonly outcome: Report["outcome"]
  readonly reason?: string
  readonly warnings?: readonly string[]
  readonly change?: Change
}

/** What came of one input. */
export interface Treated {
  readonly text: string
  readonly reports: readonly Report[]
}

/** Problems in some inputs; the message has a line for each. */
export class ManifestProblems extends Error {
  override readonly name = "ManifestProblems"

  constructor(problems: readonly string[]) {
    super(problems.join("\n"))
  }
}

/** The workloads, by kind: API groups that have them, and where their pod template is. */
const WORKLOADS: Readonly<Record<WorkloadKind, { groups: readonly string[]; path: readonly string[] }>> = {
  Deployment: { groups: ["apps", "extensions"], path: ["spec", "template"] },
  StatefulSet: { groups: ["apps"], path: ["spec", "template"] },
  DaemonSet: { groups: ["apps", "extensions"], path: ["spec", "template"] },
  ReplicaSet: { groups: ["apps", "extensions"], path: ["spec", "template"] },
  Job: { groups: ["batch"], path: ["spec", "template"] },
  CronJob: { groups: ["batch"], path: ["spec", "jobTemplate", "spec", "template"] },
  Pod: { groups: [""], path: [] },
}

/**
 * Treats every object of some inputs. All or nothing: with a problem anywhere nothing comes out.
 *
 * @param treat what to do with one object; a sentence that it throws as a `ManifestProblems` is reported with the others
 * @throws ManifestProblems for documents that cannot be read or used
 */
export function treatInputs(inputs: readonly Input[], treat: (found: FoundObject) => Treatment): Treated[] {
  const problems: string[] = []
  const treated = inputs.map(input => treatInput(input, treat, problems))
  if (problems.length > 0) throw new ManifestProblems(problems)
  return treated
}

function treatInput(input: Input, treat: (found: FoundObject) => Treatment, problems: string[]): Treated {
  const parts: string[] = []
  const reports: Report[] = []
  let index = 0
  for (const piece of splitStream(input.text)) {
    index++
    try {
      parts.push(treatPiece(input, piece, index, treat, reports, problems))
    } catch (error) {
      if (!(error instanceof YamlError)) throw error
      const { line, col } = placeIn(piece, error.offset)
      const wrong = error instanceof EditError ? "" : `this is not usable ${piece.json ? "JSON" : "YAML"}: `
      problems.push(
        `${input.name}, document ${index}, line ${piece.line + line - 1}, column ${col}: ${wrong}${error.message}`,
      )
    }
  }
  return { text: parts.join(""), reports }
}

function treatPiece(
  input: Input,
  piece: Piece,
  index: number,
  treat: (found: FoundObject) => Treatment,
  reports: Report[],
  problems: string[],
): string {
  const source = parseSource(piece.text, piece.json)
  const changes: Change[] = []
  for (const object of objectsOf(source.value)) {
    const problem = (path: readonly string[], sentence: string): string => {
      const { line } = source.position(offsetOf(source, object, path))
      return `${input.name}, document ${index}, line ${piece.line + line - 1}: ${sentence}`
    }
    try {
      const found = foundObject(source, object, problem)
      const { outcome, reason = null, warnings = [], change } = treat(found)
      if (change !== undefined) changes.push(change)
      reports.push({ kind: found.kind, name: found.name, input: input.name, outcome, reason, warnings })
    } catch (error) {
      if (!(error instanceof ManifestProblems)) throw error
      problems.push(error.message)
    }
  }
  if (changes.length === 0) return piece.text
  const text = editSource(source, changes)
  if (!saysTheSame(text, piece.json, source.value, changes)) {
    // Nobody should apply what was not meant.
    throw new EditError("this is written in a way that Conduit cannot edit (please report it)", 0)
  }
  return text
}

/** The objects of a document: itself, or the items of a List, also of a List in a List. */
export function* objectsOf(value: unknown): Generator<Fields> {
  if (!isFields(value)) return
  if (typeof value.kind === "string" && value.kind.endsWith("List") && Array.isArray(value.items)) {
    for (const item of value.items) yield* objectsOf(item)
    return
  }
  yield value
}

function foundObject(source: Source, object: Fields, problem: FoundObject["problem"]): FoundObject {
  const fail = (path: readonly string[], sentence: string): never => {
    throw new ManifestProblems([problem(path, sentence)])
  }
  const kind = typeof object.kind === "string" ? object.kind : ""
  const metadata = isFields(object.metadata) ? object.metadata : {}
  const name = typeof metadata.name === "string" ? metadata.name : ""
  const namespace = typeof metadata.namespace === "string" ? metadata.namespace : ""
  const found = { source, object, kind, name, namespace, problem, workload: null }
  const known = Object.hasOwn(WORKLOADS, kind) ? WORKLOADS[kind as WorkloadKind] : undefined
  if (known === undefined) return found
  if (typeof object.apiVersion !== "string") fail(["apiVersion"], `${kind} "${name}" has no apiVersion`)
  const group = String(object.apiVersion).includes("/") ? String(object.apiVersion).split("/")[0] : ""
  if (!known.groups.includes(group ?? "")) return found
  const what = name === "" ? `this ${kind}` : `${kind} "${name}"`
  const template = templateIn(object, known.path, what, fail)
  checkTemplate(template, known.path, what, fail)
  return { ...found, workload: { kind: kind as WorkloadKind, path: known.path, template: template as never } }
}

type Fail = (path: readonly string[], sentence: string) => never

function templateIn(object: Fields, path: readonly string[], what: string, fail: Fail): Fields {
  let at: Fields = object
  for (const [depth, step] of path.entries()) {
    const next = at[step]
    const here = path.slice(0, depth + 1)
    if (next === undefined || next === null) {
      fail(
        here,
        `${path.join(".")} is missing in ${what}; it needs a pod template (is this a kustomize patch?)`,
      )
    }
    if (!isFields(next)) fail(here, `${here.join(".")} of ${what} must be a mapping`)
    at = next as Fields
  }
  return at
}

/** Checks what inject reads, so that it can rely on the types of a pod template. */
function checkTemplate(template: Fields, path: readonly string[], what: string, fail: Fail): void {
  const { metadata, spec } = template
  const at = (...steps: string[]): string[] => [...path, ...steps]
  if (metadata !== undefined && metadata !== null && !isFields(metadata)) {
    fail(at("metadata"), `${at("metadata").join(".")} of ${what} must be a mapping`)
  }
  for (const field of ["labels", "annotations"]) {
    const value = isFields(metadata) ? metadata[field] : undefined
    if (value === undefined || value === null || isFields(value)) continue
    fail(at("metadata", field), `${at("metadata", field).join(".")} of ${what} must be a mapping`)
  }
  if (!isFields(spec)) {
    const wrong = spec === undefined || spec === null ? "is missing" : "must be a mapping"
    fail(at("spec"), `${at("spec").join(".")} of ${what} ${wrong}`)
  }
  for (const field of ["containers", "initContainers", "volumes"]) {
    const list = (spec as Fields)[field]
    const where = at("spec", field)
    if (
      field === "containers" &&
      (list === undefined || list === null || (Array.isArray(list) && list.length === 0))
    ) {
      fail(where, `${what} has no containers`)
    }
    if (list === undefined || list === null) continue
    if (!Array.isArray(list)) fail(where, `${where.join(".")} of ${what} must be a list`)
    const isOdd = (item: unknown): boolean => !isFields(item) || typeof item.name !== "string"
    if ((list as unknown[]).some(isOdd))
      fail(where, `${where.join(".")} of ${what} has an item without a name`)
  }
}

/** Where the deepest key on a path stands; of the object itself where none is there. */
function offsetOf(source: Source, object: Fields, path: readonly string[]): number {
  let value: unknown = object
  let offset = source.nodes.get(object)?.range?.[0] ?? 0
  for (const step of path) {
    const node = isFields(value) ? source.nodes.get(value) : undefined
    const pair = node === undefined ? undefined : ownPair(node as Parameters<typeof ownPair>[0], step)
    const key = pair?.key as { range?: readonly number[] } | undefined
    if (key === undefined) break
    offset = key.range?.[0] ?? offset
    value = (value as Fields)[step]
  }
  return offset
}

function placeIn(piece: Piece, offset: number): { line: number; col: number } {
  const before = piece.text.slice(0, offset)
  return { line: before.split("\n").length, col: offset - before.lastIndexOf("\n") }
}

/** Whether a value is a mapping. */
export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
