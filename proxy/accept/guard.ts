// What accept/ asks of policy before bytes of an accepted connection are passed on: inbound of who may call, outbound of
// what may be called.
import type { RequestGuard } from "../http/mod.ts"
import type { Client } from "./client.ts"

/** What a connection is that is passed on without looking into it. */
export type RawProtocol = "tcp" | "tls"

/** Guards one connection. */
export interface ConnectionGuard extends RequestGuard {
  /** Whom it was made for. */
  readonly client: Client
  /** Version of HTTP that was found; 0 before. */
  httpVersion: 0 | 1 | 2
  /** Whether the connection may be passed on as it is; asking counts nothing. */
  readonly mayRelay: boolean
  /**
   * Decides that the connection is passed on as it is, and counts it; false: close it.
   *
   * @param serverName  that the client's own TLS asks for; "" where none is known
   */
  relay(protocol: RawProtocol, serverName: string): boolean
  /** Whether a connection that is passed on may go on; counts and logs it if not. */
  stillRelays(): boolean
}

/** Makes the guard of a connection to an address and port; null where nothing is to be decided. */
export type GuardConnection = (client: Client, address: string, port: number) => ConnectionGuard | null
