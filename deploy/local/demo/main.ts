// The demo shop's program: `bun deploy/local/demo/main.ts SERVICE` runs one of its services until SIGTERM.
// PORT says where it listens (8080; 9090 for gRPC, 7000 for the ledger), HOST on which address (0.0.0.0);
// HEALTH_PORT, where set, on which port `GET /ready` is answered.
import { addressesFrom, type ListenOptions, type Service, type ShopAddresses } from "./service.ts"

/** After SIGTERM a service goes on serving this long: callers learn only then that it leaves. */
const LEAVING_MS = 500

interface Known {
  readonly port: number
  readonly start: (listen: ListenOptions, addresses: ShopAddresses) => Promise<Service>
}

// Imported on demand: a service should cost the memory of what it uses.
const SERVICES: Record<string, Known> = {
  storefront: { port: 8080, start: async (l, a) => (await import("./storefront.ts")).startStorefront(l, a) },
  catalog: { port: 8080, start: async l => (await import("./catalog.ts")).startCatalog(l) },
  cart: { port: 9090, start: async l => (await import("./cart.ts")).startCart(l) },
  orders: { port: 9090, start: async (l, a) => (await import("./orders.ts")).startOrders(l, a.ledger) },
  notify: { port: 8080, start: async l => (await import("./notify.ts")).startNotify(l) },
  payments: { port: 8080, start: async (l, a) => (await import("./payments.ts")).startPayments(l, a.ledger) },
  ledger: { port: 7000, start: async l => (await import("./ledger.ts")).startLedger(l) },
  load: {
    port: 8080,
    start: async (l, a) => {
      const { shopCalls } = await import("./calls.ts")
      return (await import("./load.ts")).startLoad(l, shopCalls(a))
    },
  },
}

const name = process.argv[2] ?? ""
const known = SERVICES[name]
if (known === undefined || process.argv.length !== 3) {
  console.error(`usage: main.ts ${Object.keys(SERVICES).join("|")}`)
  process.exit(2)
}
const port = Number(process.env.PORT ?? known.port)
try {
  const service = await known.start({ host: process.env.HOST ?? "0.0.0.0", port }, addressesFrom(process.env))
  console.log(`${name}: listening on port ${service.port}`)
  let leaving = false
  const health = Number(process.env.HEALTH_PORT ?? 0)
  if (health !== 0)
    Bun.serve({
      port: health,
      fetch: () => (leaving ? new Response("leaving\n", { status: 503 }) : new Response("ready\n")),
    })
  const leave = async () => {
    if (leaving) return
    leaving = true
    await Bun.sleep(name === "load" ? 0 : LEAVING_MS)
    await service.stop()
    process.exit(0)
  }
  process.on("SIGTERM", leave)
  process.on("SIGINT", leave)
} catch (error) {
  console.error(`${name}: cannot listen on port ${port}: ${error instanceof Error ? error.message : error}`)
  process.exit(1)
}
