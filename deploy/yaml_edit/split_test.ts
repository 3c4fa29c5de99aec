// Streams are cut where documents begin and end, and nowhere else.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { splitStream } from "./split.ts"

function texts(stream: string): string[] {
  return [...splitStream(stream)].map(piece => piece.text)
}

test("markers begin and end documents, directives and comments belong to the one that follows", () => {
  expect(texts("# a\n---\nx: 1\n---\ny: 2\n...\n# b\n%YAML 1.2\n---\nz: 3\n")).toEqual([
    "# a\n---\nx: 1\n",
    "---\ny: 2\n...\n",
    "# b\n%YAML 1.2\n---\nz: 3\n",
  ])
})

test("what only looks like a marker is none", () => {
  for (const one of ["a: |\n  ---\n  b\n", "---a: 1\n", "a: 1\n ---\n", "----\n"])
    expect(texts(one)).toEqual([one])
})

test("each piece knows its first line", () => {
  expect([...splitStream("a: 1\n---\nb: 2\n...\nc: 3\n")].map(piece => piece.line)).toEqual([1, 2, 5])
  expect([...splitStream('{"a":\n1}\n{"b": "}{"}\n')].map(piece => [piece.line, piece.json])).toEqual([
    [1, true],
    [2, true],
  ])
})

test("flow style YAML is not JSON", () => {
  expect([...splitStream("{a: 1}\n")].map(piece => piece.json)).toEqual([false])
  expect([...splitStream('{"a": "\\"}"}')].map(piece => piece.json)).toEqual([true])
})

test("the pieces are the stream, whatever it holds", () => {
  const part = fc.constantFrom(
    "---",
    "...",
    "\n",
    "\r\n",
    " ",
    "# c",
    "%YAML 1.2",
    "a: 1",
    "{",
    "}",
    '"',
    "\\",
    "\ufeff",
    "[1]",
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), parts => {
      expect(texts(parts.join("")).join("")).toBe(parts.join(""))
    }),
  )
})
