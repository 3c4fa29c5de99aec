// Who wants to know of every decision on a request or connection: access records, of which edges and learnt policies
// are made. The call takes fixed arguments and allocates nothing; nobody listening costs one comparison.
import type { Verdict } from "../../protos/authorization/mod.ts"
import type { Client } from "../accept/mod.ts"

/** What was decided on. */
export type AccessProtocol = "http1" | "http2" | "grpc" | "tcp" | "tls"

/** Told of decisions. */
export interface AccessObserver {
  /**
   * A request or a connection was decided on.
   *
   * @param port  port of the pod
   * @param method  as sent; empty for connections
   * @param target  path as it was sent; empty for connections
   * @param verdict  shared by all decisions alike, so that it can be told by identity
   */
  decided(
    client: Client,
    port: number,
    protocol: AccessProtocol,
    method: string,
    target: string,
    verdict: Verdict,
  ): void
}
