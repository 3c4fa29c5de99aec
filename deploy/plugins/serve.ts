// Serves a plugin of this folder: gRPC over plaintext HTTP/2 on HOST:PORT until SIGTERM.
import { createServer, type ServerHttp2Session } from "node:http2"
import type { AddressInfo } from "node:net"
import type { ConnectRouter } from "@connectrpc/connect"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { pluginV1 } from "../../protos/mod.ts"

/** Largest message that is read: what gRPC servers take unless told otherwise. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024

/** A plugin. */
export interface ServedPlugin {
  readonly name: string
  readonly version: string
  readonly hooks: readonly pluginV1.Hook[]
  /** JSON Schema (2020-12) of its configuration. */
  readonly schema: object
  /** What is wrong with a configuration beyond the schema. */
  readonly problems?: (configuration: object) => { path: string; message: string }[]
  /** Its hooks, and services of its own. */
  readonly routes: (router: ConnectRouter) => void
}

/** Starts a plugin. */
export async function startPlugin(
  { name, version, hooks, schema, problems = () => [], routes }: ServedPlugin,
  host: string,
  port: number,
): Promise<{ readonly port: number } & AsyncDisposable> {
  const adapter = connectNodeAdapter({
    readMaxBytes: MAX_MESSAGE_BYTES,
    routes: router => {
      router.service(pluginV1.PluginService, {
        describe: ({ context }) => ({
          ...{ name, version, apiVersions: ["v1"], hooks: [...hooks] },
          configurationSchema: JSON.stringify(schema),
          problems: problems(context?.configuration ?? {}),
        }),
      })
      routes(router)
    },
  })
  const server = createServer(adapter)
  const sessions = new Set<ServerHttp2Session>()
  server.on("session", session => {
    sessions.add(session)
    session.on("error", () => {})
    session.on("close", () => sessions.delete(session))
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(port, host, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const session of sessions) session.destroy()
      await new Promise<void>(resolve => server.close(() => resolve()))
    },
  }
}

/** The main program of a plugin. */
export async function runPlugin(plugin: ServedPlugin): Promise<void> {
  const running = await startPlugin(plugin, process.env.HOST ?? "0.0.0.0", Number(process.env.PORT ?? 9090))
  console.log(`${plugin.name} listens on port ${running.port}`)
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void running[Symbol.asyncDispose]().then(() => process.exit(0)))
}
