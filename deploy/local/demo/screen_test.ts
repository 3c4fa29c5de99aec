// Drawing in place: as seen by a terminal of a given size.
import { expect, test } from "bun:test"
import { clip, Screen } from "./screen.ts"

function terminal(rows: number, columns: number) {
  let text = ""
  return {
    rows,
    columns,
    isTTY: true,
    write(piece: string) {
      text += piece
    },
    take() {
      const taken = text
      text = ""
      return taken
    },
  }
}

test("a drawing replaces the one before it", () => {
  const output = terminal(24, 80)
  const screen = new Screen(output)
  screen.draw(["one", "two"])
  expect(output.take()).toBe("one\ntwo\n")
  screen.draw(["three"])
  expect(output.take()).toBe("\x1b[2A\r\x1b[Jthree\n")
  screen.clear()
  expect(output.take()).toBe("\x1b[1A\r\x1b[J")
  screen.clear()
  expect(output.take()).toBe("")
})

test("lines that do not fit are left out and told of, so that the drawing never scrolls", () => {
  const output = terminal(6, 80)
  new Screen(output).draw(["1", "2", "3", "4", "5", "6", "7"])
  expect(output.take().split("\n")).toEqual([
    "1",
    "2",
    "3",
    "4",
    "... 3 more lines: make the window taller",
    "",
  ])
})

test("a line is cut to the width, and colours take no room", () => {
  expect(clip("abcdef", 4)).toBe("abcd")
  expect(clip("\x1b[1mabc\x1b[22mdef", 4)).toBe("\x1b[1mabc\x1b[22md")
  expect(clip("\x1b[32mabcdef\x1b[39m", 3)).toBe("\x1b[32mabc\x1b[39m")
})
