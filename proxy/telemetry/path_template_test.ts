// Paths become routes: exact while few, open where many, and bounded whatever is sent.
import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import {
  MAX_EXACT_SEGMENTS,
  MAX_GRPC_PATHS,
  MAX_PATH_NODES,
  MAX_PATH_SEGMENTS,
  PathTemplates,
} from "./path_template.ts"

function textOf(templates: PathTemplates, path: string, grpc = false): string | undefined {
  return templates.of(path, grpc)?.text
}

test.each([
  ["/", "/"],
  ["/users", "/users"],
  ["/users/", "/users/"],
  ["/users/41", "/users/{id}"],
  ["/users/41/orders", "/users/{id}/orders"],
  ["/users/6f9619ff-8b86-d011-b42d-00cf4fc964ff", "/users/{id}"],
  ["/blobs/9e107d9d372bb6826bd81d3542a419d6", "/blobs/{id}"],
  ["/commits/7aec6b8", "/commits/{id}"],
  ["/days/2026-11-25", "/days/{id}"],
  [`/tokens/${"a".repeat(41)}`, "/tokens/{id}"],
  ["/sessions/k3J9xQ2mZ7pL", "/sessions/{id}"],
  ["/api/v1/step2", "/api/v1/step2"],
  ["/feed/decade", "/feed/decade"],
  ["/admin/{rest}", "/admin/{id}"],
  ["/oauth2/sha256", "/oauth2/sha256"],
  ["*", "*"],
])("the route of %p is %p", (path, template) => {
  expect(textOf(new PathTemplates(), path)).toBe(template)
})

test("segments stay as they are while they are few, and those that come after many share one route", () => {
  const templates = new PathTemplates()
  for (let i = 0; i < MAX_EXACT_SEGMENTS; i++) {
    const name = `/shops/${String.fromCharCode(97 + i)}-shop`
    expect(textOf(templates, name)).toBe(name)
  }
  expect(textOf(templates, "/shops/another")).toBe("/shops/{id}")
  expect(textOf(templates, "/shops/a-shop")).toBe("/shops/a-shop")
  expect(textOf(templates, "/cart")).toBe("/cart")
})

test("the same route is the same object, with the first path as its example", () => {
  const templates = new PathTemplates()
  const first = templates.of("/users/41", false)
  expect(templates.of("/users/42", false)).toBe(first)
  expect(first?.example).toBe("/users/41")
})

test("what lies deep is one rest", () => {
  const templates = new PathTemplates()
  const deep = `/${Array.from({ length: MAX_PATH_SEGMENTS + 5 }, (_, i) => `s${i}`).join("/")}`
  expect(textOf(templates, deep)).toBe(
    `/${Array.from({ length: MAX_PATH_SEGMENTS - 1 }, (_, i) => `s${i}`).join("/")}/{rest}`,
  )
})

describe("gRPC", () => {
  test("a method stays as it is, whatever it looks like", () => {
    expect(textOf(new PathTemplates(), "/shop.v1.Cart/Get00000000000001", true)).toBe(
      "/shop.v1.Cart/Get00000000000001",
    )
  })

  test("methods beyond the bound have no template, known ones keep theirs", () => {
    const templates = new PathTemplates()
    for (let i = 0; i < MAX_GRPC_PATHS; i++) templates.of(`/s.S/m${i}`, true)
    expect(templates.of("/s.S/one-more", true)).toBeNull()
    expect(textOf(templates, "/s.S/m0", true)).toBe("/s.S/m0")
  })
})

test("a tree that is full gives no new template, and makes room when its records are gone", () => {
  const templates = new PathTemplates()
  const kept = templates.of("/kept/route", false)
  let refused = 0
  for (let i = 0; i < 10_000; i++) if (templates.of(pathOf(i), false) === null) refused++
  expect(templates.size).toBeLessThanOrEqual(MAX_PATH_NODES)
  expect(refused).toBeGreaterThan(0)
  templates.retain()
  if (kept !== null) kept.used = true
  templates.retain()
  expect(templates.size).toBe(4)
  expect(templates.of("/kept/route", false)).toBe(kept)
  expect(textOf(templates, "/new/route")).toBe("/new/route")
})

test("any path at all is answered, within the bound, and alike when asked again", () => {
  const templates = new PathTemplates()
  fc.assert(
    fc.property(fc.webPath(), path => {
      const first = templates.of(path, false)
      expect(templates.of(path, false)).toBe(first)
      expect(templates.size).toBeLessThanOrEqual(MAX_PATH_NODES)
      if (first !== null) expect(matches(first.text, path)).toBe(true)
    }),
    { numRuns: 2000 },
  )
})

/** Words only, several levels deep, so that every level fills up. */
function pathOf(i: number): string {
  const word = (n: number) => `word-${String.fromCharCode(97 + (Math.floor(n) % 24))}`
  return `/${word(i)}/${word(i / 24)}/${word(i / 576)}`
}

function matches(template: string, path: string): boolean {
  const parts = template.split("/")
  const segments = path.split("/")
  return parts.every((part, index) => part === "{rest}" || part === "{id}" || part === segments[index])
}
