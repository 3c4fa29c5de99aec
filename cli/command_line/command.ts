// What a command is: citty's definition (name, flags, run) with what its help and completion need besides.
import type { ArgDef, ArgsDef, CommandDef, SubCommandsDef } from "citty"

/** One line of a command's examples. */
export interface Example {
  /** The command line as a person types it. */
  readonly line: string
  /** What it answers, in a few words. */
  readonly why: string
}

/** A citty command, with what help and completion need besides. */
export interface Command<T extends ArgsDef = ArgsDef> extends CommandDef<T> {
  /** Shown under the flags in `--help`. */
  readonly examples?: readonly Example[]
  /** Whether the last positional argument may come several times; `args._` has all of them. */
  readonly variadic?: boolean
  /** Words to offer for a flag or a positional argument on TAB, by the argument's name. */
  readonly offers?: Readonly<Record<string, readonly string[]>>
}

/** A command of any arguments, as a tree of commands holds it. */
export type AnyCommand = Exclude<
  SubCommandsDef[string],
  PromiseLike<unknown> | ((...args: never[]) => unknown)
> & {
  readonly examples?: readonly Example[]
  readonly variadic?: boolean
  readonly offers?: Readonly<Record<string, readonly string[]>>
}

/** A command in the catalogue: its file is loaded only when the command is typed. */
export interface Entry {
  /** The word that a person types. */
  readonly name: string
  /** One line for `conduit --help`. */
  readonly summary: string
  /** Loads the command's file. */
  readonly load: () => Promise<AnyCommand>
}

/** A flag or a positional argument with its name. */
export type NamedArgument = ArgDef & { readonly name: string }

/** Declares a command; keeps the types of its arguments. */
export function command<const T extends ArgsDef>(definition: Command<T>): Command<T> {
  return definition
}

async function resolved<T>(
  value: T | Promise<T> | (() => T) | (() => Promise<T>) | undefined,
): Promise<T | undefined> {
  return typeof value === "function" ? await (value as () => T | Promise<T>)() : await value
}

/** The flags of a command, and its positional arguments in order. */
export async function argumentsOf(
  one: AnyCommand | undefined,
): Promise<{ flags: NamedArgument[]; positionals: NamedArgument[] }> {
  const definitions: ArgsDef = (await resolved<ArgsDef>(one?.args)) ?? {}
  const all = Object.entries(definitions).map(
    ([name, definition]) => ({ ...definition, name }) as NamedArgument,
  )
  return {
    flags: all.filter(argument => argument.type !== "positional"),
    positionals: all.filter(argument => argument.type === "positional"),
  }
}

/** The commands below a group such as `dev`, each with its one-line description; empty for a plain command. */
export async function subCommandsOf(group: AnyCommand): Promise<Entry[]> {
  const definitions: SubCommandsDef = (await resolved<SubCommandsDef>(group.subCommands)) ?? {}
  const entries: Entry[] = []
  for (const [name, definition] of Object.entries(definitions)) {
    const one = (await resolved<AnyCommand>(definition as AnyCommand)) as AnyCommand
    const meta = await resolved(one.meta)
    if (meta?.hidden) continue
    entries.push({ name, summary: meta?.description ?? "", load: async () => one })
  }
  return entries
}

/** A command's one-line description. */
export async function descriptionOf(one: AnyCommand): Promise<string> {
  return (await resolved(one.meta))?.description ?? ""
}

/** The other spellings of a flag, one-letter ones first. */
export function aliasesOf(flag: NamedArgument): readonly string[] {
  const alias = "alias" in flag ? flag.alias : undefined
  const list = alias === undefined ? [] : typeof alias === "string" ? [alias] : alias
  return [...list].sort((a, b) => a.length - b.length)
}

/** Whether a flag takes a value. */
export function takesValue(flag: NamedArgument): boolean {
  return flag.type !== "boolean"
}

/** A flag as people type it: a switch that is on by itself is only ever turned off, which its description is about. */
export function typedName(flag: NamedArgument): string {
  return flag.type === "boolean" && flag.default === true ? `no-${flag.name}` : flag.name
}
