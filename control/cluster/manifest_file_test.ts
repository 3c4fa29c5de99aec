// Reading manifests never throws, whatever is in them: a bad file is a problem with a place, not a crash.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { readManifestFile } from "./manifest_file.ts"
import { SOURCE_CASES } from "./source_cases.ts"

const OBJECTS = SOURCE_CASES.flatMap(({ steps }) => steps.flatMap(({ put = [] }) => put))

/** Paths to every value of a tree. */
function paths(value: unknown, path: readonly string[] = []): string[][] {
  const own = [[...path]]
  if (typeof value !== "object" || value === null) return own
  return [...own, ...Object.entries(value).flatMap(([name, inner]) => paths(inner, [...path, name]))]
}

function replaced(value: unknown, [name, ...rest]: readonly string[], by: unknown): unknown {
  if (name === undefined) return by
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value)
    ? [...value]
    : { ...(value as object) }
  const target = copy as Record<string, unknown>
  target[name] = replaced(target[name], rest, by)
  return copy
}

test("an object with any one field replaced by anything is read or reported, by YAML and by JSON alike", () => {
  const altered = fc
    .constantFrom(...OBJECTS)
    .chain(object => fc.tuple(fc.constant(object), fc.constantFrom(...paths(object)), fc.jsonValue()))
    .map(([object, path, by]) => JSON.stringify(replaced(object, path, by)))
  fc.assert(
    fc.property(altered, text => {
      const json = readManifestFile("a.json", text)
      const yaml = readManifestFile("a.yml", `---\n${text}`)
      expect(yaml.problems.map(({ message }) => message)).toEqual(json.problems.map(({ message }) => message))
      expect([...yaml.objects.keys()]).toEqual([...json.objects.keys()])
      expect(json.incomplete ? json.problems.length : 1).toBeGreaterThan(0)
      for (const { where } of [...json.problems, ...yaml.problems]) {
        expect(where).toMatch(/^a\.(json|yml), document 1, line \d+$/)
      }
    }),
    { numRuns: 200 },
  )
})

test("an object of a kind that every object has as a method is none of ours", () => {
  const text = JSON.stringify({ apiVersion: "v1", kind: "valueOf", metadata: { name: "web" } })
  expect(readManifestFile("a.json", text)).toMatchObject({ problems: [], incomplete: false })
})

test("any text is read or reported", () => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."{}[]:-&*!|>'\"%@`,#? \n\tab1~.") }), text => {
      const { problems, incomplete } = readManifestFile("a.yml", text)
      expect(incomplete ? problems.length : 1).toBeGreaterThan(0)
    }),
    { numRuns: 1000 },
  )
})

test("one object cut anywhere is reported, or reads as what is there", () => {
  const text = 'apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations: { a: "b" }\n'
  for (let end = 0; end < text.length; end++) {
    const { objects, problems } = readManifestFile("a.yml", text.slice(0, end))
    expect(objects.size + problems.length <= 1).toBe(true)
  }
})
