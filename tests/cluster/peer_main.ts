// The application of test pods: answers HTTP on port 8080 with the name of its pod, says on its log what it was asked.
import { hostname } from "node:os"

const server = Bun.serve({
  port: 8080,
  fetch(request) {
    console.log(`${request.method} ${new URL(request.url).pathname}`)
    return new Response(hostname())
  },
})
console.log(`peer: listening on ${server.port}`)
process.on("SIGTERM", () => process.exit(0))
