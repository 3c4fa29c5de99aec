// A TCP client and servers for tests of interception. `bun tcp_peer.ts serve ADDRESS PORT KIND` with KIND echo |
// greet | sink | reset | half-close; `bun tcp_peer.ts call ADDRESS PORT TEXT` prints one line of JSON.
import type { Socket } from "bun"

/** What a call saw. */
export interface CallReport {
  readonly received: string
  /** Milliseconds from connect to the first byte; -1 if none came. */
  readonly firstByteMs: number
  /** `end` for a FIN, else the code of the error. */
  readonly ended: string
}

type Kind = "echo" | "greet" | "reset" | "half-close" | "name"

function serve(hostname: string, port: number, kind: Kind, name: string): void {
  const heard = new WeakMap<object, string>()
  Bun.listen({
    hostname,
    port,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        if (kind === "greet") socket.write("220 ready\n")
      },
      data(socket, chunk) {
        if (kind === "echo" || kind === "greet") socket.write(chunk)
        else if (kind === "reset") socket.terminate()
        else if (kind === "name") socket.write(`${name}\n`)
        else heard.set(socket, (heard.get(socket) ?? "") + chunk.toString())
      },
      end(socket) {
        if (kind === "half-close") socket.write(`heard ${heard.get(socket) ?? ""}`)
        socket.shutdown()
      },
    },
  })
  process.stdout.write("listening\n")
}

function call(hostname: string, port: number, text: string): void {
  const start = performance.now()
  let received = ""
  let firstByteMs = -1
  let over = false
  const finish = (ended: string) => {
    if (over) return
    over = true
    process.stdout.write(`${JSON.stringify({ received, firstByteMs, ended } satisfies CallReport)}\n`)
    process.exit(0)
  }
  // "silent:" waits for the server to speak; then the connection is half-closed. "hold:" never half-closes.
  const silent = text === "silent"
  const say = (socket: Socket) => {
    if (!silent) socket.write(text)
    if (!silent) socket.shutdown()
  }
  Bun.connect({
    hostname,
    port,
    allowHalfOpen: true,
    socket: {
      open: say,
      data(socket, chunk) {
        if (firstByteMs < 0) firstByteMs = performance.now() - start
        received += chunk.toString()
        if (silent) socket.shutdown()
      },
      end: () => finish("end"),
      close: (_socket, error) => finish((error as { code?: string } | undefined)?.code ?? "end"),
      connectError: (_socket, error) => finish((error as { code?: string }).code ?? "failed"),
    },
  }).catch(() => {})
  setTimeout(() => finish("timeout"), 8_000)
}

if (import.meta.main) {
  const [mode, address = "", port = "", what = "", name = ""] = process.argv.slice(2)
  if (mode === "serve") serve(address, Number(port), what as Kind, name)
  else call(address, Number(port), what)
}
