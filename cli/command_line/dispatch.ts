// From the words that were typed to a command that runs: finds it, checks its flags, shows help, names mistakes.
import { runCommand } from "citty"
import { didYouMean } from "../../deploy/suggest/mod.ts"
import { UsageError } from "../failure.ts"
import {
  type AnyCommand,
  aliasesOf,
  argumentsOf,
  type Entry,
  type NamedArgument,
  subCommandsOf,
} from "./command.ts"
import { renderHelp, renderRootHelp } from "./help.ts"
import { parseWords } from "./parse.ts"

/** A program: its commands, the flags they share, where its words go. */
export interface Program {
  /** The word that a person types. */
  readonly name: string
  /** What it is, a line or two. */
  readonly about: string
  /** Its commands, in the order of help. */
  readonly entries: readonly Entry[]
  /** Flags of every command. */
  readonly globals: AnyCommand["args"]
  /** Examples of `--help`. */
  readonly examples: readonly { readonly line: string; readonly why: string }[]
  /** A section of `--help` besides. */
  readonly notes: { readonly title: string; readonly lines: readonly string[] }
  /** Whether help may be drawn bold. */
  readonly colour: boolean
  /** Writes data. */
  readonly out: (text: string) => void
}

const HELP: NamedArgument = { name: "help", type: "boolean", alias: "h", description: "show this help" }

/**
 * Runs a command line.
 *
 * @param words the command line without the program's name
 * @throws UsageError when the command line is wrong; whatever the command throws
 */
export async function dispatch(program: Program, words: readonly string[]): Promise<void> {
  const globals = [...(await argumentsOf({ args: program.globals ?? {} })).flags, HELP]
  const options = { colour: program.colour, name: program.name }
  const path = [program.name]
  let below: readonly Entry[] = program.entries
  let current: AnyCommand | null = null
  let left = [...words]
  while (below.length > 0) {
    const flags = current === null ? globals : merged((await argumentsOf(current)).flags, globals)
    const seen = parseWords(left, flags, { stopAtWord: true, command: path.join(" ") })
    const at = seen.positions[0]
    const typed = seen.positionals[0]
    if (at === undefined || typed === undefined) {
      if (current === null) {
        program.out(renderRootHelp(program, globals, options))
      } else program.out(await renderHelp(path.join(" "), current, globals, options))
      return
    }
    left = [...left.slice(0, at), ...left.slice(at + 1)]
    if (current === null && typed === "help") {
      left.push("--help")
      continue
    }
    const entry: Entry | undefined = below.find(one => one.name === typed)
    if (entry === undefined) {
      const hint = didYouMean(
        typed,
        below.map(one => one.name),
      )
      throw new UsageError(`unknown command "${typed}"${hint}; ${path.join(" ")} --help lists the commands`)
    }
    current = await entry.load()
    path.push(typed)
    below = await subCommandsOf(current)
  }
  if (current === null) return
  await runLeaf(program, path.join(" "), current, left, globals)
}

async function runLeaf(
  program: Program,
  path: string,
  leaf: AnyCommand,
  words: readonly string[],
  globals: readonly NamedArgument[],
): Promise<void> {
  const { flags, positionals } = await argumentsOf(leaf)
  const all = merged(flags, globals)
  const beforeDashes = words.slice(0, words.includes("--") ? words.indexOf("--") : words.length)
  if (beforeDashes.includes("--help") || beforeDashes.includes("-h")) {
    program.out(await renderHelp(path, leaf, globals, { colour: program.colour, name: program.name }))
    return
  }
  const parsed = parseWords(words, all, { command: path })
  const required = positionals.filter(one => one.required !== false && one.default === undefined)
  const missing = required[parsed.positionals.length]
  const usage = `${path} --help shows how`
  if (missing !== undefined && parsed.rest.length === 0) {
    throw new UsageError(`${path}: ${missing.valueHint ?? missing.name.toUpperCase()} is missing; ${usage}`)
  }
  if (!leaf.variadic && parsed.positionals.length > positionals.length) {
    const extra = parsed.positionals[positionals.length]
    throw new UsageError(`${path}: "${extra}" is one argument too many; ${usage}`)
  }
  const args = Object.fromEntries(
    [...positionals, ...all.filter(flag => flag !== HELP)].map(one => [one.name, one]),
  )
  await runCommand({ ...leaf, args, subCommands: {} }, { rawArgs: withoutShortEquals(words) })
}

/** `-o=json` as `-ojson`: citty would keep the equals sign in the value. */
function withoutShortEquals(words: readonly string[]): string[] {
  const dashes = words.indexOf("--")
  return words.map((word, index) =>
    dashes >= 0 && index > dashes
      ? word
      : word.replace(/^-([A-Za-z]+)=/, (_, letters: string) => `-${letters}`),
  )
}

/** A command's own flags, and the global ones; a command's own name or letter wins. */
function merged(own: readonly NamedArgument[], globals: readonly NamedArgument[]): NamedArgument[] {
  const taken = new Set(own.flatMap(flag => [flag.name, ...aliasesOf(flag)]))
  const rest = globals
    .filter(flag => !taken.has(flag.name))
    .map(flag => ({ ...flag, alias: aliasesOf(flag).filter(alias => !taken.has(alias)) }) as NamedArgument)
  return [...own, ...rest]
}
