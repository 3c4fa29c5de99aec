// The public face of tap/: live requests for the control plane's tap service; nothing of it runs until somebody looks.
export type { ConnectionFacts, RawConnection } from "./raw_connections.ts"
export { type ServeTapsOptions, serveTaps } from "./serve.ts"
export { TapPoint } from "./tap_point.ts"
export type { Tapped, TapSource } from "./tapped.ts"
