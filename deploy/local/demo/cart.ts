// The shop's carts: unary gRPC.
import { PRODUCTS } from "./catalog.ts"
import { serveGrpc } from "./grpc_server.ts"
import type { ListenOptions, Service } from "./service.ts"
import { CartService } from "./shop_pb.ts"

/** Customers whose carts are kept; the oldest goes when another comes. */
export const CARTS_KEPT = 1000

/** Starts the carts. */
export function startCart(listen: ListenOptions): Promise<Service> {
  const carts = new Map<string, { items: number; cents: number }>()
  return serveGrpc(listen, router =>
    router.service(CartService, {
      addItem({ customer, product, count }) {
        const cart = carts.get(customer) ?? { items: 0, cents: 0 }
        cart.items += count
        cart.cents += count * (PRODUCTS.find(each => each.key === product)?.cents ?? 0)
        carts.delete(customer)
        carts.set(customer, cart)
        for (const oldest of carts.keys()) {
          if (carts.size <= CARTS_KEPT) break
          carts.delete(oldest)
        }
        return { items: cart.items }
      },
      getCart: ({ customer }) => carts.get(customer) ?? { items: 0, cents: 0 },
    }),
  )
}
