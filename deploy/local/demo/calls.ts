// What the shop's customers do: each kind of call, how often, and which services it reaches. The demo compares
// these known numbers with what the mesh counted.
import { createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { PRODUCTS } from "./catalog.ts"
import { ORDER_STATES } from "./orders.ts"
import type { ShopAddresses } from "./service.ts"
import { CartService, OrdersService } from "./shop_pb.ts"

/** How long a call may take before the customer goes away, in milliseconds. */
export const CALL_TIMEOUT_MS = 10_000

/** Messages of one WebSocket session, and offers of one negotiation. */
const ROUNDS = 3
/** Different customers: enough for carts to differ. */
const CUSTOMERS = 100

/** One kind of call. */
export interface Call {
  /** Name, for people. */
  readonly name: string
  /** Service that is called, and how, for people. */
  readonly target: string
  /** How often, per second. */
  readonly perSecond: number
  /** `NAMESPACE/DEPLOYMENT` of each service that gets exactly one request for each such call. */
  readonly reaches: readonly string[]
  /** Those of `reaches` that answer with a failure whenever the call fails. */
  readonly failsAt: readonly string[]
  /**
   * Makes the n-th call. Resolves to null on success, else to the status that says otherwise (`502`, `grpc 14`).
   *
   * @throws Error when there was no answer: refused, reset, timed out
   */
  run(n: number): Promise<string | null>
}

/** An answer that is not what the service is known to answer. */
class WrongAnswer extends Error {}

/** The calls, against these addresses. */
export function shopCalls(addresses: ShopAddresses): Call[] {
  const cart = createClient(CartService, createGrpcTransport({ baseUrl: addresses.cart }))
  const orders = createClient(OrdersService, createGrpcTransport({ baseUrl: addresses.orders }))
  const customer = (n: number) => `customer-${n % CUSTOMERS}`

  async function http(url: string, method: string): Promise<string | null> {
    const answer = await fetch(url, { method, signal: AbortSignal.timeout(CALL_TIMEOUT_MS) })
    await answer.arrayBuffer()
    return answer.ok ? null : String(answer.status)
  }

  return [
    {
      name: "home page",
      target: "storefront, HTTP/1",
      perSecond: 20,
      reaches: ["shop/storefront", "shop/catalog"],
      failsAt: ["shop/storefront", "shop/catalog"],
      run: () => http(`${addresses.storefront}/`, "GET"),
    },
    {
      name: "product page",
      target: "storefront, HTTP/1",
      perSecond: 10,
      reaches: ["shop/storefront", "shop/catalog"],
      failsAt: ["shop/storefront", "shop/catalog"],
      run: n => http(`${addresses.storefront}/product/${PRODUCTS[n % PRODUCTS.length]?.key}`, "GET"),
    },
    {
      name: "checkout",
      target: "storefront, HTTP/1",
      perSecond: 10,
      reaches: ["shop/storefront", "shop/cart", "backend/payments"],
      failsAt: ["shop/storefront", "backend/payments"],
      run: n => http(`${addresses.storefront}/checkout?customer=${customer(n)}`, "POST"),
    },
    {
      name: "add to cart",
      target: "cart, gRPC unary",
      perSecond: 10,
      reaches: ["shop/cart"],
      failsAt: ["shop/cart"],
      async run(n) {
        const product = PRODUCTS[n % PRODUCTS.length]?.key ?? ""
        const { items } = await cart.addItem(
          { customer: customer(n), product, count: 1 },
          { timeoutMs: CALL_TIMEOUT_MS },
        )
        if (items < 1) throw new WrongAnswer("the cart is empty after adding an item")
        return null
      },
    },
    {
      name: "track order",
      target: "orders, gRPC server stream",
      perSecond: 5,
      reaches: ["shop/orders"],
      failsAt: ["shop/orders"],
      async run(n) {
        let states = 0
        for await (const { state } of orders.track({ order: n }, { timeoutMs: CALL_TIMEOUT_MS }))
          if (state === ORDER_STATES[states]) states++
        if (states !== ORDER_STATES.length)
          throw new WrongAnswer(`${states} states of ${ORDER_STATES.length}`)
        return null
      },
    },
    {
      name: "negotiate",
      target: "orders, gRPC both ways",
      perSecond: 5,
      reaches: ["shop/orders"],
      failsAt: ["shop/orders"],
      async run() {
        let answers = 0
        for await (const { accepted } of orders.negotiate(offers(), { timeoutMs: CALL_TIMEOUT_MS })) {
          answers++
          if (accepted !== (answers === ROUNDS)) throw new WrongAnswer(`offer ${answers} was judged wrongly`)
        }
        if (answers !== ROUNDS) throw new WrongAnswer(`${answers} answers to ${ROUNDS} offers`)
        return null
      },
    },
    {
      name: "notifications",
      target: "notify, WebSocket",
      perSecond: 5,
      reaches: ["shop/notify"],
      failsAt: ["shop/notify"],
      run: n => webSocketSession(`${addresses.notify}/socket`, `order-${n}`),
    },
  ]
}

async function* offers(): AsyncGenerator<{ cents: number }> {
  for (let round = 1; round <= ROUNDS; round++) yield { cents: round * 1500 }
}

function webSocketSession(url: string, topic: string): Promise<null> {
  return new Promise((resolve, reject) => {
    let echoes = 0
    const socket = new WebSocket(url)
    const timer = setTimeout(() => socket.close(), CALL_TIMEOUT_MS)
    socket.onopen = () => socket.send(topic)
    socket.onmessage = ({ data }) => {
      if ((JSON.parse(String(data)) as { topic: string }).topic === topic) echoes++
      if (echoes < ROUNDS) socket.send(topic)
      else socket.close(1000)
    }
    socket.onclose = ({ code }) => {
      clearTimeout(timer)
      if (echoes === ROUNDS) resolve(null)
      else reject(new Error(`the WebSocket closed with ${code} after ${echoes} of ${ROUNDS} messages`))
    }
  })
}
