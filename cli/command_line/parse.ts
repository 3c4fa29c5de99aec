// Strict check of a command line against the flags of a command: what citty would let pass is refused here.

import { didYouMean } from "../../deploy/suggest/mod.ts"
import { UsageError } from "../failure.ts"
import { aliasesOf, type NamedArgument, takesValue } from "./command.ts"

/** A command line cut into words. */
export interface Parsed {
  /** Flags as typed, by their full name; a flag given several times has several values. */
  readonly flags: ReadonlyMap<string, readonly string[]>
  /** Words that are no flags, up to `--`. */
  readonly positionals: readonly string[]
  /** Where each positional stands in the words given. */
  readonly positions: readonly number[]
  /** Words after `--`. */
  readonly rest: readonly string[]
}

/**
 * Cuts words into flags and positionals.
 *
 * @param stopAtWord stop at the first positional (for finding a sub-command)
 * @throws UsageError for an unknown flag, a flag without its value, a value that a flag does not take
 */
export function parseWords(
  words: readonly string[],
  flags: readonly NamedArgument[],
  options: { readonly stopAtWord?: boolean; readonly command?: string } = {},
): Parsed {
  const byName = new Map<string, NamedArgument>()
  for (const flag of flags) {
    byName.set(flag.name, flag)
    for (const alias of aliasesOf(flag)) byName.set(alias, flag)
  }
  const values = new Map<string, string[]>()
  const positionals: string[] = []
  const positions: number[] = []
  let index = 0
  const add = (flag: NamedArgument, value: string): void => {
    check(flag, value)
    const list = values.get(flag.name)
    if (list === undefined) values.set(flag.name, [value])
    else list.push(value)
  }
  const valueAfter = (flag: NamedArgument, typed: string): string => {
    const next = words[index + 1]
    if (next === undefined || (next.startsWith("-") && next !== "-")) {
      throw new UsageError(`${typed} needs a value: ${typed} ${hintOf(flag)}`)
    }
    index++
    return next
  }
  for (; index < words.length; index++) {
    const word = words[index] ?? ""
    if (word === "--") return { flags: values, positionals, positions, rest: words.slice(index + 1) }
    if (word === "-" || !word.startsWith("-")) {
      positionals.push(word)
      positions.push(index)
      if (options.stopAtWord) break
      continue
    }
    if (word.startsWith("--")) {
      const equals = word.indexOf("=")
      const name = equals < 0 ? word.slice(2) : word.slice(2, equals)
      const denied = negated(name, byName)
      const flag = byName.get(name) ?? denied
      if (flag === undefined || name.length === 1) throw unknownFlag(`--${name}`, flags, options.command)
      if (equals >= 0) add(flag, word.slice(equals + 1))
      else add(flag, takesValue(flag) ? valueAfter(flag, `--${name}`) : `${flag !== denied}`)
      continue
    }
    // One-letter flags: -A, -n NAME, -nNAME, -o=json, and several switches in one word.
    for (let at = 1; at < word.length; at++) {
      const letter = word[at] ?? ""
      const flag = byName.get(letter)
      if (flag === undefined) throw unknownFlag(at === 1 ? word : `-${letter}`, flags, options.command)
      if (!takesValue(flag)) {
        add(flag, "true")
        continue
      }
      const attached = word.slice(at + 1).replace(/^=/, "")
      add(flag, attached === "" ? valueAfter(flag, `-${letter}`) : attached)
      break
    }
  }
  return { flags: values, positionals, positions, rest: [] }
}

/** How a flag's value is shown: its hint, its choices, or its name. */
export function hintOf(flag: NamedArgument): string {
  if ("options" in flag && flag.options !== undefined) return flag.options.join("|")
  return flag.valueHint ?? flag.name.toUpperCase().replaceAll("-", "_")
}

function check(flag: NamedArgument, value: string): void {
  if (flag.type === "enum" && flag.options !== undefined && !flag.options.includes(value)) {
    const hint = didYouMean(value, flag.options)
    throw new UsageError(
      `--${flag.name} cannot be "${value}"${hint}; it is one of ${flag.options.join(", ")}`,
    )
  }
  if (flag.type === "boolean" && value !== "true" && value !== "false") {
    throw new UsageError(`--${flag.name} is a switch and takes no value, not even "${value}"`)
  }
}

function negated(name: string, byName: ReadonlyMap<string, NamedArgument>): NamedArgument | undefined {
  if (!name.startsWith("no-")) return undefined
  const flag = byName.get(name.slice(3))
  return flag?.type === "boolean" ? flag : undefined
}

function unknownFlag(typed: string, flags: readonly NamedArgument[], command = ""): UsageError {
  const names = flags.flatMap(flag => [flag.name, ...aliasesOf(flag).filter(alias => alias.length > 1)])
  const hint = didYouMean(typed.replace(/^-+/, ""), names, "--")
  const where = command === "" ? "" : ` of "${command}"`
  return new UsageError(`unknown flag ${typed}${where}${hint}; --help lists the flags`)
}
