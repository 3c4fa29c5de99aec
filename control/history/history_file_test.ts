// What becomes of the history when its file cannot be written, read or opened: history is missing, and nothing else.
import { afterEach, beforeEach, expect, test } from "bun:test"
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import { FigureSum, localQueries, type TelemetryQueries } from "../telemetry/mod.ts"
import { EmbeddedHistory, HISTORY_FILE } from "./embedded_history.ts"
import { BEGIN_MS, fullQuestion, type ProxyProcess } from "./history_cases.ts"
import { HistoryWorld } from "./history_world.ts"

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const { INBOUND } = telemetryQueryV1.Direction

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "conduit-history-file-"))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function steady(pod = "web-1", labels: Record<string, string> = {}): ProxyProcess {
  const at = () => ({ successes: 10, latency: [[4, 10]] as const })
  return {
    pod,
    workload: "web",
    startedMs: 0,
    flows: [{ labels: { direction: "inbound", tls: "disabled", ...labels }, at }],
  }
}

/** Lets time pass, in steps of five seconds or more. */
function pass(world: HistoryWorld, untilMs: number, stepMs = 5 * SECOND): void {
  while (world.timeMs < untilMs) {
    world.timeMs += stepMs
    world.report()
    world.tick()
  }
}

function queriesOf(world: HistoryWorld): TelemetryQueries {
  return localQueries(world.store, () => world.clock.nowMs(), world.history)
}

async function figures(world: HistoryWorld, windowMs: number) {
  const sum = new FigureSum()
  for (const row of (await queriesOf(world).traffic(windowMs, INBOUND)).traffic) sum.add(row)
  const { rps = 0, responses = 0 } = sum.http() ?? {}
  return { rps, responses }
}

test("windows of many hours are answered, and those that a restart cut in two", async () => {
  const world = new HistoryWorld(folder, [steady()])
  pass(world, 7 * HOUR, 10 * SECOND)
  for (const hours of [2, 6]) {
    const { rps, responses } = await figures(world, hours * HOUR)
    expect(Math.abs(rps - 10)).toBeLessThan(0.1)
    expect(Math.abs(responses - hours * 36_000)).toBeLessThan(hours * 360)
  }
  world.timeMs += 7 * SECOND
  world.begin()
  pass(world, world.timeMs + 30 * SECOND, 1 * SECOND)
  for (const windowMs of [10 * SECOND, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR]) {
    const { rps, responses } = await figures(world, windowMs)
    expect({ windowMs, off: Math.abs(rps - 10) < 0.2 }).toEqual({ windowMs, off: true })
    expect(Math.abs(responses - windowMs / 100)).toBeLessThan(Math.max(110, windowMs / 10_000))
  }
  world.history.close()
})

test("a folder that cannot be used is told once, costs history only, and heals when it can", async () => {
  const blocked = join(folder, "data")
  writeFileSync(blocked, "a file where the folder should be")
  const world = new HistoryWorld(blocked, [steady()])
  pass(world, 5 * MINUTE)
  expect(world.lines).toHaveLength(1)
  expect(world.lines[0]).toContain(`${blocked}/${HISTORY_FILE} cannot be used: `)
  expect([world.history.healthy, world.history.counts.failures > 10]).toEqual([false, true])
  expect((await figures(world, MINUTE)).rps).toBeCloseTo(10, 1)
  expect((await figures(world, 6 * HOUR)).responses).toBeGreaterThan(2900)
  rmSync(blocked)
  pass(world, 6 * MINUTE)
  expect(world.lines).toHaveLength(2)
  expect(world.lines[1]).toContain("can be used again")
  // What waited meanwhile was written.
  const [row] = await world.history.read(fullQuestion({ about: "all", stepMs: 5 * MINUTE }))
  expect(row?.points[0]?.successes).toBeGreaterThan(2900)
  world.history.close()
})

test("a broken file is set aside with a line, and a new one begun", async () => {
  const first = new HistoryWorld(folder, [steady()])
  pass(first, 2 * MINUTE)
  first.history.close()
  writeFileSync(join(folder, HISTORY_FILE), "this is no database, and long enough to be none".repeat(500))
  const world = new HistoryWorld(folder, [steady()])
  expect(world.lines).toHaveLength(1)
  expect(world.lines[0]).toContain("cannot be read")
  expect(existsSync(join(folder, `${HISTORY_FILE}.broken`))).toBe(true)
  pass(world, 2 * MINUTE)
  expect(world.history.savedUntilMs).toBe(BEGIN_MS + 110 * SECOND)
  expect([world.history.healthy, world.lines.length]).toEqual([true, 1])
  world.history.close()
})

test("a file whose pages break while it is open is set aside, and answers of the live hour go on", async () => {
  const world = new HistoryWorld(folder, [steady()])
  pass(world, 10 * MINUTE)
  world.history.close()
  const path = join(folder, HISTORY_FILE)
  const bytes = new Uint8Array(await Bun.file(path).arrayBuffer())
  bytes.fill(0xa5, 4096)
  writeFileSync(path, bytes)
  world.begin()
  pass(world, 12 * MINUTE)
  expect(world.history.counts.setAside).toBe(1)
  expect((await figures(world, MINUTE)).rps).toBeCloseTo(10, 1)
  expect(world.history.healthy).toBe(true)
  world.history.close()
})

test("a second process does not write the same file", () => {
  const world = new HistoryWorld(folder, [steady()])
  pass(world, MINUTE)
  const lines: string[] = []
  const say = (line: string): unknown => lines.push(line)
  const log = { info: say, warn: say, error: say, debug: say } as never
  const second = new EmbeddedHistory(folder, { log, wallMs: world.wallMs })
  expect(second.healthy).toBe(false)
  expect(lines.join()).toContain("locked")
  second.close()
  world.history.close()
})

test("the file stays below its bound, and keeps what is newest", async () => {
  const limitBytes = 108 * 1024
  // Each of twenty callers is a record of every window.
  const flows = Array.from(
    { length: 20 },
    (_, index) => steady("", { client_id: `caller-${index}` }).flows[0],
  )
  const process = { ...steady(), flows: flows.filter(flow => flow !== undefined) }
  const world = new HistoryWorld(folder, [process], { limitBytes })
  pass(world, 3 * HOUR, 10 * SECOND)
  expect(statSync(join(folder, HISTORY_FILE)).size).toBeLessThanOrEqual(limitBytes)
  expect(world.lines).toEqual([])
  expect((await figures(world, 2 * HOUR)).rps).toBeCloseTo(200, -1)
  world.history.close()
})

test("keys beyond the bound are left out and counted", () => {
  const flows = Array.from(
    { length: 50 },
    (_, index) => steady("", { client_id: `caller-${index}` }).flows[0],
  )
  const process = { ...steady(), flows: flows.filter(flow => flow !== undefined) }
  const world = new HistoryWorld(folder, [process], { maxKeys: 20 })
  pass(world, MINUTE)
  expect(world.history.counts.leftOut).toBeGreaterThanOrEqual(30)
  world.history.close()
})
