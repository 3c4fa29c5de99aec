// `conduit-await [--timeout=120s] [--port=4191]`: ends with 0 once the pod's proxy accepts connections, with 1 when it
// does not in time, with 2 for arguments that it does not know.
import { awaitLive } from "./await_live.ts"

let timeoutMs = 120_000
let adminPort = 4191
for (const word of process.argv.slice(2)) {
  const timeout = /^--timeout=(\d{1,5})s$/.exec(word)?.[1]
  const port = /^--port=(\d{1,5})$/.exec(word)?.[1]
  if (timeout !== undefined) timeoutMs = Number(timeout) * 1000
  else if (port !== undefined) adminPort = Number(port)
  else {
    process.stderr.write(
      `conduit-await: "${word}" is none of its arguments: --timeout=SECONDSs, --port=PORT\n`,
    )
    process.exit(2)
  }
}
try {
  await awaitLive({ adminPort, timeoutMs })
} catch (error) {
  process.stderr.write(`conduit-await: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
