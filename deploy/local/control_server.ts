// The runner's own API for `conduit dev`, HTTP over a Unix socket that only the runner's user can open.
import { chmodSync } from "node:fs"
import type { Change } from "./cluster.ts"
import type { KubeObject } from "./objects/kube_object.ts"
import type { MeshReport } from "./report.ts"

/** How to run one more command in a container. */
export interface ExecContext {
  readonly pid: number
  readonly environment: Readonly<Record<string, string>>
  readonly workingDir: string
  readonly user: number | null
  readonly group: number | null
}

/** What the server asks of the runner. Methods throw errors whose message is for the person. */
export interface ControlHandlers {
  status(): MeshReport
  apply(objects: readonly KubeObject[]): Change[]
  delete(objects: readonly KubeObject[]): Change[]
  execContext(namespace: string, pod: string, container: string): ExecContext
  down(): void
}

/** Serves until stopped. */
export function serveControl(socket: string, handlers: ControlHandlers): { stop(): void } {
  const server = Bun.serve({
    unix: socket,
    async fetch(request) {
      const { pathname, searchParams } = new URL(request.url)
      try {
        switch (`${request.method} ${pathname}`) {
          case "GET /v1/status":
            return Response.json(handlers.status())
          case "POST /v1/apply":
            return Response.json(handlers.apply((await request.json()) as KubeObject[]))
          case "POST /v1/delete":
            return Response.json(handlers.delete((await request.json()) as KubeObject[]))
          case "GET /v1/exec": {
            const of = (name: string) => searchParams.get(name) ?? ""
            return Response.json(handlers.execContext(of("namespace"), of("pod"), of("container")))
          }
          case "POST /v1/down":
            handlers.down()
            return Response.json({})
          default:
            return new Response(`unknown request ${request.method} ${pathname}`, { status: 404 })
        }
      } catch (error) {
        return new Response(error instanceof Error ? error.message : String(error), { status: 400 })
      }
    },
  })
  chmodSync(socket, 0o600)
  return { stop: () => void server.stop(true) }
}
