// Takes out of a pod template what inject put there, whichever version did; pure.
import {
  BEFORE_ANNOTATION,
  CONTROL_PLANE_LABEL,
  CREATED_BY_ANNOTATION,
  INIT_CONTAINER,
  isInjected,
  NAMESPACE_LABEL,
  PROXY_CONTAINER,
  PROXY_VERSION_ANNOTATION,
  TOKEN_VOLUME,
  VALIDATE_CONTAINER,
} from "./marks.ts"
import type { ObjectMeta, PodSpec, PodTemplate } from "./pod_spec.ts"

const OUR_CONTAINERS = [PROXY_CONTAINER, INIT_CONTAINER, VALIDATE_CONTAINER]
const OUR_ANNOTATIONS = [CREATED_BY_ANNOTATION, PROXY_VERSION_ANNOTATION, BEFORE_ANNOTATION]
const OUR_LABELS = [
  CONTROL_PLANE_LABEL,
  NAMESPACE_LABEL,
  ...["deployment", "statefulset", "daemonset", "replicaset", "job", "cronjob"].map(
    kind => `conduit.io/${kind}`,
  ),
]

/** What uninject did. `template` is a new object when something was taken out, the given one otherwise. */
export interface UninjectResult {
  readonly template: PodTemplate
  readonly uninjected: boolean
  /** Why nothing was taken out; null when it was. */
  readonly skipped: string | null
  /** Texts that stood in the template before inject, by JSON pointer; null where nothing did. */
  readonly restore: ReadonlyMap<string, string | null>
}

/** Says what a recorded text stands for where the template is; undefined when that cannot be known any more. */
export type Meaning = (pointer: string, text: string | null) => { readonly value: unknown } | undefined

type Fields = Record<string, unknown>

/**
 * Removes the proxy, its volume, and the mesh's labels and annotations; puts back what inject replaced.
 *
 * Pure: the given template is not changed. What a person changed since then is kept: a recorded value goes back only
 * where what is left without Conduit still means the same.
 */
export function uninject(template: PodTemplate, meaning: Meaning = jsonMeaning): UninjectResult {
  // Of a template that was only annotated there is the record, and no proxy yet.
  if (!isInjected(template) && template.metadata?.annotations?.[BEFORE_ANNOTATION] === undefined) {
    return { template, uninjected: false, skipped: "not injected", restore: new Map() }
  }
  const recorded = recordOf(template)
  const spec: PodSpec = { ...template.spec }
  spec.containers = without(spec.containers, OUR_CONTAINERS)
  drop(spec, "initContainers", without(spec.initContainers ?? [], OUR_CONTAINERS))
  drop(spec, "volumes", without(spec.volumes ?? [], [TOKEN_VOLUME]))
  const metadata: ObjectMeta = { ...template.metadata }
  drop(metadata, "labels", withoutKeys(metadata.labels, OUR_LABELS))
  drop(metadata, "annotations", withoutKeys(metadata.annotations, OUR_ANNOTATIONS))
  const bare: PodTemplate = { ...template, metadata, spec }
  // The deepest first: what holds them may have been replaced as a whole.
  const restore = new Map<string, string | null>()
  for (const [pointer, text] of [...recorded].sort((a, b) => b[0].length - a[0].length)) {
    if (putBack(bare as unknown as Fields, pointer, meaning(pointer, text))) restore.set(pointer, text)
    const isBare = metadata.annotations !== undefined && Object.keys(metadata.annotations ?? {}).length === 0
    if (isBare && !recorded.has("/metadata/annotations")) delete metadata.annotations
  }
  if (bare.metadata === metadata && Object.keys(metadata).length === 0) delete bare.metadata
  const whole = recorded.get("")
  if (whole !== undefined && sameData(bare, meaning("", whole)?.value)) restore.set("", whole)
  return { template: bare, uninjected: true, skipped: null, restore }
}

function recordOf(template: PodTemplate): Map<string, string | null> {
  const text = template.metadata?.annotations?.[BEFORE_ANNOTATION]
  if (text === undefined) return new Map()
  try {
    const entries = Object.entries(JSON.parse(text) as object)
    return new Map(entries.filter(([, value]) => value === null || typeof value === "string"))
  } catch {
    // Somebody edited it: what it said is lost, what can be told without it is taken out all the same.
    return new Map()
  }
}

/** The list without named items; the same list when it has none of them. */
function without<Item extends { name: string }>(list: Item[], names: readonly string[]): Item[] {
  const left = list.filter(item => !names.includes(item.name))
  return left.length === list.length ? list : left
}

function withoutKeys(
  fields: Record<string, string> | undefined,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(Object.entries(fields ?? {}).filter(([name]) => !names.includes(name)))
}

/** Sets what is left of a collection; one that uninject emptied was made by inject, unless the record says otherwise. */
function drop<Holder extends object, Key extends keyof Holder>(
  holder: Holder,
  key: Key,
  left: Holder[Key],
): void {
  const before = Object.keys((holder[key] as object | null | undefined) ?? {}).length
  const after = Object.keys(left as object).length
  if (before === after) return
  if (after > 0) holder[key] = left
  else delete holder[key]
}

/** Puts a recorded value back; false when something else is there now. */
function putBack(template: Fields, pointer: string, known: { readonly value: unknown } | undefined): boolean {
  if (known === undefined) return false
  const steps = pointer
    .split("/")
    .slice(1)
    .map(step => step.replaceAll("~1", "/").replaceAll("~0", "~"))
  const key = steps.pop()
  let holder: Fields | undefined = template
  for (const step of steps) {
    const next: unknown = holder?.[step]
    holder = typeof next === "object" && next !== null ? (next as Fields) : undefined
  }
  if (holder === undefined || key === undefined) return false
  const left = holder[key]
  const { value } = known
  const isCollection = typeof left === "object" && left !== null
  if (isCollection && !sameData(left, value)) return false
  if (value === undefined) delete holder[key]
  else holder[key] = value
  return true
}

/** Whether two values are the same data; nothing and emptiness are. */
function sameData(a: unknown, b: unknown): boolean {
  if (isEmpty(a) && isEmpty(b)) return true
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return a === b
  const keys = Object.keys(a)
  return (
    Array.isArray(a) === Array.isArray(b) &&
    keys.length === Object.keys(b).length &&
    keys.every(key => Object.hasOwn(b, key) && sameData((a as Fields)[key], (b as Fields)[key]))
  )
}

function isEmpty(value: unknown): boolean {
  return (
    value === undefined || value === null || (typeof value === "object" && Object.keys(value).length === 0)
  )
}

function jsonMeaning(_pointer: string, text: string | null): { readonly value: unknown } | undefined {
  if (text === null) return { value: undefined }
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}
