// `import { createClient } from "conduit/client"`: the public API for programs of others, in Node.js 20 and Bun. Typed by the
// same protos as everything here.
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect"
import { createConnectTransport } from "@connectrpc/connect-node"
import { type ApiClient, createApiClient } from "../api_client.ts"
import { type ErrorDetail, ErrorDetailSchema } from "../gen/conduit/api/v1/error_pb.ts"
import { wholeLists } from "../paging.ts"

export type { ApiClient } from "../api_client.ts"
export * from "../api_v1.ts"
export { Code, ConnectError }

/** The longest an answer is waited for, in milliseconds, unless told otherwise. */
export const DEFAULT_TIMEOUT_MS = 10_000

/** Where the API is, and who asks. */
export interface ClientOptions {
  /** Base address, such as `http://127.0.0.1:8085` of a forwarded port, or `https://conduit-api.conduit:8085` in a pod. */
  readonly url: string
  /** A service account's token of audience `api.conduit.io`; asked for at each call where it is a function. Default: none. */
  readonly token?: string | (() => string | Promise<string>)
  /** Certificates that the mesh trusts, PEM; for https. Default: those of the machine. */
  readonly ca?: string
  /**
   * Name that the API's certificate bears, where it is not the host of the address: in a pod
   * `conduit-api.conduit.serviceaccount.identity.conduit.cluster.local`, or what the installation calls them.
   */
  readonly serverName?: string
  /** Default DEFAULT_TIMEOUT_MS; a call may give its own. */
  readonly timeoutMs?: number
}

/**
 * A client of the public API. Nothing is asked before the first call; lists come whole, unless a `pageSize` is asked for.
 *
 * Calls throw ConnectError: `error.code` is one of Code, `detailOf(error)` says more.
 *
 * @throws TypeError for an address that is none, or a token that would be sent in plaintext to another machine
 */
export function createClient({ url, token, ca, serverName, timeoutMs }: ClientOptions): ApiClient {
  const { protocol, hostname } = new URL(url)
  const local = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)
  if (token !== undefined && protocol !== "https:" && !local)
    throw new TypeError(`a token must not be sent to ${url}: others could read it; use https`)
  const proves: Interceptor = next => async request => {
    request.header.set("authorization", `Bearer ${typeof token === "function" ? await token() : token}`)
    return await next(request)
  }
  const common = {
    baseUrl: url.replace(/\/+$/, ""),
    defaultTimeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS,
    interceptors: token === undefined ? [wholeLists] : [wholeLists, proves],
  }
  const trust = {
    ...(ca === undefined ? {} : { ca }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  }
  return createApiClient(
    protocol === "https:"
      ? createConnectTransport({ ...common, httpVersion: "2", nodeOptions: trust })
      : createConnectTransport({ ...common, httpVersion: "1.1" }),
  )
}

/** What an error of a call says beside its sentence; null for other errors, and those that never reached the API. */
export function detailOf(error: unknown): ErrorDetail | null {
  return (error instanceof ConnectError ? error.findDetails(ErrorDetailSchema)[0] : undefined) ?? null
}
