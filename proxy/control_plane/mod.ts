// The public face of control_plane/: streams to the control plane that come back by themselves.
export type { ControlLinkHandler, Link, LinkCounts, LinkTarget, OpenLink } from "./control_link.ts"
export { type ControlPlaneOptions, createControlPlane } from "./control_plane.ts"
export { ProtoError, ProtoReader, ProtoWriter } from "./proto_wire.ts"
