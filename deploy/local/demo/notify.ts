// The shop's notifications: a WebSocket that echoes each topic subscribed to with a number.
import type { ListenOptions, Service } from "./service.ts"

/** Starts the notifications: `GET /socket` upgrades. */
export function startNotify(listen: ListenOptions): Service {
  let sent = 0
  const server = Bun.serve({
    hostname: listen.host,
    port: listen.port,
    fetch(request, server) {
      const { pathname } = new URL(request.url)
      if (pathname !== "/socket") return new Response("not found\n", { status: 404 })
      if (server.upgrade(request)) return undefined
      return new Response("this is a WebSocket\n", { status: 426 })
    },
    websocket: {
      message(socket, topic) {
        sent++
        socket.send(JSON.stringify({ topic: String(topic), number: sent }))
      },
    },
  })
  return { port: server.port ?? 0, stop: () => server.stop() }
}
