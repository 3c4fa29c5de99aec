// What a plugin may change about a pod that is injected: labels and annotations that are nobody else's. One reading for the
// control plane, which applies it, and for `conduit plugin check`, which tells a plugin's author.
import type { PatchOperation } from "../inject/mod.ts"
import { MAX_COMPLAINT_CHARS } from "./configuration.ts"

/** Longest patch of one plugin. */
export const MAX_PLUGIN_PATCH_BYTES = 65_536
/** Operations of one plugin's patch. */
export const MAX_PLUGIN_PATCH_OPERATIONS = 64

/** RFC 6901 path of one label or annotation. */
const PATH = /^\/metadata\/(labels|annotations)\/([^/]{1,512})$/
/** Path of all of them. */
const MAP_PATH = /^\/metadata\/(labels|annotations)$/
/** Ours, and Kubernetes' own. */
const RESERVED = /^([a-z0-9.-]+\.)?(conduit\.io|kubernetes\.io|k8s\.io)\//
const QUALIFIED = /^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const LABEL_VALUE = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/

/**
 * Reads a plugin's JSON Patch (RFC 6902). An empty map that it adds where the pod has none is left out: an injected pod has
 * both.
 *
 * @param metadata  of the pod as its author wrote it
 * @throws Error with a sentence for what is no such patch, or changes what a plugin may not
 */
export function readPodPatch(
  text: string,
  metadata: { readonly labels?: object; readonly annotations?: object } | undefined,
): PatchOperation[] {
  if (text === "") return []
  if (Buffer.byteLength(text) > MAX_PLUGIN_PATCH_BYTES)
    throw new Error(`its patch is longer than ${MAX_PLUGIN_PATCH_BYTES} bytes`)
  let patch: unknown
  try {
    patch = JSON.parse(text)
  } catch (error) {
    throw new Error(`its patch is no JSON: ${(error as Error).message}`, { cause: error })
  }
  if (!Array.isArray(patch) || patch.length > MAX_PLUGIN_PATCH_OPERATIONS)
    throw new Error(`its patch is no list of at most ${MAX_PLUGIN_PATCH_OPERATIONS} operations (RFC 6902)`)
  return patch.flatMap((entry: unknown, index): PatchOperation[] => {
    const { op, path, value } = (entry ?? {}) as Record<string, unknown>
    const at = `operation ${index} of its patch`
    const [, map = ""] = (typeof path === "string" ? MAP_PATH.exec(path) : null) ?? []
    if (
      map !== "" &&
      metadata?.[map as "labels" | "annotations"] === undefined &&
      op === "add" &&
      isEmpty(value)
    )
      return []
    const [, list = "", escaped = ""] = (typeof path === "string" ? PATH.exec(path) : null) ?? []
    const key = unescaped(escaped)
    const shown = String(path).slice(0, MAX_COMPLAINT_CHARS)
    if (list === "" || !QUALIFIED.test(key))
      throw new Error(
        `${at} is on ${JSON.stringify(shown)}: only labels and annotations are a plugin's to change`,
      )
    if (RESERVED.test(key)) throw new Error(`${at} is on ${key}, which is Conduit's or Kubernetes' own`)
    if (op === "remove") return [{ op, path: String(path) }]
    if (op !== "add" && op !== "replace") throw new Error(`${at} must add, replace or remove`)
    if (typeof value !== "string" || (list === "labels" && !LABEL_VALUE.test(value)))
      throw new Error(
        `${at} gives ${key} no value that a ${list === "labels" ? "label" : "annotation"} may have`,
      )
    return [{ op: "add", path: String(path), value }]
  })
}

/** Does what `readPodPatch` has read, as JSON, to a pod that has both maps. Empty text changes nothing. */
export function applyPodPatch(
  metadata: { labels?: Record<string, string>; annotations?: Record<string, string> },
  patchJson: string,
): void {
  if (patchJson === "") return
  for (const operation of JSON.parse(patchJson) as PatchOperation[]) {
    const [, list, escaped = ""] = PATH.exec(operation.path) ?? []
    const map = list === "labels" ? metadata.labels : metadata.annotations
    if (map === undefined) continue
    if (operation.op === "remove") delete map[unescaped(escaped)]
    else map[unescaped(escaped)] = String(operation.value)
  }
}

/** A token of a JSON Pointer (RFC 6901). */
function unescaped(token: string): string {
  return token.replaceAll("~1", "/").replaceAll("~0", "~")
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0
}
