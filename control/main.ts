// The control plane's program: `main.ts SERVICE` runs one service, or all of them, until SIGTERM.
import { createLog } from "./log.ts"
import { type RunningControlPlane, runControlPlane } from "./run.ts"
import { parseSettings } from "./settings.ts"

const log = createLog({
  format: process.env.CONDUIT_LOG_FORMAT === "json" ? "json" : "plain",
  write: line => process.stderr.write(line),
  now: () => new Date(),
})
const settings = parseSettings(process.argv.slice(2), process.env)
if (typeof settings === "string") {
  process.stderr.write(`control: ${settings}\n`)
  process.exit(2)
}
let running: RunningControlPlane | undefined
// Before anything is served: whoever starts us may end us as soon as the log says that we listen.
for (const signal of ["SIGTERM", "SIGINT"] as const) {
  process.once(signal, () => {
    setTimeout(() => {
      running?.stop()
      process.exit(0)
    }, running?.drain() ?? 0)
  })
}
try {
  running = await runControlPlane(settings, log)
} catch (error) {
  process.stderr.write(`control: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
