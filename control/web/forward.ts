// The public API for the page: calls of DASHBOARD_CALLS go on to conduit-api by this process's own identity; taps by the
// token of who looks, since they show requests.
import { Code, ConnectError, type ConnectRouter, type Transport } from "@connectrpc/connect"
import { API_SERVICE, DASHBOARD_CALLS } from "../../deploy/web/mod.ts"
import { ApiService, createApiClient, createTapClient, TapService } from "../../protos/mod.ts"
import { told } from "./api_error.ts"

/** Paths that calls begin with. */
export const API_PATHS = [`/${API_SERVICE}/`, `/${TapService.typeName}/`] as const

/**
 * The API as this process reaches it.
 *
 * @param transport  of the moment; throws a ConnectError while there is none
 * @param open  whether the API asks nobody who he is, as in a local mesh: taps need no token then
 */
export function forwarded(transport: () => Transport, open: boolean): (router: ConnectRouter) => void {
  return router => {
    router.service(TapService, {
      async *tap(request, { signal, requestHeader }) {
        const authorization = requestHeader.get("authorization")
        // By its own identity this process shows requests to nobody, whatever that may be granted.
        if (authorization === null && !open)
          throw new ConnectError(
            "live calls are shown to who proves a right to see them",
            Code.Unauthenticated,
          )
        const headers: Record<string, string> = authorization === null ? {} : { authorization }
        try {
          // No deadline: a tap goes on until who looks has seen enough.
          yield* createTapClient(transport()).tap(request, { signal, headers, timeoutMs: 0 })
        } catch (error) {
          throw told(error)
        }
      },
    })
    for (const method of ApiService.methods) {
      if (!(DASHBOARD_CALLS as readonly string[]).includes(method.name)) continue
      const local = method.localName as keyof ReturnType<typeof createApiClient>
      const ask = (request: unknown, signal: AbortSignal): unknown => {
        const call = createApiClient(transport())[local] as (request: unknown, options: object) => unknown
        return call(request, { signal })
      }
      const unary = async (request: unknown, { signal }: { signal: AbortSignal }): Promise<unknown> => {
        try {
          return await ask(request, signal)
        } catch (error) {
          throw told(error)
        }
      }
      async function* stream(request: unknown, { signal }: { signal: AbortSignal }): AsyncGenerator<unknown> {
        try {
          yield* ask(request, signal) as AsyncIterable<unknown>
        } catch (error) {
          throw told(error)
        }
      }
      // Each method's own types are the API's: what comes in and goes out is passed on as it is.
      router.rpc(method, (method.methodKind === "unary" ? unary : stream) as never)
    }
  }
}
