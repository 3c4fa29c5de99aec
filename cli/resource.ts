// Resource arguments as kubectl writes them: `deploy`, `deploy/web`, `deploy web api`, `deploy,sts`, plurals and short names.
import type { ArgsDef } from "citty"
import { didYouMean } from "../deploy/suggest/mod.ts"
import { UsageError } from "./failure.ts"

/** Kinds with figures: the API's name, then what people type for it. */
export const KINDS: Readonly<Record<string, readonly string[]>> = {
  deployment: ["deploy", "deployments"],
  statefulset: ["sts", "statefulsets"],
  daemonset: ["ds", "daemonsets"],
  replicaset: ["rs", "replicasets"],
  job: ["jobs"],
  cronjob: ["cj", "cronjobs"],
  pod: ["po", "pods"],
  service: ["svc", "services"],
  namespace: ["ns", "namespaces"],
}

/** The short word of each kind, for completion. */
export const KIND_WORDS: readonly string[] = Object.entries(KINDS).map(([kind, words]) =>
  ["deploy", "sts", "ds", "rs", "svc", "ns"].includes(words[0] ?? "") ? (words[0] ?? kind) : kind,
)

/** `[RESOURCE]` of commands that show every Deployment when they are told nothing; see `resourcesOrDeployments`. */
export const RESOURCE_ARGUMENT = {
  resource: {
    type: "positional",
    valueHint: "RESOURCE",
    description: "deploy or deploy/web (default: deploy)",
    required: false,
  },
} as const satisfies ArgsDef

/** `-l`, as kubectl takes it. */
export const SELECTOR_FLAG = {
  selector: {
    type: "string",
    alias: "l",
    valueHint: "LABELS",
    description: "only resources with these labels",
  },
} as const satisfies ArgsDef

/** A kind, and a name or "" for all of the kind. */
export interface ResourceArgument {
  readonly kind: string
  readonly name: string
}

/**
 * The kind that a word means; a group suffix as in `deployments.apps` is accepted.
 *
 * @throws UsageError when there is no such kind
 */
export function kindOf(word: string): string {
  const typed = word.toLowerCase().split(".")[0] ?? ""
  for (const [kind, words] of Object.entries(KINDS)) {
    if (kind === typed || words.includes(typed)) return kind
  }
  if (["route", "routes", "httproute", "grpcroute"].includes(typed))
    throw new UsageError(
      `"${word}" has no figures of its own here; conduit routes svc/NAME shows traffic per route`,
    )
  const known = Object.entries(KINDS).flatMap(([kind, words]) => [...words, kind])
  throw new UsageError(
    `no resource is called "${word}"${didYouMean(typed, known)}; try ${KIND_WORDS.join(", ")}`,
  )
}

/**
 * Reads resource arguments.
 *
 * @param words `deploy`, `deploy/web sts/db`, `deploy web api` or `deploy,sts`
 * @throws UsageError when a kind is unknown, or the two notations are mixed
 */
export function parseResources(words: readonly string[]): ResourceArgument[] {
  const first = words[0]
  if (first === undefined) return []
  if (first.includes("/")) {
    return words.map(word => {
      const [kind, name, ...more] = word.split("/")
      if (kind === undefined || !kind || !name || more.length > 0) {
        throw new UsageError(`"${word}" is no resource; write TYPE/NAME, such as deploy/web`)
      }
      return { kind: kindOf(kind), name }
    })
  }
  const kinds = first.split(",").map(kindOf)
  const names = words.slice(1)
  const slashed = names.find(name => name.includes("/"))
  if (slashed !== undefined) {
    throw new UsageError(`"${first} ${slashed}" mixes two notations; write deploy/web svc/web, or deploy web`)
  }
  if (names.length === 0) return kinds.map(kind => ({ kind, name: "" }))
  return kinds.flatMap(kind => names.map(name => ({ kind, name })))
}

/** What RESOURCE_ARGUMENT was given: every Deployment for nothing. @throws UsageError as `parseResources` */
export function resourcesOrDeployments(words: readonly string[]): ResourceArgument[] {
  return parseResources(words.length === 0 ? ["deploy"] : words)
}

/**
 * What to ask the API for. Namespaces are in no namespace themselves.
 *
 * @param namespace  "" is all of them
 * @param selector  labels, as kubectl takes them; undefined is all
 */
export function queryOf({ kind, name }: ResourceArgument, namespace: string, selector: string | undefined) {
  return { namespace: kind === "namespace" ? "" : namespace, kind, name, labelSelector: selector ?? "" }
}

/** Resources as a sentence names them, such as `deploy/web, sts`. */
export function resourcesText(resources: readonly ResourceArgument[]): string {
  return resources.map(({ kind, name }) => resourceText(kind, name)).join(", ")
}

/** A kind in the plural, such as `deployments`. */
export function pluralOf(kind: string): string {
  return KINDS[kind]?.at(-1) ?? kind
}

/** A resource as people write it, such as `deploy/web`. */
export function resourceText(kind: string, name: string): string {
  const word = KINDS[kind]?.[0]
  const short = word !== undefined && KIND_WORDS.includes(word) ? word : kind
  return name === "" ? short : `${short}/${name}`
}

/**
 * The resource that a flag such as `--from` names; undefined without the flag.
 *
 * @throws UsageError unless it names one resource
 */
export function peerOf(word: string | undefined, flag: string): ResourceArgument | undefined {
  if (word === undefined) return undefined
  const [one, ...more] = parseResources([word])
  if (one === undefined || more.length > 0)
    throw new UsageError(`${flag} takes one resource, such as deploy/web`)
  return one
}

/** The same as the API takes it. */
export function selectorOf(one: ResourceArgument | undefined, namespace: string) {
  if (one === undefined) return undefined
  return { namespace: one.kind === "namespace" ? "" : namespace, kind: one.kind, name: one.name }
}
