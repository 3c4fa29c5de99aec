// How a port of the pod itself behaves, kept up to date in place.
import { PROTOCOL_DETECT } from "../balance/mod.ts"

/** Settings of one port of the pod. Until the control plane answers, bytes are detected. */
export class InboundPort {
  readonly port: number
  /** One of the `PROTOCOL_` constants of balance/. */
  protocol: number = PROTOCOL_DETECT

  constructor(port: number) {
    this.port = port
  }
}
