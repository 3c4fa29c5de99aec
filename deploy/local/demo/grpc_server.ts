// gRPC over HTTP/2 without TLS, for the services of the shop that speak it.
import { createServer, type ServerHttp2Session } from "node:http2"
import type { ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import type { ListenOptions, Service } from "./service.ts"

/**
 * Serves what `routes` registers.
 *
 * @throws Error when the port is taken
 */
export async function serveGrpc(
  listen: ListenOptions,
  routes: (router: ConnectRouter) => void,
): Promise<Service> {
  const sessions = new Set<ServerHttp2Session>()
  const server = createServer(connectNodeAdapter({ routes, connect: false, grpcWeb: false }))
  server.on("session", session => {
    sessions.add(session)
    session.on("close", () => sessions.delete(session))
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(listen.port, listen.host, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === "object" && address !== null ? address.port : listen.port,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const session of sessions) session.close()
      }),
  }
}
