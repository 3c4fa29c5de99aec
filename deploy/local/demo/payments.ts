// The shop's payments: HTTP/1.1 and JSON in front, a line in the ledger behind, and a failure that is known exactly.
import { LedgerClient } from "./ledger_client.ts"
import type { ListenOptions, Service } from "./service.ts"

/** Every so many charges, one fails: charge 20, 40, 60... of each replica, a share of exactly 5 %. */
export const PAYMENTS_FAIL_EVERY = 20

/**
 * Starts the payments: `POST /charge {"cents": N}` writes to the ledger and answers 200 with the entry's number;
 * each PAYMENTS_FAIL_EVERY-th charge is answered 500 without touching the ledger..
 *
 * @param ledger  HOST:PORT of the ledger
 */
export function startPayments(listen: ListenOptions, ledger: string): Service {
  let charges = 0
  let connection: Promise<LedgerClient> | undefined

  async function append(cents: number): Promise<number> {
    if (connection !== undefined && !(await connection.then(open, () => false))) connection = undefined
    connection ??= LedgerClient.connect(ledger)
    return (await connection).command(`APPEND ${cents}`)
  }

  const server = Bun.serve({
    hostname: listen.host,
    port: listen.port,
    routes: {
      "/charge": {
        async POST(request) {
          const { cents } = (await request.json()) as { cents: number }
          charges++
          if (charges % PAYMENTS_FAIL_EVERY === 0)
            return Response.json({ error: "the card's bank did not answer" }, { status: 500 })
          try {
            return Response.json({ entry: await append(cents) })
          } catch (error) {
            return Response.json({ error: String(error) }, { status: 503 })
          }
        },
      },
    },
    fetch: () => new Response("not found\n", { status: 404 }),
  })
  return {
    port: server.port ?? 0,
    async stop() {
      await server.stop()
      await connection?.then(
        client => client.close(),
        () => undefined,
      )
    },
  }
}

function open(client: LedgerClient): boolean {
  return client.open
}
