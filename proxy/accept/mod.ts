// The public face of accept/: redirected connections, what they speak, and who serves them.
export type { Client } from "./client.ts"
export { ConnectionTracker } from "./connection_tracker.ts"
export { createSide, type DirectionOptions } from "./direction.ts"
export type { ConnectionGuard, GuardConnection, RawProtocol } from "./guard.ts"
export type { HttpEngines, Side } from "./side.ts"
export type { Target } from "./target.ts"
