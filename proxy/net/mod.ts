// The public face of net/: sockets, the clock and timers of the data path, and byte relay.
export { formatAddress, formatIpv4, formatIpv6, parseAddress } from "./address.ts"
export type { Clock } from "./clock.ts"
export {
  CONN_HIGH_WATER_BYTES,
  Conn,
  type ConnHandler,
  type ConnObserver,
  errorCode,
} from "./conn.ts"
export {
  type DialGate,
  type DialOptions,
  dial,
  dialThrough,
  INBOUND_CONNECT_TIMEOUT_MS,
  OUTBOUND_CONNECT_TIMEOUT_MS,
} from "./dial.ts"
export { type Listener, type ListenOptions, listen } from "./listen.ts"
export { type Loop, loop, type TurnTask } from "./loop.ts"
export { originalDestination, type SocketAddress } from "./original_dst.ts"
export { type RelayDone, relay } from "./relay.ts"
export { callbackTimer, Timer, TimerWheel } from "./timer_wheel.ts"
export {
  type PeerCertificate,
  protocolNames,
  TLS_1_3,
  type TlsOptions,
  type TlsPeer,
  type TlsTerms,
} from "./tls.ts"
