// Where objects and their fields stand in manifest files, for who names an object and wants to lead to its line.
import { LineCounter, parseAllDocuments } from "yaml"
import { documentLine, expandFiles, flattenLists, readText } from "./load.ts"

/** An object's field. */
export interface FieldOfObject {
  readonly kind: string
  /** Empty for a cluster-wide kind. */
  readonly namespace: string
  readonly name: string
  /** Such as `spec.rules[1].backendRefs[0]`; empty for the object as a whole. */
  readonly field: string
}

/** A line of a file. */
export interface FileLine {
  readonly file: string
  /** From 1. */
  readonly line: number
}

/**
 * Reads files and folders, and finds fields in them: the line of the deepest part of a field's path that is there. Files that
 * cannot be read, and documents that are no YAML, hold nothing.
 */
export function placesIn(paths: readonly string[]): (field: FieldOfObject) => FileLine | null {
  const found = new Map<string, (path: readonly (string | number)[]) => FileLine>()
  for (const file of paths.flatMap(path => expandFiles(path, []))) {
    const text = readText(file, {}, [])
    if (text === null) continue
    const lines = new LineCounter()
    for (const document of parseAllDocuments(text, {
      lineCounter: lines,
      prettyErrors: false,
      merge: true,
    })) {
      if (document.errors.length > 0) continue
      let value: unknown
      try {
        value = document.toJS({ maxAliasCount: 100 })
      } catch {
        continue
      }
      if (value === null || typeof value !== "object") continue
      for (const [object, base] of flattenLists(value)) {
        const { kind, metadata } = object as {
          kind?: unknown
          metadata?: { name?: unknown; namespace?: unknown }
        }
        if (typeof kind !== "string" || typeof metadata?.name !== "string") continue
        const namespace = typeof metadata.namespace === "string" ? metadata.namespace : ANY_NAMESPACE
        found.set(`${kind}/${namespace}/${metadata.name}`, path => ({
          file,
          line: documentLine(document.contents, [...base, ...path], lines),
        }))
      }
    }
  }
  return ({ kind, namespace, name, field }) => {
    // One that names no namespace is put into whichever its user chose.
    const line = found.get(`${kind}/${namespace}/${name}`) ?? found.get(`${kind}/${ANY_NAMESPACE}/${name}`)
    return line?.(stepsOf(field)) ?? null
  }
}

const ANY_NAMESPACE = ""

/** `spec.rules[1]` and `metadata.annotations["a.b/c"]` as steps. */
function stepsOf(field: string): (string | number)[] {
  return [...field.matchAll(/\["([^"]*)"\]|\[(\d+)\]|[^.[\]]+/g)].map(([step, quoted, index]) =>
    quoted !== undefined ? quoted : index !== undefined ? Number(index) : step,
  )
}
