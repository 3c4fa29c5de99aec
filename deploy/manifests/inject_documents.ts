// `conduit inject` on text: which objects of a stream get a proxy, and the note that lets uninject give the text back.
import {
  annotate,
  BEFORE_ANNOTATION,
  CREATED_BY_ANNOTATION,
  checkSettings,
  endsByItself,
  INJECT_ANNOTATION,
  type InjectOptions,
  inject,
  type PodTemplate,
  SETTING_PREFIX,
  SettingError,
} from "../inject/mod.ts"
import {
  type Change,
  type Fields,
  parseSource,
  pointerStep,
  replacedTexts,
  splitStream,
  YamlError,
} from "../yaml_edit/mod.ts"
import {
  type FoundObject,
  type Input,
  isFields,
  ManifestProblems,
  objectsOf,
  type Treated,
  type Treatment,
  treatInputs,
  type Workload,
} from "./documents.ts"

/** What holds for a whole run. */
export interface InjectRun
  extends Omit<
    InjectOptions,
    "namespace" | "workload" | "namespaceAnnotations" | "byDefault" | "nativeSidecar"
  > {
  /** Namespace of objects that name none; empty when that is left to whoever applies them. */
  readonly namespace: string
  /** Only annotate, so that the webhook injects when pods are made. */
  readonly onlyAnnotate: boolean
}

/** Namespaces of Kubernetes itself; what is said there decides about the cluster's own pods. */
const SYSTEM_NAMESPACES = ["kube-system", "kube-public", "kube-node-lease"]
/** Words that YAML 1.1, and so Kubernetes, reads as true or false. */
const SWITCH_WORDS = /^(?:y|n|yes|no|on|off)$/i

/**
 * Injects every workload of some inputs. All or nothing, see `treatInputs`.
 *
 * @throws ManifestProblems
 */
export function injectInputs(inputs: readonly Input[], run: InjectRun): Treated[] {
  const namespaces = namespaceAnnotations(inputs)
  return treatInputs(inputs, found => {
    if (found.workload !== null) return treatWorkload(found, found.workload, run, namespaces)
    if (found.kind === "Namespace" && found.object.apiVersion === "v1") return treatNamespace(found, run)
    if (found.kind === "") return { outcome: "skipped", reason: "it is no Kubernetes object" }
    return { outcome: "skipped" }
  })
}

/** What the Namespaces among the inputs say; their settings hold for workloads wherever those stand. */
function namespaceAnnotations(inputs: readonly Input[]): Map<string, Record<string, string>> {
  const namespaces = new Map<string, Record<string, string>>()
  for (const { text } of inputs) {
    if (!text.includes("Namespace")) continue
    for (const piece of splitStream(text)) {
      if (!/kind["']?\s*:\s*["']?Namespace\b/.test(piece.text)) continue
      for (const object of namespacesIn(piece.text, piece.json)) {
        const { name, annotations } = isFields(object.metadata) ? object.metadata : {}
        if (typeof name === "string" && isFields(annotations)) {
          const texts = Object.entries(annotations).filter(([, value]) => typeof value === "string")
          namespaces.set(name, Object.fromEntries(texts) as Record<string, string>)
        }
      }
    }
  }
  return namespaces
}

function namespacesIn(text: string, json: boolean): Fields[] {
  try {
    return [...objectsOf(parseSource(text, json).value)].filter(object => object.kind === "Namespace")
  } catch (error) {
    // It is reported when its turn comes.
    if (error instanceof YamlError) return []
    throw error
  }
}

function treatWorkload(
  found: FoundObject,
  workload: Workload,
  run: InjectRun,
  namespaces: ReadonlyMap<string, Record<string, string>>,
): Treatment {
  const { template, path, kind } = workload
  checkAnnotations(found, [...path, "metadata", "annotations"], template.metadata?.annotations)
  const namespace = found.namespace || run.namespace
  const options: InjectOptions = {
    ...run,
    namespace,
    workload: { kind, name: found.name },
    byDefault: "enabled",
    nativeSidecar: endsByItself(template, kind),
    ...definedAnnotations(namespaces.get(namespace)),
  }
  const {
    template: after,
    injected,
    skipped,
    warnings,
  } = withPlace(found, path, () =>
    run.onlyAnnotate ? annotate(template, options) : inject(template, options),
  )
  if (!injected) return { outcome: "skipped", ...(skipped === null ? {} : { reason: skipped }), warnings }
  return {
    outcome: run.onlyAnnotate ? "annotated" : "injected",
    warnings: [...warnings, ...misplaced(found, path)],
    change: remembered(found, path, after),
  }
}

function definedAnnotations(annotations: Record<string, string> | undefined): Partial<InjectOptions> {
  if (annotations === undefined) return {}
  try {
    checkSettings(annotations)
    return { namespaceAnnotations: annotations }
  } catch (error) {
    // Reported once, at the Namespace.
    if (error instanceof SettingError) return {}
    throw error
  }
}

/** Settings that people put on the workload instead of on its pods, where nobody reads them. */
function misplaced(found: FoundObject, path: readonly string[]): string[] {
  if (path.length === 0) return []
  const annotations = isFields(found.object.metadata) ? found.object.metadata.annotations : undefined
  const names = Object.keys(isFields(annotations) ? annotations : {})
  return names
    .filter(name => name.startsWith(SETTING_PREFIX) || name === INJECT_ANNOTATION)
    .map(
      name =>
        `${name} on the ${found.kind} itself means nothing; it belongs to ${path.join(".")}.metadata.annotations`,
    )
}

function treatNamespace(found: FoundObject, run: InjectRun): Treatment {
  const metadata = isFields(found.object.metadata) ? found.object.metadata : {}
  const annotations = isFields(metadata.annotations) ? metadata.annotations : {}
  checkAnnotations(found, ["metadata", "annotations"], annotations as Record<string, string>)
  withPlace(found, [], () => checkSettings(annotations as Record<string, string>))
  const choice = annotations[INJECT_ANNOTATION]
  if (choice === "enabled" && run.settings === undefined) {
    return { outcome: "skipped", reason: `already ${INJECT_ANNOTATION}: enabled` }
  }
  if (choice !== undefined) return { outcome: "skipped", reason: `${INJECT_ANNOTATION}: ${choice}` }
  if (found.name === run.conduitNamespace) return { outcome: "skipped", reason: "it is the control plane's" }
  if (SYSTEM_NAMESPACES.includes(found.name)) return { outcome: "skipped", reason: "it is Kubernetes' own" }
  const after = {
    ...found.object,
    metadata: {
      ...metadata,
      annotations: {
        ...annotations,
        [INJECT_ANNOTATION]: "enabled",
        [CREATED_BY_ANNOTATION]: `conduit/${run.version}`,
      },
    },
  }
  return { outcome: "annotated", change: remembered(found, [], after as never) }
}

/** The change to a template; what it replaces as text is noted in it for uninject. */
function remembered(found: FoundObject, path: readonly string[], template: PodTemplate): Change {
  const change: Change = { before: found.object, after: withTemplate(found.object, path, template) }
  const prefix = path.map(pointerStep).join("")
  const texts: [string, string | null][] = []
  for (const [pointer, text] of replacedTexts(found.source, change)) {
    if (!pointer.startsWith(prefix)) {
      const steps = pointer.split("/").slice(1)
      const place = steps.join(".")
      throw new ManifestProblems([
        found.problem(
          steps,
          `${place} of ${found.kind} "${found.name}" is shared with another object by an alias or a merge; write it out there`,
        ),
      ])
    }
    texts.push([pointer.slice(prefix.length), text])
  }
  const known = texts.filter(([pointer]) => !OUR_POINTERS.includes(pointer))
  if (known.length === 0) return change
  const metadata = template.metadata ?? {}
  const noted = { ...parsed(metadata.annotations?.[BEFORE_ANNOTATION]), ...Object.fromEntries(known) }
  const annotations = { ...metadata.annotations, [BEFORE_ANNOTATION]: JSON.stringify(noted) }
  return {
    before: found.object,
    after: withTemplate(found.object, path, { ...template, metadata: { ...metadata, annotations } }),
  }
}

const OUR_POINTERS: readonly string[] = [CREATED_BY_ANNOTATION, BEFORE_ANNOTATION].map(
  name => `/metadata/annotations${pointerStep(name)}`,
)

function parsed(text: string | undefined): object {
  return text === undefined ? {} : (JSON.parse(text) as object)
}

/** The object with another template. */
export function withTemplate(object: Fields, path: readonly string[], template: PodTemplate): Fields {
  const [step, ...rest] = path
  if (step === undefined) return template as unknown as Fields
  return { ...object, [step]: withTemplate((object[step] ?? {}) as Fields, rest, template) }
}

/** Kubernetes takes annotations that are text only. @throws ManifestProblems */
function checkAnnotations(
  found: FoundObject,
  path: readonly string[],
  annotations: Readonly<Record<string, unknown>> | null | undefined,
): void {
  if (annotations === null || annotations === undefined) return
  for (const [name, value] of Object.entries(annotations)) {
    if (!name.startsWith(SETTING_PREFIX) && name !== INJECT_ANNOTATION) continue
    const fail = (sentence: string): never => {
      throw new ManifestProblems([
        found.problem([...path, name], `annotation ${name} of ${found.kind} "${found.name}" ${sentence}`),
      ])
    }
    const plain = found.source.plain.get(annotations)?.get(name)
    if (typeof value !== "string" || (plain !== undefined && SWITCH_WORDS.test(plain))) {
      fail(`is ${plain ?? JSON.stringify(value)}, which Kubernetes does not take for text; put it in quotes`)
    }
    if (name === INJECT_ANNOTATION && value !== "enabled" && value !== "disabled") {
      fail(`is "${value}"; it must be enabled or disabled`)
    }
  }
}

/** Gives a setting that cannot be used its place. @throws ManifestProblems */
function withPlace<Result>(found: FoundObject, path: readonly string[], act: () => Result): Result {
  try {
    return act()
  } catch (error) {
    if (!(error instanceof SettingError)) throw error
    const place = [...path, "metadata", "annotations", error.annotation]
    throw new ManifestProblems([found.problem(place, `${found.kind} "${found.name}": ${error.message}`)])
  }
}
