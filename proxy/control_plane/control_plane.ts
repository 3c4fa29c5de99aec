// Where links to the control plane are made: what they share is put together here once.
import type { Logger } from "../log.ts"
import { type Clock, type Conn, type ConnHandler, dial, type TimerWheel } from "../net/mod.ts"
import { FieldTable } from "../wire/mod.ts"
import { ControlLink, type OpenLink } from "./control_link.ts"
import { resolveName } from "./resolve_name.ts"

/** What all links share. */
export interface ControlPlaneOptions {
  readonly clock: Clock
  readonly timers: TimerWheel
  readonly log: Logger
  /** Version of the proxy, for the user agent. */
  readonly version: string
  /** Uniform, 0 to 1. Default: Math.random. */
  readonly random?: () => number
  /** Memory of header fields. Default: an own one; hand in the data path's to save 100 KB. */
  readonly fields?: FieldTable
  /** Default: `dial` of net/. */
  readonly dial?: (address: string, port: number, handler: ConnHandler, connectTimeoutMs: number) => Conn
  /** Default: the pod's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>
}

/** Makes links to the services of the control plane. */
export function createControlPlane(options: ControlPlaneOptions): OpenLink {
  const { clock, timers, log, version } = options
  const shared = {
    clock,
    timers,
    log,
    userAgent: `conduit-proxy/${version}`,
    random: options.random ?? Math.random,
    fields: options.fields ?? new FieldTable(),
    dial:
      options.dial ??
      ((address: string, port: number, handler: ConnHandler, connectTimeoutMs: number) =>
        dial(address, port, handler, { connectTimeoutMs })),
    resolve: options.resolve ?? resolveName,
  }
  return (handler, target) => new ControlLink(handler, { ...shared, ...target })
}
