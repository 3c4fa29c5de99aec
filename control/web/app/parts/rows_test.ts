// Which rows of a long table an update draws.
import { expect, test } from "bun:test"
import { hasTurn, ROWS_A_TURN } from "./rows.tsx"

test("each row has its turn once a round, and the round goes on from the table's end to its beginning", () => {
  const rows = 100
  const drawn = Array.from({ length: rows }, () => 0)
  for (let at = 0; at < rows * ROWS_A_TURN; at += ROWS_A_TURN)
    for (const index of drawn.keys())
      if (hasTurn(index, at % rows, rows)) drawn[index] = (drawn[index] ?? 0) + 1
  expect(new Set(drawn)).toEqual(new Set([ROWS_A_TURN]))
})
