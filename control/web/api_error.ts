// What a page is told when the API does not answer, or answers that something is wrong.
import { Code, ConnectError } from "@connectrpc/connect"

/** The API's own answer goes to the page as it is; the way to it is ours to describe. */
export function told(error: unknown): ConnectError {
  if (error instanceof ConnectError && error.code !== Code.Internal && error.code !== Code.Unknown)
    return new ConnectError(error.rawMessage, error.code)
  const reason = error instanceof Error ? error.message : String(error)
  return new ConnectError(
    `the API cannot be reached: ${reason}`,
    Code.Unavailable,
    undefined,
    undefined,
    error,
  )
}
