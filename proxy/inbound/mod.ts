// The public face of inbound/: the side that faces calls to the application.
export { type Admittance, createInbound, type InboundOptions, type PortSettingsSource } from "./inbound.ts"
export { LocalTarget, type PortSettings } from "./local_target.ts"
