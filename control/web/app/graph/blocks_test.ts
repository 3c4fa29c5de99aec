import { expect, test } from "bun:test"
import { bowOf, inBlocks, isDense, middleOf, SMALL_NODE } from "./blocks.ts"

const BOXES = Array.from({ length: 200 }, (_, index) => ({ id: `n${index}`, group: `g${index % 10}` }))

test("no two of two hundred nodes lie on each other, and each lies within its namespace", () => {
  const layout = inBlocks(BOXES, 1.8)
  const middles = BOXES.map(box => middleOf(layout, box))
  for (const [index, one] of middles.entries()) {
    const near = middles.filter(
      other => Math.abs(other.x - one.x) < SMALL_NODE.width && Math.abs(other.y - one.y) < SMALL_NODE.height,
    )
    expect(near.length).toBe(1)
    const block = layout.nodes.get(`group g${index % 10}`) ?? { x: 0, y: 0, width: 0, height: 0 }
    expect(one.x > block.x && one.x < block.x + block.width).toBe(true)
    expect(one.y > block.y && one.y < block.y + block.height).toBe(true)
  }
})

test("a workload that comes to the last namespace moves nothing elsewhere", () => {
  const before = inBlocks(BOXES, 1.8)
  const after = inBlocks([...BOXES, { id: "n200", group: "g9" }], 1.8)
  for (const { id, group } of BOXES)
    if (group !== "g9") expect(after.nodes.get(id)).toEqual(before.nodes.get(id) as never)
})

test("ways back and forth are not the same", () => {
  const [a, b] = [
    { x: 0, y: 0 },
    { x: 100, y: 0 },
  ]
  expect(bowOf(a, b).label).not.toEqual(bowOf(b, a).label)
})

test("a graph of many calls is dense, and one of few nodes that all call each other; a chain of many nodes is not", () => {
  expect([isDense(200, 1000), isDense(10, 90), isDense(60, 110), isDense(5, 20)]).toEqual([
    true,
    true,
    false,
    false,
  ])
})

test("namespaces that are collapsed stand in a ring, however many, and none lies on another", () => {
  for (let number = 1; number <= 40; number++) {
    const boxes = Array.from({ length: number }, (_, index) => ({ id: `namespace n${index}`, group: null }))
    const layout = inBlocks(boxes, 1.8)
    const middles = boxes.map(box => middleOf(layout, box))
    for (const one of middles) {
      const near = middles.filter(
        other =>
          Math.abs(other.x - one.x) < SMALL_NODE.width && Math.abs(other.y - one.y) < SMALL_NODE.height,
      )
      expect({ number, near: near.length }).toEqual({ number, near: 1 })
    }
  }
})
