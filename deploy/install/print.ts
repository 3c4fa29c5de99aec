// Writes the description of objects as YAML, comments kept: with values filled in for kubectl, or with its holes as the
// templates of a Helm chart.
import { type Filling, fill, Hole, isSet, type Tree, valueAt } from "./template.ts"

/** How holes are written. */
export type Ink =
  | { readonly as: "yaml"; readonly filling: Filling }
  /** `isStructure` tells whether a value is a list or a mapping. */
  | { readonly as: "helm"; readonly isStructure: (path: string) => boolean }

/** The document of an object; empty when its hole leaves it out. */
export function printTree(tree: Tree, ink: Ink): string {
  const lines = blockLines(tree, "", ink)
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`
}

function blockLines(tree: Tree, indent: string, ink: Ink): string[] {
  if (tree instanceof Hole) return branch(tree, indent, ink, one => blockLines(one, indent, ink))
  if (Array.isArray(tree)) return tree.flatMap(item => itemLines(item, indent, ink))
  if (typeof tree !== "object" || tree === null) return [`${indent}${scalar(tree)}`]
  return Object.entries(tree).flatMap(([name, one]) => fieldLines(name, one, indent, ink))
}

/** A `when` or a comment around something that `print` writes. */
function branch({ what }: Hole, indent: string, ink: Ink, print: (tree: Tree) => string[]): string[] {
  if (what.is === "commented") return [`${indent}# ${what.comment}`, ...print(what.tree)]
  if (what.is !== "when") throw new Error(`install: a ${what.is} cannot stand for a block`)
  const { path, then, otherwise } = what
  if (ink.as === "yaml") {
    if (isSet(valueAt(path, ink.filling.values))) return print(then)
    return otherwise === undefined ? [] : print(otherwise)
  }
  const rest = otherwise === undefined ? [] : ["{{- else }}", ...print(otherwise)]
  return [`{{- if .Values.${path} }}`, ...print(then), ...rest, "{{- end }}"]
}

function isBranch(tree: Tree): tree is Hole {
  return tree instanceof Hole && (tree.what.is === "when" || tree.what.is === "commented")
}

function fieldLines(name: string, tree: Tree, indent: string, ink: Ink): string[] {
  if (isBranch(tree)) return branch(tree, indent, ink, one => fieldLines(name, one, indent, ink))
  const key = `${indent}${/^[A-Za-z][A-Za-z0-9./_-]*$/.test(name) ? name : JSON.stringify(name)}:`
  if (tree instanceof Hole) {
    const { what } = tree
    if (what.is !== "value") return [`${key} ${holeText(tree, ink)}`]
    if (ink.as === "yaml")
      return fieldLines(name, valueAt(what.path, ink.filling.values) as Tree, indent, ink)
    if (!ink.isStructure(what.path)) return [`${key} ${holeText(tree, ink)}`]
    return [key, `{{ toYaml .Values.${what.path} | indent ${indent.length + 2} }}`]
  }
  if (typeof tree !== "object" || tree === null) return [`${key} ${scalar(tree)}`]
  if (Object.keys(tree).length === 0) return [`${key} ${Array.isArray(tree) ? "[]" : "{}"}`]
  return [key, ...blockLines(tree, `${indent}  `, ink)]
}

function itemLines(tree: Tree, indent: string, ink: Ink): string[] {
  if (isBranch(tree)) return branch(tree, indent, ink, one => itemLines(one, indent, ink))
  if (tree instanceof Hole) return [`${indent}- ${holeText(tree, ink)}`]
  if (typeof tree !== "object" || tree === null) return [`${indent}- ${scalar(tree)}`]
  if (Object.keys(tree).length === 0) return [`${indent}- ${Array.isArray(tree) ? "[]" : "{}"}`]
  const [first = "", ...rest] = blockLines(tree, `${indent}  `, ink)
  return [`${indent}- ${first.slice(indent.length + 2)}`, ...rest]
}

/** Strings that are read as what they are without quotes: words, but none that YAML 1.1 takes for something else. */
function scalar(leaf: string | number | boolean | null): string {
  if (typeof leaf !== "string") return String(leaf)
  const plain =
    /^[A-Za-z/][A-Za-z0-9./_-]*$/.test(leaf) && !/^(y|n|yes|no|on|off|true|false|null)$/i.test(leaf)
  return plain ? leaf : JSON.stringify(leaf)
}

function holeText(hole: Hole, ink: Ink): string {
  if (ink.as === "yaml") return scalar(fill(hole, ink.filling) as string)
  return `{{ ${expression(hole)} | quote }}`
}

function expression({ what }: Hole): string {
  if (what.is === "namespace") return ".Release.Namespace"
  if (what.is === "version") return ".Chart.AppVersion"
  if (what.is === "value") return `.Values.${what.path}`
  if (what.is === "base64") return `.Values.${what.path} | b64enc`
  if (what.is === "config") return 'omit .Values "identity" | toPrettyJson'
  if (what.is !== "text") throw new Error(`install: a ${what.is} cannot be part of a text`)
  const format = what.parts
    .map(part => (typeof part === "string" ? part.replaceAll("%", "%%") : "%s"))
    .join("")
  const holes = what.parts.filter(part => part instanceof Hole).map(part => expression(part))
  return `printf ${JSON.stringify(format)} ${holes.join(" ")}`
}
