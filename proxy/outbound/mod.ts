// The public face of outbound/: the side that faces the application's calls.
export {
  createOutbound,
  type DestinationSource,
  type OutboundOptions,
  redirectedFrom,
} from "./outbound.ts"
