// The load of resilience_test.ts, in a pod: 500 requests a second over HTTP/1 and gRPC, counted exactly.
import { createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import type { Call } from "../../deploy/local/demo/calls.ts"
import { startLoad } from "../../deploy/local/demo/load.ts"
import { CartService } from "../../deploy/local/demo/shop_pb.ts"

/** A request that takes longer has failed. */
const REQUEST_TIMEOUT_MS = 5000

const cart = createClient(CartService, createGrpcTransport({ baseUrl: "http://cart.shop:9090" }))
const calls: Call[] = [
  {
    name: "HTTP/1",
    target: "catalog",
    perSecond: 350,
    reaches: ["shop/catalog"],
    failsAt: [],
    async run() {
      const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
      const answer = await fetch("http://catalog.shop:8080/products/mug", { signal })
      await answer.arrayBuffer()
      return answer.ok ? null : `${answer.status} ${answer.headers.get("conduit-proxy-error") ?? ""}`
    },
  },
  {
    name: "gRPC",
    target: "cart",
    perSecond: 150,
    reaches: ["shop/cart"],
    failsAt: [],
    async run(n) {
      const request = { customer: `customer-${n % 100}`, product: "mug", count: 1 }
      await cart.addItem(request, { timeoutMs: REQUEST_TIMEOUT_MS })
      return null
    },
  },
]

const service = startLoad({ host: "0.0.0.0", port: 8080 }, calls)
process.on("SIGTERM", async () => {
  await service.stop()
  process.exit(0)
})
