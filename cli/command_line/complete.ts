// TAB completion: the words that may follow a command line, read from the tree of commands itself.
import {
  type AnyCommand,
  aliasesOf,
  argumentsOf,
  type Entry,
  type NamedArgument,
  subCommandsOf,
  takesValue,
  typedName,
} from "./command.ts"

/** A word to offer, with what it does. */
export interface Candidate {
  readonly word: string
  readonly about: string
}

/**
 * Words that may stand at the end of a command line.
 *
 * @param words the words after the program's name; the last one is the one being typed, "" for a new one
 */
export async function complete(
  entries: readonly Entry[],
  globals: readonly NamedArgument[],
  words: readonly string[],
): Promise<Candidate[]> {
  const typed = words.at(-1) ?? ""
  let below = entries
  let current: AnyCommand | null = null
  let flags: readonly NamedArgument[] = globals
  let positional = 0
  let pending: NamedArgument | null = null
  for (const word of words.slice(0, -1)) {
    if (pending !== null) {
      pending = null
      continue
    }
    if (word === "--") return []
    if (word.startsWith("-")) {
      const flag = word.includes("=") ? undefined : flagNamed(word.replace(/^--?/, ""), flags)
      pending = flag !== undefined && takesValue(flag) ? flag : null
      continue
    }
    const entry: Entry | undefined = below.find(one => one.name === word)
    if (entry === undefined) {
      if (below.length > 0) return []
      positional++
      continue
    }
    current = await entry.load()
    below = await subCommandsOf(current)
    const own = (await argumentsOf(current)).flags
    flags = [...own, ...globals.filter(flag => !own.some(one => one.name === flag.name))]
  }
  const matching = (list: readonly Candidate[]): Candidate[] => list.filter(one => one.word.startsWith(typed))
  if (pending !== null) return matching(offered(current, pending))
  if (typed.startsWith("-")) {
    return matching(flags.map(flag => ({ word: `--${typedName(flag)}`, about: flag.description ?? "" })))
  }
  if (below.length > 0) return matching(below.map(entry => ({ word: entry.name, about: entry.summary })))
  if (current === null) return []
  const { positionals } = await argumentsOf(current)
  const argument = positionals[positional] ?? (current.variadic ? positionals.at(-1) : undefined)
  return argument === undefined ? [] : matching(offered(current, argument))
}

function flagNamed(name: string, flags: readonly NamedArgument[]): NamedArgument | undefined {
  return flags.find(flag => flag.name === name || aliasesOf(flag).includes(name))
}

function offered(current: AnyCommand | null, argument: NamedArgument): Candidate[] {
  const choices = "options" in argument && argument.options !== undefined ? argument.options : []
  return [...(current?.offers?.[argument.name] ?? choices)].map(word => ({ word, about: "" }))
}
