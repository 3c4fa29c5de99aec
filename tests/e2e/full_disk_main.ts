// For full_disk_test.ts, on a small file system of its own: telemetry's history while the disk fills up, and when there is room
// again. Prints what was logged and counted as JSON. Usage: full_disk_main.ts FOLDER
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { HistoryWorld } from "../../control/history/history_world.ts"
import { localQueries } from "../../control/telemetry/mod.ts"

const [folder = ""] = process.argv.slice(2)
const BLOCK = new Uint8Array(4096)
const at = () => ({ successes: 10, latency: [[4, 10]] as const })
const flows = Array.from({ length: 30 }, (_, index) => ({
  labels: { direction: "inbound", client_id: `caller-${index}` },
  at,
}))
const world = new HistoryWorld(join(folder, "data"), [{ pod: "web-1", workload: "web", startedMs: 0, flows }])
const pass = (ms: number): void => {
  for (const end = world.timeMs + ms; world.timeMs < end; ) {
    world.timeMs += 5_000
    world.report()
    world.tick()
  }
}
pass(60_000)
const fill: string[] = []
try {
  for (;;) {
    const path = join(folder, `fill-${fill.length}`)
    fill.push(path)
    writeFileSync(path, BLOCK)
  }
} catch (error) {
  console.error((error as NodeJS.ErrnoException).code)
}
pass(300_000)
const full = { healthy: world.history.healthy, ...world.history.counts }
const { traffic } = await localQueries(world.store, world.clock.nowMs, world.history).traffic(60_000, 1)
const answered = traffic.reduce((sum, row) => sum + Number(row.successes), 0)
for (const path of fill) rmSync(path, { force: true })
pass(20_000)
const healed = { healthy: world.history.healthy, ...world.history.counts }
console.log(JSON.stringify({ full, healed, answered, lines: world.lines }))
process.exit(0)
