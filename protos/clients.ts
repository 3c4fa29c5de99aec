// Client factories: every part of Conduit, and every tool outside it, reaches the control plane through these.
import { type Client, createClient, type Transport } from "@connectrpc/connect"
import { TapService } from "./gen/conduit/api/v1/tap_pb.ts"
import { DestinationService } from "./gen/conduit/destination/v1/destination_pb.ts"
import { IdentityService } from "./gen/conduit/identity/v1/identity_pb.ts"
import { InjectionService } from "./gen/conduit/injection/v1/injection_pb.ts"
import { PolicyService } from "./gen/conduit/policy/v1/policy_pb.ts"
import { ProxyTapService, RelayService } from "./gen/conduit/tap/v1/tap_pb.ts"
import { QueryService } from "./gen/conduit/telemetry/v1/query_pb.ts"
import { TelemetryService } from "./gen/conduit/telemetry/v1/telemetry_pb.ts"

/** Client of the destination service. */
export type DestinationClient = Client<typeof DestinationService>
/** Client of the identity service. */
export type IdentityClient = Client<typeof IdentityService>
/** Client of what a local mesh has plugins asked by. */
export type InjectionClient = Client<typeof InjectionService>
/** Client of the policy service. */
export type PolicyClient = Client<typeof PolicyService>
/** Client of the telemetry service. */
export type TelemetryClient = Client<typeof TelemetryService>
/** Client of the telemetry service's questions. */
export type TelemetryQueryClient = Client<typeof QueryService>

/** Client of the public API's live requests. */
export type TapClient = Client<typeof TapService>
/** Client of a proxy's tap. */
export type ProxyTapClient = Client<typeof ProxyTapService>
/** Client of the tap service. */
export type RelayClient = Client<typeof RelayService>

/** Destination service; needs a transport with bidirectional streams (HTTP/2). */
export function createDestinationClient(transport: Transport): DestinationClient {
  return createClient(DestinationService, transport)
}

/** Identity service; its transport is TLS, since it is sent tokens. */
export function createIdentityClient(transport: Transport): IdentityClient {
  return createClient(IdentityService, transport)
}

/** What plugins say of pods; for local meshes, over any transport. */
export function createInjectionClient(transport: Transport): InjectionClient {
  return createClient(InjectionService, transport)
}

/** Policy service; needs a transport with bidirectional streams (HTTP/2). */
export function createPolicyClient(transport: Transport): PolicyClient {
  return createClient(PolicyService, transport)
}

/** Telemetry service; needs a transport with client streams (HTTP/2). */
export function createTelemetryClient(transport: Transport): TelemetryClient {
  return createClient(TelemetryService, transport)
}

/** Questions to the telemetry service; for the control plane's own use. */
export function createTelemetryQueryClient(transport: Transport): TelemetryQueryClient {
  return createClient(QueryService, transport)
}

/** The public API's live requests. */
export function createTapClient(transport: Transport): TapClient {
  return createClient(TapService, transport)
}

/** A proxy's tap; for the control plane's tap service, over HTTP/2. */
export function createProxyTapClient(transport: Transport): ProxyTapClient {
  return createClient(ProxyTapService, transport)
}

/** The tap service; for the control plane's API. */
export function createRelayClient(transport: Transport): RelayClient {
  return createClient(RelayService, transport)
}
