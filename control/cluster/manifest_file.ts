// Reads one manifest file, YAML or JSON with any number of documents, into records; whatever is wrong is
// named by file, document, line and field. Used by manifests.ts.
import { type Document, isNode, LineCounter, parseAllDocuments } from "yaml"
import { type ClusterObject, objectKey, type Problem } from "./model.ts"
import { FieldError, type FieldPath, readObject } from "./read_object.ts"

/** Most aliases that a document may expand: answers the "billion laughs" of YAML. */
export const MAX_YAML_ALIASES = 100

/** What a file holds. */
export interface ManifestFile {
  /** Records by key. */
  readonly objects: ReadonlyMap<string, ClusterObject>
  /** What is wrong with it. */
  readonly problems: readonly Problem[]
  /** Whether some object could not be read at all, so that absence of an object proves nothing. */
  readonly incomplete: boolean
  /** Where a field of one of `objects` stands, by the object's key: file, document and line. */
  readonly whereOf: (key: string, path: FieldPath) => string
}

/** Where a document came from, and how to find the line of a field in it. */
interface Source {
  readonly file: string
  readonly document: number
  readonly lineOf: (path: FieldPath) => number
}

/**
 * Reads a file's text.
 *
 * @param file name for complaints
 * @param defaultNamespace namespace of objects that name none
 */
export function readManifestFile(file: string, text: string, defaultNamespace = "default"): ManifestFile {
  const places = new Map<string, (path: FieldPath) => string>()
  const whereOf = (key: string, path: FieldPath): string => places.get(key)?.(path) ?? file
  const objects = new Map<string, ClusterObject>()
  const problems: Problem[] = []
  let incomplete = false
  const take = (raw: unknown, path: FieldPath, source: Source): void => {
    if (raw === null || raw === undefined) return
    const place = (field: FieldPath): string =>
      `${file}, document ${source.document}, line ${source.lineOf([...path, ...field])}`
    const complain = (error: FieldError, after: string): void => {
      problems.push({
        where: place(error.path),
        message: `${dotted(error.path)} ${error.message}${nameOf(raw)}${after}`,
      })
    }
    try {
      if (isList(raw)) {
        for (const [index, item] of raw.items.entries()) take(item, [...path, "items", index], source)
        return
      }
      const { object, warnings } = readObject(placed(raw, defaultNamespace))
      for (const warning of warnings) complain(warning, "")
      if (object === null) return
      objects.set(objectKey(object), object)
      places.set(objectKey(object), place)
    } catch (error) {
      if (!(error instanceof FieldError)) throw error
      incomplete = true
      for (const one of [error, ...error.more]) complain(one, "; the object's last good state stays in force")
    }
  }
  const json = plainJson(text)
  if (json !== undefined) {
    let located: Source["lineOf"] | undefined
    take(json, [], {
      file,
      document: 1,
      lineOf: path => {
        located ??= lineFinder(text)
        return located(path)
      },
    })
    return { objects, problems, incomplete, whereOf }
  }
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines })
  if ("empty" in documents) return { objects, problems, incomplete, whereOf }
  for (const [index, document] of documents.entries()) {
    const number = index + 1
    const bad = document.errors[0]
    let raw: unknown
    let reason = bad?.message.split("\n", 1)[0]?.replace(/ at line \d+, column \d+:?$/, "")
    if (reason === undefined) {
      try {
        raw = document.toJS({ maxAliasCount: MAX_YAML_ALIASES })
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error)
      }
    }
    if (reason !== undefined) {
      incomplete = true
      const line = bad?.linePos?.[0].line ?? lines.linePos(document.range?.[0] ?? 0).line
      problems.push({
        where: `${file}, document ${number}, line ${line}`,
        message: `not YAML: ${reason}; the file's last good state stays in force`,
      })
      continue
    }
    take(raw, [], { file, document: number, lineOf: path => lineOf(document, lines, path) })
  }
  return { objects, problems, incomplete, whereOf }
}

/** An object with a namespace; what is none of ours, or no object at all, is left to its reader. */
function placed(raw: unknown, namespace: string): unknown {
  const { metadata } = raw as { metadata?: unknown }
  if (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)) return raw
  return { ...(raw as object), metadata: { namespace, ...metadata } }
}

function isList(raw: unknown): raw is { items: unknown[] } {
  return typeof raw === "object" && raw !== null && "items" in raw && Array.isArray(raw.items)
}

/** JSON is read by the faster parser; undefined when the text is something else. */
function plainJson(text: string): unknown {
  if (!text.trimStart().startsWith("{")) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function lineFinder(text: string): Source["lineOf"] {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines })
  const document = "empty" in documents ? undefined : documents[0]
  return path => (document === undefined ? 1 : lineOf(document, lines, path))
}

/** Line of a field, or of the nearest field above it that is there. */
function lineOf(document: Document, lines: LineCounter, path: FieldPath): number {
  for (let length = path.length; length > 0; length--) {
    let node: unknown
    try {
      node = document.getIn(path.slice(0, length), true)
    } catch {
      continue
    }
    const start = isNode(node) ? node.range?.[0] : undefined
    if (start !== undefined && start > 0) return lines.linePos(start).line
  }
  const start = document.contents?.range?.[0] ?? document.range?.[0] ?? 0
  return lines.linePos(start).line
}

function dotted(path: FieldPath): string {
  let text = ""
  for (const step of path) {
    if (typeof step === "number") text += `[${step}]`
    else if (/[./]/.test(step)) text += `["${step}"]`
    else text += text === "" ? step : `.${step}`
  }
  return text === "" ? "the document" : text
}

function nameOf(raw: unknown): string {
  const object = raw as { kind?: unknown; metadata?: { name?: unknown } | null }
  if (typeof object.kind !== "string") return ""
  return typeof object.metadata?.name === "string"
    ? ` in ${object.kind} "${object.metadata.name}"`
    : ` in a ${object.kind}`
}
