// TAB completion over the real catalogue of commands, and that catalogue's own promises.
import { expect, test } from "bun:test"
import { COMMANDS } from "../commands.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { aliasesOf, argumentsOf, descriptionOf } from "./command.ts"
import { complete } from "./complete.ts"

const GLOBALS = (await argumentsOf({ args: GLOBAL_FLAGS })).flags

async function words(...line: string[]): Promise<string[]> {
  return (await complete(COMMANDS, GLOBALS, line)).map(one => one.word)
}

test("an empty line offers every command of the catalogue", async () => {
  expect(await words("")).toEqual(COMMANDS.map(entry => entry.name))
})

test("a command's flags are offered with the global ones", async () => {
  expect(await words("stat", "--t")).toEqual(["--time-window", "--to", "--to-namespace"])
  expect(await words("stat", "--names")).toEqual(["--namespace"])
})

test("a flag's value and a resource are offered from their choices", async () => {
  expect(await words("stat", "-o", "")).toEqual(["table", "wide", "json", "yaml"])
  expect(await words("stat", "-n", "shop", "dep")).toEqual(["deploy"])
})

test("nothing is offered after -- or below a command that does not exist", async () => {
  expect(await words("stat", "--", "")).toEqual([])
  expect(await words("nonsense", "")).toEqual([])
})

test("every command has a description, examples or sub-commands, and no two flags with one letter", async () => {
  for (const entry of COMMANDS) {
    const one = await entry.load()
    expect(await descriptionOf(one), entry.name).not.toBe("")
    expect((one.examples?.length ?? 0) > 0 || one.subCommands !== undefined, entry.name).toBe(true)
    const names = (await argumentsOf(one)).flags.flatMap(flag => [flag.name, ...aliasesOf(flag)])
    expect(new Set(names).size, entry.name).toBe(names.length)
  }
})
