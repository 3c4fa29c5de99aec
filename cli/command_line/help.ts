// `--help`: a command's usage, flags, examples and sub-commands, rendered from its definition.
import {
  type AnyCommand,
  aliasesOf,
  argumentsOf,
  descriptionOf,
  type Entry,
  type NamedArgument,
  subCommandsOf,
  takesValue,
  typedName,
} from "./command.ts"
import { hintOf } from "./parse.ts"

/** How help is drawn. */
export interface HelpOptions {
  /** Whether headings may be bold. */
  readonly colour: boolean
  /** What a person types for `conduit`, in examples too. */
  readonly name: string
}

/** What the help of the whole program tells. */
export interface RootHelp {
  /** What it is, a line or two. */
  readonly about: string
  /** Its commands, in order. */
  readonly entries: readonly Entry[]
  readonly examples: readonly { readonly line: string; readonly why: string }[]
  /** A section besides. */
  readonly notes: { readonly title: string; readonly lines: readonly string[] }
}

/** Help of the whole program; needs no command's file. */
export function renderRootHelp(
  { about, entries, examples, notes }: RootHelp,
  globals: readonly NamedArgument[],
  options: HelpOptions,
): string {
  const { name } = options
  return sections(
    [
      ["", [about]],
      ["Usage", [`${name} COMMAND [FLAGS]`]],
      ["Commands", columns(entries.map(entry => [entry.name, entry.summary]))],
      ["Flags of every command", columns(globals.map(flagRow))],
      [notes.title, notes.lines.map((line, index) => `${index + 1}. ${line}`)],
      ["Examples", columns(examples.map(example => [typed(example.line, name), example.why]))],
      ["", [`${name} COMMAND --help tells more about one command.`]],
    ],
    options,
  )
}

/** Help of one command or group of commands. `path` is what a person types to reach it. */
export async function renderHelp(
  path: string,
  one: AnyCommand,
  globals: readonly NamedArgument[],
  options: HelpOptions,
): Promise<string> {
  const { flags, positionals } = await argumentsOf(one)
  const below = await subCommandsOf(one)
  // A command may give a flag of every command another meaning: then it is its own.
  const own = flags.filter(
    flag => !globals.some(({ name, description }) => name === flag.name && description === flag.description),
  )
  const shown = globals.filter(({ name }) => !own.some(flag => flag.name === name))
  const words = positionals.map((positional, index) => {
    const word = positional.valueHint ?? positional.name.toUpperCase()
    const many = one.variadic && index === positionals.length - 1 ? `${word} ...` : word
    return positional.required === false ? `[${many}]` : many
  })
  const usage = below.length > 0 ? "COMMAND [FLAGS]" : [...words, "[FLAGS]"].join(" ")
  return sections(
    [
      ["", [await descriptionOf(one)]],
      ["Usage", [`${path} ${usage}`]],
      ["Commands", columns(below.map(entry => [entry.name, entry.summary]))],
      [
        "Arguments",
        columns(
          positionals.map((item, index) => [
            words[index]?.replace(/[[\]]/g, "") ?? item.name,
            item.description ?? "",
          ]),
        ),
      ],
      ["Flags", columns(own.map(flagRow))],
      ["Flags of every command", columns(shown.map(flagRow))],
      [
        "Examples",
        columns((one.examples ?? []).map(example => [typed(example.line, options.name), example.why])),
      ],
    ],
    options,
  )
}

function flagRow(flag: NamedArgument): [string, string] {
  const spellings = [...aliasesOf(flag).map(dashed), dashed(typedName(flag))].join(", ")
  const short = aliasesOf(flag)[0]?.length === 1
  const value = takesValue(flag) ? ` ${hintOf(flag)}` : ""
  const standard =
    flag.default === undefined || typeof flag.default === "boolean" ? "" : ` (default: ${flag.default})`
  return [`${short ? "" : "    "}${spellings}${value}`, `${flag.description ?? ""}${standard}`]
}

/** An example as it is typed here. */
function typed(line: string, name: string): string {
  return line.replaceAll(/(^|\| )conduit /g, `$1${name} `)
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(0, ...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => (right === "" ? left : `${left.padEnd(width)}  ${right}`))
}

function sections(parts: readonly (readonly [string, readonly string[]])[], options: HelpOptions): string {
  const blocks: string[] = []
  for (const [title, lines] of parts) {
    if (lines.length === 0 || (lines.length === 1 && lines[0] === "")) continue
    if (title === "") blocks.push(lines.join("\n"))
    else
      blocks.push(
        [options.colour ? `\u001b[1m${title}\u001b[22m` : title, ...lines.map(line => `  ${line}`)].join(
          "\n",
        ),
      )
  }
  return `${blocks.join("\n\n")}\n`
}
