// The HTTP/2 engine's way in: takes over an accepted connection whose first bytes are HTTP/2's preface.

import type { Drainable, HttpEnv, HttpService } from "../http/mod.ts"
import type { Conn } from "../net/mod.ts"
import { FieldTable } from "../wire/mod.ts"
import { Http2Downstream } from "./downstream.ts"
import { GrpcTimeoutFields } from "./fields.ts"
import type { Http2Shared } from "./pool.ts"

/** What connections of one environment share; made at its first connection. */
const sharedByEnv = new WeakMap<HttpEnv, Http2Shared>()

/** One for the process: fields seen inbound are seen outbound too. */
let fields: FieldTable | null = null

/**
 * Serves HTTP/2 on an accepted connection until it closes.
 *
 * @param firstBytes  what was read to find the protocol; belongs to the engine
 */
export function serveHttp2(
  conn: Conn,
  firstBytes: Uint8Array,
  service: HttpService,
  env: HttpEnv,
): Drainable {
  let shared = sharedByEnv.get(env)
  if (shared === undefined) {
    fields ??= new FieldTable()
    shared = { env, fields, grpcTimeouts: new GrpcTimeoutFields(fields) }
    sharedByEnv.set(env, shared)
  }
  const downstream = new Http2Downstream(conn, service, shared)
  conn.handler = downstream
  if (firstBytes.length > 0) downstream.onData(conn, firstBytes)
  if (env.draining) downstream.drain()
  return downstream
}
