// LIMITS.md: every limit that the code names, its value and its reason, read out of the code. `npm run generate` writes
// it; tests/unit/limits_test.ts sees to it that it is true.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const ROOT = join(import.meta.dir, "../..")

/** What is read, in the order of the document. */
const PARTS = [
  ["proxy", "The proxy"],
  ["control", "The control plane"],
  ["deploy", "The local cluster and the redirect"],
  ["cli", "The command line"],
] as const

const DECLARATION = /^export const ([A-Z][A-Z0-9_]*)(?:: number)? = ([0-9_ *.]+)$/
/** Words that a limit's name has; other constants are numbers of a protocol. */
const LIMIT =
  /MAX|MIN_|LIMIT|_MS$|BYTES|SECONDS|INTERVAL|_PER_|PROBES|FACTOR|SLOTS|SAMPLES|DIALS|PICKS|JITTER|INTERNED|BLOCKS|ASSUMED/
/** Numbers of a protocol that have such words in their names. */
const PROTOCOL_NUMBER = /^(SETTINGS|OUTCOME|WIRE|FRAME_HEAD|GRPC_PREFIX)/

/** A limit in the code. */
interface Limit {
  readonly file: string
  readonly name: string
  readonly value: string
  readonly reason: string
}

/** The document as it should be. */
export function limitsDocument(): string {
  const parts = PARTS.map(([folder, title]) => {
    const rows = filesBelow(folder)
      .flatMap(limitsOf)
      .map(
        ({ file, name, value, reason }) =>
          `| [${name}](${file}) | ${value} | ${reason.replaceAll("|", "\\|")} |`,
      )
    return `## ${title}\n\n| limit | value | why |\n| --- | --- | --- |\n${rows.join("\n")}\n`
  })
  return `# Limits\n\nEverything that grows or waits has a bound, named beside the code that it protects. This list is read out of the code\nby \`npm run generate\`.\n\n${parts.join("\n")}`
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter(file => file.endsWith(".ts") && !file.endsWith("_test.ts") && !file.includes("demo/"))
    .map(file => `${folder}/${file}`)
    .sort()
}

function limitsOf(file: string): Limit[] {
  const lines = readFileSync(join(ROOT, file), "utf8").split("\n")
  return lines.flatMap((line, index) => {
    const [, name = "", expression = ""] = DECLARATION.exec(line) ?? []
    if (!LIMIT.test(name) || PROTOCOL_NUMBER.test(name)) return []
    const value = expression
      .split("*")
      .map(factor => Number(factor.replaceAll("_", "")))
      .reduce((product, factor) => product * factor)
    return [{ file, name, value: withUnit(name, value), reason: commentAbove(lines, index) }]
  })
}

function commentAbove(lines: readonly string[], index: number): string {
  let first = index - 1
  while (first > 0 && !lines[first]?.startsWith("/**")) first--
  return lines
    .slice(first, index)
    .map(line => line.replace(/^\s*\/?\*+\/?/, "").replace(/\*\/$/, ""))
    .join(" ")
    .replaceAll(/\s+/g, " ")
    .trim()
}

function withUnit(name: string, value: number): string {
  if (name.endsWith("_SECONDS")) return `${value} s`
  if (/_MS$/.test(name)) {
    if (value >= 60_000 && value % 60_000 === 0) return `${value / 60_000} min`
    return value >= 1000 ? `${value / 1000} s` : `${value} ms`
  }
  if (/BYTES/.test(name)) {
    for (const [unit, size] of [
      ["MiB", 1024 * 1024],
      ["KiB", 1024],
    ] as const)
      if (value >= size && value % size === 0) return `${value / size} ${unit}`
    return `${value.toLocaleString("en")} B`
  }
  return value.toLocaleString("en")
}

if (import.meta.main) writeFileSync(join(ROOT, "LIMITS.md"), limitsDocument())
