// Options that a dead peer is noticed by: on dialled sockets, and inherited by accepted ones.
import { expect, test } from "bun:test"
import type { Conn } from "./conn.ts"
import { dial } from "./dial.ts"
import { listen } from "./listen.ts"
import { readSocketOption, TCP_KEEPALIVE_SECONDS, TCP_USER_TIMEOUT_MS } from "./socket_options.ts"

function option(conn: Conn, level: number, number: number): number {
  const buffer = new Uint8Array(4)
  expect(readSocketOption(conn.fd, level, number, buffer, new Uint32Array(1))).toBe(true)
  return new DataView(buffer.buffer).getInt32(0, true)
}

test("both ends probe a silent peer, give up in time, and send small writes at once", async () => {
  const accepted = Promise.withResolvers<Conn>()
  const opened = Promise.withResolvers<Conn>()
  const ignore = { onOpen() {}, onData() {}, onDrain() {}, onEnd() {}, onClose() {} }
  const listener = listen({
    address: "127.0.0.1",
    port: 0,
    accept(conn) {
      accepted.resolve(conn)
      return ignore
    },
  })
  dial("127.0.0.1", listener.port, { ...ignore, onOpen: opened.resolve })
  for (const conn of [await accepted.promise, await opened.promise]) {
    expect(option(conn, 1, 9)).toBe(1)
    expect(option(conn, 6, 4)).toBe(TCP_KEEPALIVE_SECONDS)
    expect(option(conn, 6, 5)).toBe(TCP_KEEPALIVE_SECONDS)
    expect(option(conn, 6, 6)).toBe(3)
    expect(option(conn, 6, 18)).toBe(TCP_USER_TIMEOUT_MS)
    expect(option(conn, 6, 1)).toBe(1)
    conn.reset()
  }
  listener.close()
})
