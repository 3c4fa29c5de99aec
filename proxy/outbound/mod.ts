// The public face of outbound/: the side that faces the application's calls.
export {
  createOutbound,
  type DestinationSource,
  type OutboundOptions,
} from "./outbound.ts"
export { ownConnection } from "./own_connection.ts"
