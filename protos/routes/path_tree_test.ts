// The tree must find what looking at each path in turn finds.
import { expect, test } from "bun:test"
import { PathTree } from "./path_tree.ts"

function random(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    return (state >> 8) % below
  }
}

test("what is kept of a path is found by it and below it by segments, shorter paths first", () => {
  const draw = random(7)
  const segments = ["a", "ab", "abc", "b", "é", ""]
  const path = (): string =>
    Array.from({ length: draw(5) }, () => `/${segments[draw(segments.length)]}`).join("")
  let hits = 0
  for (let run = 0; run < 200; run++) {
    const tree = new PathTree<string>()
    const exact = new Set<string>()
    const below = new Set<string>()
    for (let i = draw(20); i >= 0; i--) {
      const one = path()
      if (draw(2) === 0) {
        exact.add(one)
        tree.at(one).exact = `= ${one}`
      } else {
        below.add(one)
        tree.at(one).below = `< ${one}`
      }
    }
    for (let i = 0; i < 50; i++) {
      const asked = path()
      const text = draw(2) === 0 ? asked : `${asked}?/a/b`
      const count = tree.find(text, asked.length)
      const wanted = [
        ...[...below]
          .filter(one => one === "" || asked === one || asked.startsWith(`${one}/`))
          .sort((a, b) => a.length - b.length)
          .map(one => `< ${one}`),
        ...(exact.has(asked) ? [`= ${asked}`] : []),
      ]
      hits += wanted.length
      expect(tree.found.slice(0, count)).toEqual(wanted)
    }
  }
  expect(hits).toBeGreaterThan(5000)
})

test("what is added after a path was looked for is found by it, too", () => {
  const tree = new PathTree<string>()
  tree.at("/a").below = "< /a"
  expect([tree.find("/a/b", 4), tree.find("/a/b", 4)]).toEqual([1, 1])
  tree.at("/a/b").exact = "= /a/b"
  expect(tree.find("/a/b", 4)).toBe(2)
  expect(tree.found.slice(0, 2)).toEqual(["< /a", "= /a/b"])
})
