// `conduit uninject` on text: gives back what was there before inject, byte for byte where nobody changed it since.
import { parse } from "yaml"
import { CREATED_BY_ANNOTATION, INJECT_ANNOTATION, type Meaning, uninject } from "../inject/mod.ts"
import { type Fields, pointerStep } from "../yaml_edit/mod.ts"
import {
  type FoundObject,
  type Input,
  isFields,
  type Treated,
  type Treatment,
  treatInputs,
  type Workload,
} from "./documents.ts"
import { withTemplate } from "./inject_documents.ts"

/**
 * Takes the proxy out of every workload of some inputs. All or nothing, see `treatInputs`.
 *
 * @throws ManifestProblems
 */
export function uninjectInputs(inputs: readonly Input[]): Treated[] {
  return treatInputs(inputs, found => {
    if (found.workload !== null) return treatWorkload(found, found.workload)
    if (found.kind === "Namespace" && found.object.apiVersion === "v1") return treatNamespace(found)
    if (found.kind === "") return { outcome: "skipped", reason: "it is no Kubernetes object" }
    return { outcome: "skipped" }
  })
}

function treatWorkload(found: FoundObject, { template, path }: Workload): Treatment {
  const meaning = meaningIn(found, template as unknown as Fields)
  const { template: after, uninjected, skipped, restore } = uninject(template, meaning)
  if (!uninjected) return { outcome: "skipped", ...(skipped === null ? {} : { reason: skipped }) }
  const prefix = path.map(pointerStep).join("")
  return {
    outcome: "uninjected",
    change: {
      before: found.object,
      after: withTemplate(found.object, path, after),
      restore: new Map([...restore].map(([pointer, text]) => [prefix + pointer, text])),
    },
  }
}

/** A Namespace that inject annotated has the same marks as a template, and its own choice is not touched. */
function treatNamespace(found: FoundObject): Treatment {
  const metadata = isFields(found.object.metadata) ? found.object.metadata : {}
  const annotations = isFields(metadata.annotations) ? metadata.annotations : {}
  if (!String(annotations[CREATED_BY_ANNOTATION] ?? "").startsWith("conduit/")) {
    return { outcome: "skipped", reason: "not injected" }
  }
  const { [INJECT_ANNOTATION]: _choice, ...kept } = annotations
  const holder = { metadata: { ...metadata, annotations: kept }, spec: { containers: [] } }
  const { template, restore } = uninject(holder as never, meaningIn(found, found.object))
  return {
    outcome: "uninjected",
    change: { before: found.object, after: { ...found.object, metadata: template.metadata ?? {} }, restore },
  }
}

/** What recorded texts mean in this document: aliases, merges, values as they were written. */
function meaningIn(found: FoundObject, template: Fields): Meaning {
  const { source } = found
  return (pointer, text) => {
    if (text === null) return { value: mergedValue(found, template, pointer) }
    const alias = /^\s*\*(\S+)\s*$/.exec(text)
    if (alias !== null) {
      const name = alias[1] ?? ""
      return source.anchors.has(name) ? { value: source.anchors.get(name) } : undefined
    }
    try {
      return { value: parse(text.trim() === "" ? "null" : text, { intAsBigInt: true }) ?? null }
    } catch {
      return undefined
    }
  }
}

/** What a merge gives at a pointer, were the key not the mapping's own. */
function mergedValue({ source }: FoundObject, template: Fields, pointer: string): unknown {
  const steps = pointer
    .split("/")
    .slice(1)
    .map(step => step.replaceAll("~1", "/").replaceAll("~0", "~"))
  const key = steps.pop() ?? ""
  let holder: unknown = template
  for (const step of steps) holder = isFields(holder) ? holder[step] : undefined
  return isFields(holder) ? source.merged.get(holder)?.[key] : undefined
}
