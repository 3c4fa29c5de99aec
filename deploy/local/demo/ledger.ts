// The shop's ledger: a small database that speaks first, as MariaDB, SMTP and FTP servers do. The client says
// nothing until it has read the greeting, so a mesh that waits for the client's first bytes would stall here.
//
// Lines of text. Server: "LEDGER 1 ready". Then, per command: "APPEND <cents>" -> "OK <number of entries>",
// "COUNT" -> "OK <number of entries>", "SUM" -> "OK <cents>", "QUIT" -> "BYE" and end; anything else "ERR <why>".
import type { ListenOptions, Service } from "./service.ts"

/** First line of every connection. */
export const LEDGER_GREETING = "LEDGER 1 ready\n"

/** Longest line that either side takes, in bytes: commands are a word and a number. */
export const LEDGER_MAX_LINE_BYTES = 256

/** The entries: how many, and their sum. Every entry counts, none is kept: the demo may run for days. */
export class Ledger {
  /** Number of entries. */
  entries = 0
  /** Sum of the entries in cents. */
  cents = 0

  /** Answer to one command line (without the line's end), with the line's end. */
  answer(line: string): string {
    const [command, argument] = line.trim().split(" ")
    switch (command) {
      case "APPEND": {
        const cents = Number(argument)
        if (!Number.isSafeInteger(cents))
          return `ERR APPEND needs a whole number of cents, not "${argument ?? ""}"\n`
        this.entries++
        this.cents += cents
        return `OK ${this.entries}\n`
      }
      case "COUNT":
        return `OK ${this.entries}\n`
      case "SUM":
        return `OK ${this.cents}\n`
      case "QUIT":
        return "BYE\n"
      default:
        return `ERR unknown command "${command ?? ""}"; known are APPEND, COUNT, SUM and QUIT\n`
    }
  }
}

/** Starts the ledger. */
export function startLedger(listen: ListenOptions): Service {
  const ledger = new Ledger()
  const server = Bun.listen<{ rest: string }>({
    hostname: listen.host,
    port: listen.port,
    socket: {
      open(socket) {
        socket.data = { rest: "" }
        socket.write(LEDGER_GREETING)
      },
      data(socket, chunk) {
        const lines = (socket.data.rest + chunk.toString("latin1")).split("\n")
        socket.data.rest = lines.pop() ?? ""
        if (socket.data.rest.length > LEDGER_MAX_LINE_BYTES) {
          socket.end("ERR line too long\n")
          return
        }
        let answers = ""
        for (const line of lines) answers += ledger.answer(line)
        if (answers.endsWith("BYE\n")) socket.end(answers)
        else if (answers !== "") socket.write(answers)
      },
    },
  })
  return {
    port: server.port,
    async stop() {
      server.stop(true)
    },
  }
}
