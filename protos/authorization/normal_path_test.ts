// The normal form of paths: the table of ARCHITECTURE.md, and what holds for any path.
import { expect, test } from "bun:test"
import fc from "fast-check"
import { PathReading, readPattern } from "./normal_path.ts"

function read(target: string): { path: string; literal: string; fault: string } {
  const reading = new PathReading()
  reading.read(target)
  return { path: reading.path, literal: reading.literal, fault: reading.fault }
}

/** Target, normal form. */
const FORMS: readonly (readonly [target: string, path: string])[] = [
  ["/", "/"],
  ["/a/b", "/a/b"],
  ["/a/b?x=/../c", "/a/b"],
  ["/a?", "/a"],
  ["", "/"],
  ["?x=1", "/"],
  ["*", "*"],
  ["/%61dmin", "/admin"],
  ["/a%2Eb", "/a.b"],
  ["/%7Euser", "/~user"],
  ["/a%2cb%40c", "/a,b@c"],
  ["/a%20b", "/a%20b"],
  ['/a"b|c', "/a%22b%7Cc"],
  ["/caf%c3%a9", "/caf%C3%A9"],
  ["/caf\xc3\xa9", "/caf%C3%A9"],
  ["/a*", "/a%2A"],
  ["/a%2a", "/a%2A"],
  ["/100%25", "/100%25"],
  ["/a/./b", "/a/b"],
  ["/a/../b", "/b"],
  ["/a/%2e%2E/b", "/b"],
  ["/a/..", "/"],
  ["/a/.", "/a/"],
  ["/a//b", "/a/b"],
  ["/a/b//", "/a/b/"],
  ["/emojivoto.v1.VotingService/Vote", "/emojivoto.v1.VotingService/Vote"],
]

for (const [target, path] of FORMS) {
  test(`the normal form of ${JSON.stringify(target)} is ${path}`, () => {
    expect(read(target)).toMatchObject({ path, fault: "" })
  })
}

/** Target, why it can be read in different ways. */
const FAULTS: readonly (readonly [target: string, fault: string])[] = [
  ["/a%2fb", "encoded slash"],
  ["/a\\b", "backslash"],
  ["/a%5Cb", "backslash"],
  ["/a;v=1/b", "semicolon"],
  ["/a%3bv", "semicolon"],
  ["/a%00", "control"],
  ["/a%0d%0a", "control"],
  ["/a%7f", "control"],
  ["/a%3fb", "question mark"],
  ["/a%23b", "number sign"],
  ["/a#b", "number sign"],
  ["/%2561dmin", "encoded twice"],
  ["/%25%36%31", "encoded twice"],
  ["/a%", "begins no encoding"],
  ["/a%2", "begins no encoding"],
  ["/a%2?f", "begins no encoding"],
  ["/a%u002e", "begins no encoding"],
  ["/%c0%af", "not UTF-8"],
  ["/%e0%80%af", "not UTF-8"],
  ["/%ed%a0%80", "not UTF-8"],
  ["/%f5%80%80%80", "not UTF-8"],
  ["/%c3", "not UTF-8"],
  ["/%c3/", "not UTF-8"],
  ["/\xe9", "not UTF-8"],
  ["/admin.", "dot or a blank"],
  ["/admin./x", "dot or a blank"],
  ["/a/...", "dot or a blank"],
  ["/admin%20", "dot or a blank"],
  ["/..", "above the root"],
  ["/a/../../b", "above the root"],
  ["/a//../b", "empty segments beside dot segments"],
  ["//admin", "two slashes"],
  ["//", "two slashes"],
  ["example.com:443", "no path"],
  ["http://a/b", "no path"],
]

for (const [target, fault] of FAULTS) {
  test(`${JSON.stringify(target)} can be read in different ways: ${fault}`, () => {
    expect(read(target)).toMatchObject({ path: "", literal: "", fault: expect.stringContaining(fault) })
  })
}

test("servers that leave dot segments and empty segments as they are find them in the literal form", () => {
  expect(read("/a/%2e%2e/b").literal).toBe("/a/../b")
  expect(read("/a//b").literal).toBe("/a//b")
})

test("patterns come in normal form, or with a sentence that says what to write", () => {
  expect(readPattern("*")).toEqual({ pattern: "*" })
  expect(readPattern("/é/*")).toEqual({ pattern: "/%C3%A9/*" })
  expect(readPattern("/pkg.v1.Svc.*")).toEqual({ pattern: "/pkg.v1.Svc.*" })
  expect(readPattern("/%61")).toEqual({ pattern: "/a" })
  expect(readPattern("a")).toContain('must begin with "/"')
  expect(readPattern("/*/b")).toContain("not at its end")
  expect(readPattern("/a?b")).toContain("has a query")
  expect(readPattern("/a/../b")).toContain("write /b")
  expect(readPattern("/a//b/*")).toContain("write /a/b/*")
  expect(readPattern("/a;b")).toContain("semicolon")
})

const PIECES = [
  "/",
  "//",
  ".",
  "..",
  "a",
  "admin",
  "public",
  "%2e",
  "%2F",
  "%5c",
  "\\",
  ";x",
  "%3B",
  "%00",
  "%61",
  "%2561",
  "%25",
  "%",
  "%zz",
  "?",
  "#",
  "%23",
  "%C3%A9",
  "\xc3",
  "\xa9",
  "%c0%ae",
  "%20",
  " ",
  "*",
  "%2A",
  "~",
  "%7e",
  "é",
  ":",
  "@",
] as const
const target = fc.array(fc.constantFrom(...PIECES), { maxLength: 12 }).map(pieces => `/${pieces.join("")}`)

test("the normal form of a normal form is itself", () => {
  fc.assert(
    fc.property(target, text => {
      const { path, fault } = read(text)
      if (fault === "") expect(read(path)).toEqual({ path, literal: path, fault: "" })
    }),
    { numRuns: 20_000 },
  )
})
