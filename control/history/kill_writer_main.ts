// Telemetry in small, for kill_test.ts: twenty proxies of known counts report, windows pass as fast as they can be written, and
// each is told on standard output once it is. Killed at any time, it goes on where the one before was.
import { writeSync } from "node:fs"
import { create } from "@bufbuild/protobuf"
import { telemetryV1 } from "../../protos/mod.ts"
import { HISTORY_SLOT_MS, TelemetryStore } from "../telemetry/mod.ts"
import { EmbeddedHistory } from "./embedded_history.ts"

const PROXIES = 20
/** Responses a second of each. */
const RATE = 7
const SECOND = 1000

const [folder = "", beginText = "0", wallText = "0"] = process.argv.slice(2)
const beginMs = Number(beginText)
const say = (line: string): unknown => writeSync(1, `${line}\n`)
const log = { info: say, warn: say, error: say, debug: say }
const history = new EmbeddedHistory(folder, { log, wallMs: () => Number(wallText) })
/** The clock of a control plane that comes back a moment after the one before was killed. */
let timeMs = Math.max(beginMs, Number(wallText), history.resumedMs + 4 * SECOND)
say(`began ${history.resumedMs}`)
const store = new TelemetryStore(history.resumedMs === 0 ? beginMs : history.resumedMs, history)
const clock = { nowMs: () => timeMs, aheadMs: () => 0 }
const streams = Array.from({ length: PROXIES }, (_, index) => {
  const about = { namespace: "shop", pod: `web-${index}`, workloadKind: "deployment", workload: "web" }
  return store.openStream(create(telemetryV1.ReporterSchema, { ...about, startedAtMs: BigInt(beginMs) }))
})
const labels = { direction: "inbound", tls: "disabled", classification: "success", status_code: "200" }
for (; ; timeMs += HISTORY_SLOT_MS / 2) {
  const value = (RATE * (timeMs - beginMs)) / SECOND
  const report = create(telemetryV1.ReportRequestSchema, {
    series: [{ id: 1, metric: "response_total", labels }],
    samples: [{ seriesId: 1, value }],
  })
  for (const stream of streams) stream?.take(report, timeMs)
  history.tick(store.all(), clock)
  say(`saved ${history.savedUntilMs}`)
}
