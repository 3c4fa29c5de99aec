// Inject as a JSON patch (RFC 6902), which is what an admission webhook answers.
import { listChanges } from "../yaml_edit/mod.ts"
import { type InjectOptions, type InjectResult, inject } from "./inject.ts"
import type { PodTemplate } from "./pod_spec.ts"

/** One operation of RFC 6902; these three are all that inject needs. */
export type PatchOperation =
  | { readonly op: "add" | "replace"; readonly path: string; readonly value: unknown }
  | { readonly op: "remove"; readonly path: string }

/** What inject did, and the patch that does the same. */
export interface InjectPatch extends InjectResult {
  /** Relative to the template; empty when nothing was injected. */
  readonly patch: readonly PatchOperation[]
}

/** `inject` with its patch. @throws SettingError as `inject` */
export function injectPatch(template: PodTemplate, options: InjectOptions): InjectPatch {
  const result = inject(template, options)
  return { ...result, patch: jsonPatch(template, result.template) }
}

/** The operations that make `after` out of `before`, to be carried out in their order. */
export function jsonPatch(before: unknown, after: unknown, path = ""): PatchOperation[] {
  if (before === after) return []
  if (Array.isArray(before) && Array.isArray(after)) return listPatch(before, after, path)
  if (!isFields(before) || !isFields(after)) return [{ op: "replace", path, value: after }]
  const operations: PatchOperation[] = []
  for (const key of Object.keys(before)) {
    const at = path + step(key)
    if (after[key] === undefined) operations.push({ op: "remove", path: at })
    else operations.push(...jsonPatch(before[key], after[key], at))
  }
  for (const [key, value] of Object.entries(after)) {
    if (before[key] === undefined && value !== undefined)
      operations.push({ op: "add", path: path + step(key), value })
  }
  return operations
}

function listPatch(before: readonly unknown[], after: readonly unknown[], path: string): PatchOperation[] {
  const { removed, added } = listChanges(before, after)
  const operations: PatchOperation[] = removed
    .toReversed()
    .map(index => ({ op: "remove", path: `${path}/${index}` }))
  let shift = 0
  for (const { at, items } of added) {
    const place = at - removed.filter(index => index < at).length + shift
    for (const [index, value] of items.entries()) {
      operations.push({ op: "add", path: `${path}/${place + index}`, value })
    }
    shift += items.length
  }
  return operations
}

function step(key: string): string {
  return `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
