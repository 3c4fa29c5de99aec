// Where links to the control plane are made: what they share is put together here once.
import type { Logger } from "../log.ts"
import { type Clock, dial, type TimerWheel } from "../net/mod.ts"
import { FieldTable } from "../wire/mod.ts"
import { type ControlDial, ControlLink, type LinkTarget, type OpenLink } from "./control_link.ts"
import { resolveName } from "./resolve_name.ts"
import { unaryCall } from "./unary_call.ts"

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
  readonly dial?: ControlDial
  /** Default: the pod's resolver. */
  readonly resolve?: (host: string) => Promise<readonly string[]>
}

/** Sends one request and waits for its answer; rejects with a CallError. */
export type Call = (target: LinkTarget, request: Uint8Array) => Promise<Uint8Array>

/** Makes links to the services of the control plane. */
export function createControlPlane(options: ControlPlaneOptions): OpenLink {
  const shared = shareParts(options)
  return (handler, target) => new ControlLink(handler, { ...shared, ...target })
}

/** Makes calls to the services of the control plane. */
export function createCalls(options: ControlPlaneOptions): Call {
  const shared = shareParts(options)
  return (target, request) => unaryCall({ ...shared, ...target }, request)
}

function shareParts(options: ControlPlaneOptions) {
  const { clock, timers, log, version } = options
  const plain: ControlDial = (address, port, handler, connectTimeoutMs) =>
    dial(address, port, handler, { connectTimeoutMs })
  return {
    clock,
    timers,
    log,
    userAgent: `conduit-proxy/${version}`,
    random: options.random ?? Math.random,
    fields: options.fields ?? new FieldTable(),
    dial: options.dial ?? plain,
    resolve: options.resolve ?? resolveName,
  }
}
