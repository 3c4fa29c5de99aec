// What every service of the demo shop has in common: where it listens, how it reaches the others, and how it ends.

/** A running service of the shop. */
export interface Service {
  /** Port it listens on. */
  readonly port: number
  /** Stops listening, lets running calls finish, and resolves when the last has ended. */
  stop(): Promise<void>
}

/** Where a service listens. */
export interface ListenOptions {
  /** Address to bind; 0.0.0.0 in a pod, 127.0.0.1 in tests. */
  readonly host: string
  /** Port to bind; 0 lets the system choose. */
  readonly port: number
}

/** Addresses of the shop's services, as the callers among them use them. */
export interface ShopAddresses {
  /** Base URL of the storefront (HTTP/1.1). */
  readonly storefront: string
  /** Base URL of the catalog (HTTP/1.1, JSON). */
  readonly catalog: string
  /** Base URL of the cart (gRPC). */
  readonly cart: string
  /** Base URL of the orders (gRPC). */
  readonly orders: string
  /** URL of the notifications (WebSocket). */
  readonly notify: string
  /** Base URL of the payments (HTTP/1.1, JSON). */
  readonly payments: string
  /** HOST:PORT of the ledger (its own protocol, the server speaks first). */
  readonly ledger: string
}

/** The addresses that shop.yaml gives: Service names of the cluster. */
export const CLUSTER_ADDRESSES: ShopAddresses = {
  storefront: "http://storefront.shop:8080",
  catalog: "http://catalog.shop:8080",
  cart: "http://cart.shop:9090",
  orders: "http://orders.shop:9090",
  notify: "ws://notify.shop:8080",
  payments: "http://payments.backend:8080",
  ledger: "ledger.backend:7000",
}

/**
 * The cluster's addresses, each overridden by `<NAME>_ADDR` (`CATALOG_ADDR=http://127.0.0.1:8101`) where set:
 * that is how the shop runs as plain processes, with neither cluster nor mesh.
 */
export function addressesFrom(env: Record<string, string | undefined>): ShopAddresses {
  return {
    storefront: env.STOREFRONT_ADDR ?? CLUSTER_ADDRESSES.storefront,
    catalog: env.CATALOG_ADDR ?? CLUSTER_ADDRESSES.catalog,
    cart: env.CART_ADDR ?? CLUSTER_ADDRESSES.cart,
    orders: env.ORDERS_ADDR ?? CLUSTER_ADDRESSES.orders,
    notify: env.NOTIFY_ADDR ?? CLUSTER_ADDRESSES.notify,
    payments: env.PAYMENTS_ADDR ?? CLUSTER_ADDRESSES.payments,
    ledger: env.LEDGER_ADDR ?? CLUSTER_ADDRESSES.ledger,
  }
}
