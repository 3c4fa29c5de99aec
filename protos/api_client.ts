// The client of the public API alone: what programs of others get (client/mod.ts) needs nothing else of ours.
import { type Client, createClient, type Transport } from "@connectrpc/connect"
import { ApiService } from "./gen/conduit/api/v1/api_pb.ts"

/** Client of the public API. */
export type ApiClient = Client<typeof ApiService>

/** Public API over any Connect transport (Node, Bun or browser). */
export function createApiClient(transport: Transport): ApiClient {
  return createClient(ApiService, transport)
}
