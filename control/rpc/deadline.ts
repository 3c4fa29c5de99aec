// Deadlines of calls (`connect-timeout-ms`, `grpc-timeout`): who asks has gone on by then, so nothing waits any longer.
import type { Interceptor } from "@connectrpc/connect"

/** Gives up unary calls as their deadline passes, whatever they wait for; streams look at their signal themselves. */
export const keepsDeadlines: Interceptor = next => async request => {
  if (request.stream) return await next(request)
  const { signal } = request
  const { promise: late, reject } = Promise.withResolvers<never>()
  const giveUp = (): void => reject(signal.reason)
  if (signal.aborted) giveUp()
  else signal.addEventListener("abort", giveUp, { once: true })
  try {
    return await Promise.race([next(request), late])
  } finally {
    signal.removeEventListener("abort", giveUp)
  }
}
