// The public face of net/: sockets, the clock and timers of the data path, and byte relay.
export { formatAddress, formatIpv4, formatIpv6, parseAddress, unmapped } from "./address.ts"
export { BLOCK_BYTES } from "./block_pool.ts"
export type { Clock } from "./clock.ts"
export {
  CONN_HIGH_WATER_BYTES,
  CONN_LOW_WATER_BYTES,
  Conn,
  type ConnHandler,
  type ConnObserver,
  errorCode,
  SEND_COPY_BYTES,
} from "./conn.ts"
export { type DialOptions, dial, INBOUND_CONNECT_TIMEOUT_MS, OUTBOUND_CONNECT_TIMEOUT_MS } from "./dial.ts"
export { setSocketLimit, socketLimit } from "./fd_limit.ts"
export { type Listener, type ListenOptions, listen } from "./listen.ts"
export { type Loop, loop, type TurnTask } from "./loop.ts"
export { originalDestination, type SocketAddress } from "./original_dst.ts"
export { type RelayDone, relay } from "./relay.ts"
export { callbackTimer, Timer, TimerWheel, WHEEL_TICK_MS } from "./timer_wheel.ts"
