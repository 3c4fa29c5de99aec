// Connections as fast as they come: each asks once, is answered, and is closed by its client. Backend and clients in one
// process, as in load.ts. usage: bun churn.ts '<ChurnOptions as JSON>'  ->  connections a second on stdout
import type { Socket } from "bun"

/** What to do. */
export interface ChurnOptions {
  readonly target: { readonly host: string; readonly port: number }
  readonly backend: { readonly host: string; readonly port: number }
  /** Connections at a time. */
  readonly connections: number
  readonly warmupMs: number
  readonly durationMs: number
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? "{}") as ChurnOptions
  const question = new Uint8Array(100)
  Bun.listen({
    hostname: options.backend.host,
    port: options.backend.port,
    socket: {
      data(socket: Socket, chunk) {
        socket.write(chunk)
      },
    },
  })
  let answered = 0
  let failed = 0
  const next = () => {
    let done = false
    Bun.connect({
      hostname: options.target.host,
      port: options.target.port,
      socket: {
        open(socket) {
          socket.write(question)
        },
        data(socket) {
          done = true
          answered++
          socket.end()
        },
        close() {
          if (!done) failed++
          next()
        },
        connectError() {
          failed++
          setTimeout(next, 10)
        },
      },
    }).catch(() => {})
  }
  for (let i = 0; i < options.connections; i++) next()
  await Bun.sleep(options.warmupMs)
  const before = answered
  const startedMs = performance.now()
  process.send?.("counting")
  await Bun.sleep(options.durationMs)
  process.send?.("counted")
  const perSecond = ((answered - before) * 1000) / (performance.now() - startedMs)
  console.log(JSON.stringify({ perSecond, connections: answered - before, failed }))
  process.exit(0)
}
