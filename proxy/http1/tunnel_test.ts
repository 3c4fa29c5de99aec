// What an upgrade has become is nobody's request any more: no idle time, no drain, no push of the control plane ends it.
import { expect, test } from "bun:test"
import { Endpoint, SingleEndpoint } from "../balance/mod.ts"
import { rawClient, rawServer } from "../http/raw_peer.ts"
import { TimerWheel } from "../net/mod.ts"
import { DOWNSTREAM_IDLE_MS } from "./client.ts"
import { startHttp1Loopback } from "./loopback.ts"

test.each([0, 1] as const)(
  "a WebSocket rests for a day, loses its endpoint, and is drained: it goes on (direction %d)",
  async direction => {
    const clock = { nowMs: 1000 }
    const timers = new TimerWheel(clock)
    const server = await rawServer()
    const endpoint = new Endpoint("127.0.0.1", server.port)
    const proxy = startHttp1Loopback(new SingleEndpoint(endpoint), { direction, time: { clock, timers } })
    const client = await rawClient(proxy.port)
    client.send("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    const upstream = await server.peer(0)
    await upstream.take("\r\n\r\n")
    upstream.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
    await client.take("\r\n\r\n")

    endpoint.remove()
    for (let hour = 0; hour < 24; hour++) {
      clock.nowMs += DOWNSTREAM_IDLE_MS
      timers.advance()
    }
    const [connection] = proxy.connections
    connection?.drain()
    connection?.closeIfIdle?.()
    client.send("still")
    expect(await upstream.take("still")).toBe("still")
    upstream.send("here")
    expect(await client.take("here")).toBe("here")

    client.socket.end()
    await upstream.end()
    proxy.close()
    server.close()
  },
)
