// The public face of control_plane/: streams to the control plane that come back by themselves.
export type {
  ControlDial,
  ControlLinkHandler,
  Link,
  LinkCounts,
  LinkTarget,
  OpenLink,
} from "./control_link.ts"
export { type Call, type ControlPlaneOptions, createCalls, createControlPlane } from "./control_plane.ts"
export { framedMessage, MessageCutter } from "./grpc_messages.ts"
export { ProtoError, ProtoReader, ProtoWriter } from "./proto_wire.ts"
export { resolveName } from "./resolve_name.ts"
export { CallError } from "./unary_call.ts"
