// The applications and the load of rollout_test.ts: `bun rollout_app.ts echo|cart|load`. On TERM the two applications
// close their listeners at once, as most do that know nothing of how slowly news of endpoints travels, and end with
// their last running call. On USR2 they do so too, and listen again after a while.
import { createServer } from "node:http"
import { createClient } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import type { Call } from "../../deploy/local/demo/calls.ts"
import { startCart } from "../../deploy/local/demo/cart.ts"
import { startLoad } from "../../deploy/local/demo/load.ts"
import { CartService } from "../../deploy/local/demo/shop_pb.ts"

/** A request that takes longer has failed. */
const REQUEST_TIMEOUT_MS = 5000
const ECHO_PORT = 8080
const CART_PORT = 9090

/** How long an application does not listen after USR2. */
const AWAY_MS = 3000

interface Application {
  /** Stops listening, and resolves when the last running call has ended. */
  stop(): Promise<void>
}

async function serve(start: () => Promise<Application>): Promise<void> {
  let application = await start()
  process.on("SIGTERM", async () => {
    await application.stop()
    process.exit(0)
  })
  process.on("SIGUSR2", async () => {
    await application.stop()
    await Bun.sleep(AWAY_MS)
    application = await start()
  })
}

async function startEcho(): Promise<Application> {
  let running = 0
  let ended = () => {}
  const server = createServer((request, response) => {
    running++
    const parts: Uint8Array[] = []
    request.on("data", (part: Uint8Array) => parts.push(part))
    request.on("end", () => response.end(Buffer.concat(parts)))
    response.on("close", () => {
      if (--running === 0) ended()
    })
  })
  await new Promise<void>(resolve => server.listen(ECHO_PORT, "0.0.0.0", resolve))
  return {
    stop: () =>
      new Promise(resolve => {
        server.close()
        ended = resolve
        if (running === 0) resolve()
      }),
  }
}

const startCartHere = (): Promise<Application> => startCart({ host: "0.0.0.0", port: CART_PORT })

function load(): void {
  const client = createClient(CartService, createGrpcTransport({ baseUrl: `http://cart.shop:${CART_PORT}` }))
  const calls: Call[] = [
    {
      name: "POST",
      target: "echo",
      perSecond: 150,
      reaches: ["shop/echo"],
      failsAt: [],
      async run(n) {
        const body = `body ${n} `.repeat(1 + (n % 200))
        const signal = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
        const answer = await fetch(`http://echo.shop:${ECHO_PORT}/`, { method: "POST", body, signal })
        const text = await answer.text()
        if (!answer.ok)
          return `${answer.status} ${answer.headers.get("conduit-proxy-error")?.split(";")[0] ?? ""}`
        return text === body ? null : "another body"
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
        await client.addItem(request, { timeoutMs: REQUEST_TIMEOUT_MS })
        return null
      },
    },
  ]
  const service = startLoad({ host: "0.0.0.0", port: 8080 }, calls)
  process.on("SIGTERM", async () => {
    await service.stop()
    process.exit(0)
  })
}

const role = process.argv[2]
if (role === "echo") await serve(startEcho)
else if (role === "cart") await serve(startCartHere)
else if (role === "load") load()
else throw new Error(`rollout_app.ts: unknown role ${JSON.stringify(role)}`)
