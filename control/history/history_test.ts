// Memory and file held to the table of history_cases.ts, with the clock in hand; tests/programs/prometheus_test.ts holds a real
// Prometheus to it.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { LiveHistory } from "../telemetry/mod.ts"
import { HISTORY_CASES, wrongWith } from "./history_cases.ts"
import { HistoryWorld } from "./history_world.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-history-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

for (const one of HISTORY_CASES) {
  const restarts = one.restart !== undefined
  test(`${restarts ? "file" : "file and memory"}: ${one.name}`, async () => {
    const world = new HistoryWorld(folder, one.processes)
    world.play(one)
    const histories = { file: world.history, ...(restarts ? {} : { memory: new LiveHistory(world.store) }) }
    for (const [name, history] of Object.entries(histories)) {
      for (const question of one.questions) {
        expect({ name, about: question.about, wrong: await wrongWith(history, one, question) }).toEqual({
          name,
          about: question.about,
          wrong: [],
        })
      }
    }
    expect(world.lines).toEqual([])
    world.history.close()
  })
}
