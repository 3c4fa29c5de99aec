// The shop's storefront: what customers see. HTTP/1.1 in front; catalog, cart and payments behind.
import { createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import type { Product } from "./catalog.ts"
import type { ListenOptions, Service, ShopAddresses } from "./service.ts"
import { CartService } from "./shop_pb.ts"

/**
 * Starts the storefront:
 * `GET /` asks the catalog once; `GET /product/KEY` asks the catalog once;
 * `POST /checkout?customer=C` asks the cart once, then payments once, whatever the cart said.
 * A failure of one of them is answered 502.
 */
export function startStorefront(
  listen: ListenOptions,
  addresses: Pick<ShopAddresses, "catalog" | "cart" | "payments">,
): Service {
  const cart = createClient(CartService, createGrpcTransport({ baseUrl: addresses.cart }))
  const server = Bun.serve({
    hostname: listen.host,
    port: listen.port,
    routes: {
      "/": async () => {
        const answer = await fetch(`${addresses.catalog}/products`)
        if (!answer.ok) return failed("catalog", `answered ${answer.status}`)
        const products = (await answer.json()) as Product[]
        return page(products.map(each => `<li><a href="/product/${each.key}">${each.name}</a></li>`).join(""))
      },
      "/product/:key": async request => {
        const answer = await fetch(`${addresses.catalog}/products/${request.params.key}`)
        if (answer.status === 404) return new Response("no such product\n", { status: 404 })
        if (!answer.ok) return failed("catalog", `answered ${answer.status}`)
        const product = (await answer.json()) as Product
        return page(`<li>${product.name}: ${product.cents / 100}</li>`)
      },
      "/checkout": {
        async POST(request) {
          const customer = new URL(request.url).searchParams.get("customer") ?? "nobody"
          const { items, cents } = await cart.getCart({ customer })
          const answer = await fetch(`${addresses.payments}/charge`, {
            method: "POST",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ cents }),
          })
          if (!answer.ok) return failed("payments", `answered ${answer.status}: ${await answer.text()}`)
          return Response.json({ items, ...((await answer.json()) as { entry: number }) })
        },
      },
    },
    error: error => failed("a service behind it", String(error)),
    fetch: () => new Response("not found\n", { status: 404 }),
  })
  return { port: server.port ?? 0, stop: () => server.stop() }
}

function page(items: string): Response {
  return new Response(`<!doctype html><title>Shop</title><ul>${items}</ul>\n`, {
    headers: { "content-type": "text/html; charset=utf-8" },
  })
}

function failed(service: string, why: string): Response {
  return new Response(`storefront: ${service}: ${why}\n`, { status: 502 })
}
