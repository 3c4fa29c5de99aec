// HTTP servers for tests: `bun http_peer.ts NAME` serves HTTP/1.1 with WebSocket echo on 8081 and HTTP/2 without TLS
// on 8080. Paths: /slow waits 1 s, /status/N answers N, /huge sends 64 MiB; else the name and what was asked.
import { createServer } from "node:http2"

const name = process.argv[2] ?? "peer"

function statusOf(path: string): number {
  return Number(/^\/status\/(\d{3})$/.exec(path)?.[1] ?? 200)
}

if (import.meta.main) {
  Bun.serve({
    hostname: "::",
    port: 8081,
    async fetch(request, server) {
      const { pathname } = new URL(request.url)
      if (server.upgrade(request)) return
      if (pathname === "/slow") await Bun.sleep(1_000)
      if (pathname === "/huge") return new Response(new Uint8Array(64 * 1024 * 1024))
      const body = await request.text()
      return new Response(`${name} ${request.method} ${pathname} ${body.length}\n`, {
        status: statusOf(pathname),
      })
    },
    websocket: {
      message(socket, message) {
        socket.send(message)
      },
    },
  })
  createServer((request, response) => {
    let length = 0
    request.on("data", chunk => {
      length += chunk.length
    })
    request.on("end", () => {
      const answer = () => {
        response.statusCode = statusOf(request.url)
        response.end(`${name} ${request.method} ${request.url} ${length}\n`)
      }
      if (request.url === "/slow") setTimeout(answer, 1_000)
      else answer()
    })
  }).listen(8080, "::", () => process.stdout.write("listening\n"))
}
