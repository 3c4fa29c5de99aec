// The application of test pods: answers HTTP on port 8080 with the name of its pod, says on its log what it was asked.
// `?wait=MS` makes an answer take that long.
import { hostname } from "node:os"

const server = Bun.serve({
  port: 8080,
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url)
    console.log(`${request.method} ${pathname}`)
    const waitMs = Number(searchParams.get("wait"))
    if (waitMs > 0) await Bun.sleep(waitMs)
    return new Response(hostname())
  },
})
console.log(`peer: listening on ${server.port}`)
// As servers end: nothing new is accepted, what is under way is answered.
process.on("SIGTERM", async () => {
  void server.stop()
  while (server.pendingRequests > 0) await Bun.sleep(10)
  process.exit(0)
})
