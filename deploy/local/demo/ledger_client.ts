// Client of the shop's ledger: one connection, commands answered in order, the greeting awaited first.
import type { Socket } from "bun"
import { LEDGER_GREETING } from "./ledger.ts"

/** How long a command may wait for its answer, connecting and the greeting included, in milliseconds. */
export const LEDGER_ANSWER_MS = 5000

interface Waiting {
  readonly resolve: (line: string) => void
  readonly reject: (error: Error) => void
}

/** One connection to the ledger. Not reopened by itself: `open` tells, the owner makes another. */
export class LedgerClient {
  /** False once the connection is gone. */
  open = true
  readonly #socket: Socket<undefined>
  readonly #waiting: Waiting[] = []
  #rest = ""

  private constructor(socket: Socket<undefined>) {
    this.#socket = socket
  }

  /**
   * Connects and reads the greeting.
   *
   * @param address  HOST:PORT
   * @throws Error when the ledger cannot be reached, or greets with something else
   */
  static async connect(address: string): Promise<LedgerClient> {
    const colon = address.lastIndexOf(":")
    let client: LedgerClient | undefined
    let early = ""
    const socket = await Bun.connect({
      hostname: address.slice(0, colon),
      port: Number(address.slice(colon + 1)),
      socket: {
        data(_socket, chunk) {
          if (client === undefined) early += chunk.toString("latin1")
          else client.#read(chunk.toString("latin1"))
        },
        close() {
          if (client !== undefined) client.#fail(new Error(`ledger ${address}: connection closed`))
        },
        error(_socket, error) {
          if (client !== undefined) client.#fail(error)
        },
      },
    })
    client = new LedgerClient(socket)
    const greeted = client.#next()
    if (early !== "") client.#read(early)
    const greeting = await greeted
    if (`${greeting}\n` === LEDGER_GREETING) return client
    client.close()
    throw new Error(`ledger ${address}: greeted with "${greeting}", which is not a ledger`)
  }

  /**
   * Sends a command and gives the number it is answered with.
   *
   * @throws Error when the ledger refuses the command, says nothing for LEDGER_ANSWER_MS, or is gone
   */
  async command(line: string): Promise<number> {
    if (!this.open) throw new Error("ledger: the connection is closed")
    const answered = this.#next()
    this.#socket.write(`${line}\n`)
    const answer = await answered
    if (!answer.startsWith("OK ")) throw new Error(`ledger: ${line}: ${answer}`)
    return Number(answer.slice(3))
  }

  /** Closes the connection. */
  close(): void {
    this.#socket.end()
    this.#fail(new Error("ledger: closed by its user"))
  }

  #next(): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#fail(new Error(`ledger: no answer within ${LEDGER_ANSWER_MS} ms`))
        this.#socket.terminate()
      }, LEDGER_ANSWER_MS)
      this.#waiting.push({
        resolve(line) {
          clearTimeout(timer)
          resolve(line)
        },
        reject(error) {
          clearTimeout(timer)
          reject(error)
        },
      })
    })
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split("\n")
    this.#rest = lines.pop() ?? ""
    for (const line of lines) this.#waiting.shift()?.resolve(line)
  }

  #fail(error: Error): void {
    this.open = false
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
  }
}
