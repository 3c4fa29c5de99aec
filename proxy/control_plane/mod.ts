// The public face of control_plane/: streams to the control plane that come back by themselves.
export {
  ControlLink,
  type ControlLinkHandler,
  type ControlLinkOptions,
  type LinkCounts,
} from "./control_link.ts"
export { FieldTable } from "./http2_wire.ts"
export { resolveName } from "./resolve_name.ts"
