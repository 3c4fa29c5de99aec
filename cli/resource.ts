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

/** Kinds of names that requests bear, which `conduit stat` has figures of: the API's name, then what people type for it. */
export const NAME_KINDS: Readonly<Record<string, readonly string[]>> = {
  authority: ["au", "authorities"],
  route: ["rt", "routes"],
}

/** Objects whose rules are routes. */
const ROUTE_OBJECTS = ["httproute", "httproutes", "grpcroute", "grpcroutes"]

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
 * @param names  whether the kinds of NAME_KINDS are taken, too
 * @throws UsageError when there is no such kind
 */
export function kindOf(word: string, names = false): string {
  const typed = word.toLowerCase().split(".")[0] ?? ""
  const found = kindIn(KINDS, typed)
  if (found !== undefined) return found
  const name = kindIn(NAME_KINDS, typed)
  if (name !== undefined && names) return name
  if (name === "authority")
    throw new UsageError(`"${word}" is no resource here; conduit stat authority shows traffic by authority`)
  if (name === "route" || ROUTE_OBJECTS.includes(typed))
    throw new UsageError(
      `"${word}" is no resource here; conduit routes svc/NAME shows traffic per route, conduit stat route of a namespace`,
    )
  const kinds = names ? { ...KINDS, ...NAME_KINDS } : KINDS
  const known = Object.entries(kinds).flatMap(([kind, words]) => [...words, kind])
  const some = [...KIND_WORDS, ...(names ? Object.keys(NAME_KINDS) : [])].join(", ")
  throw new UsageError(`no resource is called "${word}"${didYouMean(typed, known)}; try ${some}`)
}

function kindIn(kinds: Readonly<Record<string, readonly string[]>>, typed: string): string | undefined {
  return Object.entries(kinds).find(([kind, words]) => kind === typed || words.includes(typed))?.[0]
}

/**
 * Reads resource arguments.
 *
 * @param words `deploy`, `deploy/web sts/db`, `deploy web api` or `deploy,sts`
 * @param names  whether the kinds of NAME_KINDS are taken, too; their names may have slashes, as in `route/GET /books`
 * @throws UsageError when a kind is unknown, or the two notations are mixed
 */
export function parseResources(words: readonly string[], names = false): ResourceArgument[] {
  const first = words[0]
  if (first === undefined) return []
  if (first.includes("/")) {
    return words.map(word => {
      const [kind, ...parts] = word.split("/")
      const name = parts.join("/")
      const mayHaveMore = names && kind !== undefined && kindIn(NAME_KINDS, kind.toLowerCase()) !== undefined
      if (kind === undefined || !kind || !name || (parts.length > 1 && !mayHaveMore)) {
        throw new UsageError(`"${word}" is no resource; write TYPE/NAME, such as deploy/web`)
      }
      return { kind: kindOf(kind, names), name }
    })
  }
  const kinds = first.split(",").map(word => kindOf(word, names))
  const named = words.slice(1)
  const slashed = kinds.every(kind => kind in NAME_KINDS) ? undefined : named.find(name => name.includes("/"))
  if (slashed !== undefined) {
    throw new UsageError(`"${first} ${slashed}" mixes two notations; write deploy/web svc/web, or deploy web`)
  }
  if (named.length === 0) return kinds.map(kind => ({ kind, name: "" }))
  return kinds.flatMap(kind => named.map(name => ({ kind, name })))
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
  return (KINDS[kind] ?? NAME_KINDS[kind])?.at(-1) ?? kind
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
