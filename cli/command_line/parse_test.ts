// The strict reading of a command line.
import { expect, test } from "bun:test"
import type { NamedArgument } from "./command.ts"
import { parseWords } from "./parse.ts"

const FLAGS: readonly NamedArgument[] = [
  { name: "namespace", type: "string", alias: "n" },
  { name: "all-namespaces", type: "boolean", alias: "A" },
  { name: "watch", type: "boolean", alias: "w" },
  { name: "file", type: "string", alias: "f" },
  { name: "format", type: "enum", options: ["plain", "json"] },
]

function flagsOf(...words: string[]): Record<string, readonly string[]> {
  return Object.fromEntries(parseWords(words, FLAGS).flags)
}

test("a value may stand behind a space, an equals sign, or right after the letter", () => {
  for (const words of [
    ["-n", "shop"],
    ["-nshop"],
    ["-n=shop"],
    ["--namespace", "shop"],
    ["--namespace=shop"],
  ]) {
    expect(flagsOf(...words)).toEqual({ namespace: ["shop"] })
  }
})

test("switches may share a word, the last letter may take a value", () => {
  expect(flagsOf("-Awn", "shop")).toEqual({
    "all-namespaces": ["true"],
    watch: ["true"],
    namespace: ["shop"],
  })
})

test("a flag given several times keeps every value in order", () => {
  expect(flagsOf("-f", "a.yml", "-f", "b.yml")).toEqual({ file: ["a.yml", "b.yml"] })
})

test("a lone dash is a word, and a value", () => {
  expect(parseWords(["-"], FLAGS).positionals).toEqual(["-"])
  expect(flagsOf("-f", "-")).toEqual({ file: ["-"] })
})

test("nothing after -- is read as a flag", () => {
  const parsed = parseWords(["web", "--", "ls", "-n"], FLAGS)
  expect(parsed.positionals).toEqual(["web"])
  expect(parsed.rest).toEqual(["ls", "-n"])
})

test("an unknown flag is refused with the nearest known one", () => {
  expect(() => flagsOf("--namespcae", "x")).toThrow('unknown flag --namespcae (did you mean "--namespace"?)')
  expect(() => flagsOf("-x")).toThrow("unknown flag -x")
  expect(() => flagsOf("--n", "x")).toThrow("unknown flag --n")
})

test("a flag without its value is refused, also when another flag follows", () => {
  expect(() => flagsOf("-n")).toThrow("-n needs a value: -n NAMESPACE")
  expect(() => flagsOf("-n", "-A")).toThrow("-n needs a value")
})

test("a value that is none of the choices, or that a switch does not take, is refused", () => {
  expect(() => flagsOf("--format", "jsno")).toThrow('did you mean "json"?')
  expect(() => flagsOf("--watch=3")).toThrow("is a switch")
  expect(flagsOf("--no-watch")).toEqual({ watch: ["false"] })
})
