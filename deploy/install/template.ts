// One description of the control plane's objects that is read two ways: with values put in (conduit install), and as
// the templates of a Helm chart. So the two cannot disagree.

/** A Kubernetes object as it is printed. */
export interface InstallObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

/** A place in a tree that is not fixed. */
export class Hole {
  readonly what: HoleKind

  constructor(what: HoleKind) {
    this.what = what
  }
}

type HoleKind =
  | { readonly is: "value"; readonly path: string }
  | { readonly is: "base64"; readonly path: string }
  | { readonly is: "text"; readonly parts: readonly (string | Hole)[] }
  | { readonly is: "namespace" }
  | { readonly is: "version" }
  /** All values but keys, as JSON. */
  | { readonly is: "config" }
  | { readonly is: "when"; readonly path: string; readonly then: Tree; readonly otherwise: Tree | undefined }
  | { readonly is: "commented"; readonly comment: string; readonly tree: Tree }

/** Plain data with holes in it. A `when` without an alternative leaves out the field or the item that it stands for. */
export type Tree =
  | string
  | number
  | boolean
  | null
  | Hole
  | readonly Tree[]
  | { readonly [field: string]: Tree }

/** A value, of whatever shape, by its dotted path. */
export function value(path: string): Hole {
  return new Hole({ is: "value", path })
}

/** A text value in base64, as Secrets hold it. */
export function base64(path: string): Hole {
  return new Hole({ is: "base64", path })
}

/** A string made of fixed parts and values. */
export function text(...parts: (string | Hole)[]): Hole {
  return new Hole({ is: "text", parts })
}

/** The control plane's namespace. */
export const NAMESPACE = new Hole({ is: "namespace" })

/** This release. */
export const VERSION = new Hole({ is: "version" })

/** All values as JSON in one order, without the issuer's certificate and key. */
export const CONFIG = new Hole({ is: "config" })

/** `then` where the value is set (not false, 0 nor empty), else `otherwise`, or nothing. */
export function when(path: string, then: Tree, otherwise?: Tree): Hole {
  return new Hole({ is: "when", path, then, otherwise })
}

/** A list item with a comment before it. */
export function commented(comment: string, tree: Tree): Hole {
  return new Hole({ is: "commented", comment, tree })
}

/** What holes are filled with. */
export interface Filling {
  readonly namespace: string
  /** This release. */
  readonly version: string
  readonly values: Readonly<Record<string, unknown>>
}

const LEFT_OUT = Symbol("left out")

/**
 * The tree with its holes filled; undefined when all of it is left out.
 *
 * @throws Error for a path that the values lack: a mistake in the description
 */
export function fill(tree: Tree, filling: Filling): unknown {
  const filled = filledOf(tree, filling)
  return filled === LEFT_OUT ? undefined : filled
}

function filledOf(tree: Tree, filling: Filling): unknown {
  if (tree instanceof Hole) return filledHole(tree, filling)
  if (Array.isArray(tree)) {
    return tree.map(item => filledOf(item, filling)).filter(item => item !== LEFT_OUT)
  }
  if (typeof tree !== "object" || tree === null) return tree
  const entries = Object.entries(tree).map(([name, item]) => [name, filledOf(item, filling)] as const)
  return Object.fromEntries(entries.filter(([, item]) => item !== LEFT_OUT))
}

function filledHole({ what }: Hole, filling: Filling): unknown {
  switch (what.is) {
    case "value":
      return valueAt(what.path, filling.values)
    case "base64":
      return Buffer.from(String(valueAt(what.path, filling.values))).toString("base64")
    case "namespace":
      return filling.namespace
    case "version":
      return filling.version
    case "config":
      return configText(filling.values)
    case "text":
      return what.parts
        .map(part => (typeof part === "string" ? part : String(filledHole(part, filling))))
        .join("")
    case "commented":
      return filledOf(what.tree, filling)
    case "when":
      if (isSet(valueAt(what.path, filling.values))) return filledOf(what.then, filling)
      return what.otherwise === undefined ? LEFT_OUT : filledOf(what.otherwise, filling)
  }
}

/** A value by its dotted path. */
export function valueAt(path: string, values: unknown): unknown {
  let at = values
  for (const name of path.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name))
      throw new Error(`install: no value ${path}`)
    at = (at as Record<string, unknown>)[name]
  }
  return at
}

function configText({ identity: _, ...values }: Readonly<Record<string, unknown>>): string {
  return JSON.stringify(sorted(values), null, 2)
}

/** The same data with the fields of every mapping in the order of their names. */
export function sorted(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(sorted)
  if (typeof node !== "object" || node === null) return node
  const entries = Object.entries(node).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([name, one]) => [name, sorted(one)]))
}

/** As Go's templates take it: false, 0, null, and whatever is empty are not set. */
export function isSet(found: unknown): boolean {
  if (Array.isArray(found)) return found.length > 0
  if (typeof found === "object" && found !== null) return Object.keys(found).length > 0
  return Boolean(found)
}
