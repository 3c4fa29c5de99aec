// The shop's catalog: products as JSON over HTTP/1.1.
import type { ListenOptions, Service } from "./service.ts"

/** A product. */
export interface Product {
  /** Key, as in URLs. */
  readonly key: string
  /** Name for people. */
  readonly name: string
  /** Price in cents. */
  readonly cents: number
}

/** Everything the shop sells. */
export const PRODUCTS: readonly Product[] = [
  { key: "kettle", name: "Kettle", cents: 3900 },
  { key: "lamp", name: "Desk lamp", cents: 5400 },
  { key: "mug", name: "Mug", cents: 900 },
  { key: "notebook", name: "Notebook", cents: 650 },
  { key: "pen", name: "Fountain pen", cents: 2800 },
  { key: "stool", name: "Stool", cents: 7600 },
]

/** Starts the catalog: `GET /products`, `GET /products/KEY` (404 for a key it does not know). */
export function startCatalog(listen: ListenOptions): Service {
  const server = Bun.serve({
    hostname: listen.host,
    port: listen.port,
    routes: {
      "/products": () => Response.json(PRODUCTS),
      "/products/:key": request => {
        const product = PRODUCTS.find(each => each.key === request.params.key)
        return product ? Response.json(product) : new Response("no such product\n", { status: 404 })
      },
    },
    fetch: () => new Response("not found\n", { status: 404 }),
  })
  return { port: server.port ?? 0, stop: () => server.stop() }
}
