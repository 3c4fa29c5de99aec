// A process that is killed while it writes, two hundred times: the next one opens the file and has what was written.
import { expect, test } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { HISTORY_SLOT_MS } from "../telemetry/mod.ts"
import { EmbeddedHistory } from "./embedded_history.ts"
import { BEGIN_MS, fullQuestion } from "./history_cases.ts"

const KILLS = 200
/** Files that are written side by side, to use all cores. */
const FILES = 4
/** Responses a second of each proxy of the writer, and of all twenty. */
const RATE = 20 * 7

test(`killed ${KILLS} times while it writes, the history loses no window and counts none twice`, async () => {
  const folder = mkdtempSync(join(tmpdir(), "conduit-kill-"))
  try {
    // As one file it starts in less than a tenth of a second.
    const built = await Bun.build({
      entrypoints: [join(import.meta.dir, "kill_writer_main.ts")],
      target: "bun",
      outdir: folder,
      minify: true,
      format: "cjs",
      bytecode: true,
    })
    expect(built.success).toBe(true)
    const program = join(folder, "kill_writer_main.js")
    const files = Array.from({ length: FILES }, (_, index) => join(folder, `data-${index}`))
    await Promise.all(files.map(file => killAgainAndAgain(program, file)))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 180_000)

async function killAgainAndAgain(program: string, data: string): Promise<void> {
  let savedMs = 0
  for (let kill = 0; kill < KILLS / FILES; kill++) {
    const args = [program, data, String(BEGIN_MS), String(savedMs)]
    const { began, saved, told } = await killedAfter(args, 1 + (kill % 4))
    // What was told to be written is there; what was under way may be.
    expect({ kill, told, lost: Math.max(0, savedMs - began) }).toEqual({ kill, told: [], lost: 0 })
    expect(began - savedMs).toBeLessThanOrEqual(kill === 0 ? BEGIN_MS : HISTORY_SLOT_MS)
    savedMs = Math.max(began, saved)
  }
  const log = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} }
  const history = new EmbeddedHistory(data, { log, wallMs: () => savedMs })
  expect(history.counts.setAside).toBe(0)
  const stepMs = history.savedUntilMs - BEGIN_MS
  const [row] = await history.read(fullQuestion({ about: "all", fromMs: BEGIN_MS, stepMs }))
  const { successes = 0 } = row?.points[0] ?? {}
  // The last window may hold what was counted in its first half only.
  expect(Math.abs(successes - (RATE * stepMs) / 1000)).toBeLessThanOrEqual((RATE * HISTORY_SLOT_MS) / 1000)
  history.close()
}

/** Runs the writer until it has written so many windows, and kills it in the middle of the next. */
async function killedAfter(
  args: readonly string[],
  windows: number,
): Promise<{ began: number; saved: number; told: string[] }> {
  const child = Bun.spawn([process.execPath, ...args], { stdout: "pipe", stderr: "inherit" })
  let text = ""
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true })
    if (!child.killed && text.split("\n").length > 2 * windows + 2) child.kill("SIGKILL")
  }
  await child.exited
  const lines = text.split("\n").slice(0, -1)
  const last = (word: string): number =>
    Number(lines.findLast(line => line.startsWith(`${word} `))?.slice(word.length + 1) ?? 0)
  return {
    began: last("began"),
    saved: last("saved"),
    told: lines.filter(line => !/^(began|saved) \d+$/.test(line)),
  }
}
