// The shop's orders: gRPC with a server stream (Track) and a stream both ways (Negotiate). Each Track opens a
// connection of its own to the ledger, so that a server that speaks first is met all the time.
import { serveGrpc } from "./grpc_server.ts"
import { LedgerClient } from "./ledger_client.ts"
import type { ListenOptions, Service } from "./service.ts"
import { OrdersService } from "./shop_pb.ts"

/** What becomes of an order, in order. */
export const ORDER_STATES = ["placed", "packed", "shipped", "delivered"] as const

/** Between two states of a tracked order, in milliseconds. */
export const ORDER_STATE_MS = 20

/** The shop gives in once an offer reaches this share of its price. */
const NEGOTIATE_PRICE_CENTS = 5000
const NEGOTIATE_ACCEPTED_SHARE = 0.9

/**
 * Starts the orders.
 *
 * @param ledger  HOST:PORT of the ledger
 */
export function startOrders(listen: ListenOptions, ledger: string): Promise<Service> {
  return serveGrpc(listen, router =>
    router.service(OrdersService, {
      async *track({ order }) {
        const connection = await LedgerClient.connect(ledger)
        try {
          for (const state of ORDER_STATES) {
            yield { order, state, ledgerEntries: await connection.command("COUNT") }
            await Bun.sleep(ORDER_STATE_MS)
          }
        } finally {
          connection.close()
        }
      },
      async *negotiate(offers) {
        for await (const { cents } of offers) {
          const accepted = cents >= NEGOTIATE_PRICE_CENTS * NEGOTIATE_ACCEPTED_SHARE
          yield { cents: accepted ? cents : NEGOTIATE_PRICE_CENTS, accepted }
        }
      },
    }),
  )
}
