// The public API, of the server that the page is from.
import { ConnectError } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-web"
import { QueryClient } from "@tanstack/react-query"
import { createApiClient } from "../../../../protos/mod.ts"

/** An answer that has not come after this long will not; the page says so, and asks again. */
export const CALL_TIMEOUT_MS = 10_000

/** The way to the API. */
export const transport = createConnectTransport({
  baseUrl: window.location.origin,
  useBinaryFormat: true,
  defaultTimeoutMs: CALL_TIMEOUT_MS,
})

/** For calls whose answers are streams. */
export const api = createApiClient(transport)

/** Answers, kept while they are shown; what fails keeps the last one, and is asked again at the next turn. */
export const queries = new QueryClient({
  defaultOptions: {
    queries: { retry: false, networkMode: "always", staleTime: 1000, gcTime: 60_000, throwOnError: false },
    mutations: { retry: false, networkMode: "always" },
  },
})

/** What went wrong, in a sentence. */
export function reasonOf(error: unknown): string {
  const { rawMessage, code } = ConnectError.from(error)
  // What the browser says of a server that is not there is no sentence for people.
  if (/failed to fetch|networkerror|load failed/i.test(rawMessage))
    return "the dashboard's server does not answer; is conduit dashboard still running?"
  if (/^HTTP 502/.test(rawMessage)) return "the way to the dashboard's pod is lost; it is looked for again"
  return rawMessage === "" ? `the API failed (${code})` : rawMessage
}

/** All messages of a stream. */
export async function collected<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const one of stream) all.push(one)
  return all
}
