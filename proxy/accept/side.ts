// One direction of the proxy: its listener, what all its connections share, and what of them is still open.
// outbound/ and inbound/ differ in where a connection goes; everything else is here once.
import type { Endpoint } from "../balance/mod.ts"
import {
  type AccessLog,
  Admission,
  createHttpService,
  type Drainable,
  type HttpEnv,
  type HttpService,
  type RequestGuard,
  type Tracer,
} from "../http/mod.ts"
import type { MeshTls } from "../identity/mod.ts"
import type { Logger } from "../log.ts"
import {
  type Conn,
  type ConnHandler,
  formatAddress,
  type Listener,
  listen,
  type SocketAddress,
} from "../net/mod.ts"
import { type PortRange, portIn } from "../port_ranges.ts"
import {
  type ConnectionLabels,
  type Direction,
  OUTBOUND,
  type Telemetry,
  type TlsLabel,
} from "../telemetry/mod.ts"
import { Accepted } from "./accepted.ts"
import type { ConnectionTracker } from "./connection_tracker.ts"
import { CountersByLabel } from "./counters.ts"
import type { GuardConnection } from "./guard.ts"
import { ProtocolMemory } from "./protocol_memory.ts"
import type { Target } from "./target.ts"

/** An HTTP engine: takes the connection over, first bytes included. */
export type ServeHttp = (conn: Conn, firstBytes: Uint8Array, service: HttpService, env: HttpEnv) => Drainable

/** The engines by version. */
export interface HttpEngines {
  readonly http1: ServeHttp
  readonly http2: ServeHttp
}

/** Calls back with the target once it is known; at once where it is. */
export type ResolveTarget = (destination: SocketAddress, ready: (target: Target) => void) => void

/** Parts of a side. */
export interface SideOptions {
  readonly direction: Direction
  /** Address to listen on; several for both families. */
  readonly listenAddresses: readonly string[]
  readonly port: number
  readonly env: HttpEnv
  readonly engines: HttpEngines
  readonly telemetry: Telemetry
  readonly tracker: ConnectionTracker
  readonly opaquePorts: readonly PortRange[]
  /** The destination before the redirect; null if there was none. */
  readonly originalDestination: (conn: Conn) => SocketAddress | null
  /** Whether a destination is one of the proxy's own listeners. */
  readonly isOwn: (destination: SocketAddress) => boolean
  readonly resolve: ResolveTarget
  /** Decides who may pass; null (the default) for everybody, as outbound. */
  readonly guard?: GuardConnection | null
  /** Mutual TLS that clients may ask for; null for none. */
  readonly mesh: MeshTls | null
  /** Told of each request that is over; with it, the log has a line per ended connection. Null: off. */
  readonly accessLog: AccessLog | null
  /** Decides which requests belong to a trace; null: none. */
  readonly tracer: Tracer | null
  /** How a connection to an endpoint is secured. */
  readonly tlsTo: (endpoint: Endpoint, server: Conn) => TlsLabel
  /** Uniform, 0 to 1. */
  readonly random: () => number
}

/** Least time between two log lines about refused connections, so that a flood of them floods nothing else. */
const REFUSAL_LOG_MS = 1_000

const NAMES = ["inbound", "outbound"] as const

/** One direction of the proxy. */
export class Side {
  readonly env: HttpEnv
  readonly log: Logger
  readonly memory = new ProtocolMemory()
  readonly random: () => number
  /** For `Accepted`: makes its guard. */
  readonly guard: GuardConnection | null
  /** Mutual TLS that clients may ask for; null for none. */
  readonly mesh: MeshTls | null
  /** How connections are secured whose client proved nothing. */
  readonly unproven: TlsLabel
  /** Clock reading when a connection was last accepted or ended. */
  usedMs = Number.NEGATIVE_INFINITY
  private readonly options: SideOptions
  private readonly admission = new Admission()
  private readonly open = new Set<Accepted>()
  private readonly detections: CountersByLabel
  private readonly refusals: CountersByLabel
  private listeners: Listener[] = []
  private nextId = 1
  private refusalLoggedMs = Number.NEGATIVE_INFINITY
  private refusalsUnlogged = 0

  constructor(options: SideOptions) {
    this.options = options
    this.env = options.env
    this.log = options.env.log
    this.random = options.random
    this.guard = options.guard ?? null
    this.mesh = options.mesh
    this.unproven =
      options.direction === OUTBOUND ? "loopback" : options.mesh === null ? "disabled" : "no_identity"
    const registry = options.telemetry.registry
    const direction = NAMES[options.direction]
    this.detections = new CountersByLabel(registry, direction, "result", {
      name: "proxy_detect_total",
      kind: "counter",
      help: "Connections by what detection found, and how.",
    })
    this.refusals = new CountersByLabel(registry, direction, "reason", {
      name: "proxy_connections_refused_total",
      kind: "counter",
      help: "Connections that the proxy refused to carry.",
    })
  }

  /** Accepted connections that are open. */
  get connections(): number {
    return this.open.size
  }

  /**
   * Starts accepting on every address.
   *
   * @throws Error of the first address that cannot be bound
   */
  listen(): void {
    for (const address of this.options.listenAddresses) {
      this.listeners.push(
        listen({
          address,
          port: this.options.port,
          accept: conn => this.accept(conn),
          refused: conn => this.refuse(conn, "descriptors", "the process is out of file descriptors"),
        }),
      )
    }
  }

  /** The port of the first listener. */
  get port(): number {
    return this.listeners[0]?.port ?? 0
  }

  /** Ends kept connections as they become free. */
  drain(): void {
    this.env.draining = true
    for (const accepted of this.open) accepted.drain()
  }

  /** Closes kept connections on which nothing runs. */
  closeIdle(): void {
    for (const accepted of this.open) accepted.closeIfIdle()
  }

  /** The rules have changed: ends what is not allowed any more. */
  reexamine(): void {
    for (const accepted of [...this.open]) accepted.reexamine()
  }

  /** Stops accepting. */
  stop(): void {
    for (const listener of this.listeners) listener.close()
    this.listeners = []
  }

  /** Whether nothing is to be detected on connections to that port. */
  isOpaque(port: number): boolean {
    return portIn(this.options.opaquePorts, port)
  }

  /** For `Accepted`: who looks at what passes. */
  get taps(): Telemetry["taps"] {
    return this.options.telemetry.taps
  }

  /** For `Accepted`: how a connection to an endpoint is secured. */
  tlsTo(endpoint: Endpoint, server: Conn): TlsLabel {
    return this.options.tlsTo(endpoint, server)
  }

  /** For `Accepted`: counts what was found. */
  detected(result: string): void {
    this.detections.add(result)
  }

  /** For `Accepted`: hands the connection to an engine. */
  serveHttp(
    version: 1 | 2,
    accepted: Accepted,
    firstBytes: Uint8Array,
    guard: RequestGuard | null,
  ): Drainable {
    const { options } = this
    const service = createHttpService({
      direction: options.direction,
      target: accepted.target.http(this.random()),
      telemetry: options.telemetry,
      clock: this.env.clock,
      log: this.log,
      admission: this.admission,
      random: this.random,
      fields: accepted.fields(),
      httpVersion: version,
      accessLog: options.accessLog,
      tracer: options.tracer,
      guard,
      onUnreached: this.env.onUnreached,
    })
    const serve = version === 1 ? options.engines.http1 : options.engines.http2
    const drainable = serve(accepted.conn, firstBytes, service, this.env)
    if (this.env.draining) drainable.drain()
    return drainable
  }

  /** For `Accepted`: what logs say of a connection. */
  fields(conn: Conn, address: string, port: number, id: number): Record<string, string | number> {
    return {
      side: NAMES[this.options.direction],
      conn: id,
      peer: formatAddress(conn.remoteAddress, conn.remotePort),
      dst: formatAddress(address, port),
    }
  }

  /** For `Accepted`: a connection's figures bear the name that the client's TLS asks for. */
  named(conn: Conn, serverName: string): void {
    this.options.tracker.named(conn, serverName)
  }

  /** For `Accepted`: a client has proven itself, and a connection's figures bear its name. */
  proven(conn: Conn, labels: ConnectionLabels): void {
    this.options.tracker.proven(conn, labels)
  }

  private finished(accepted: Accepted, error: string | null): void {
    this.open.delete(accepted)
    this.usedMs = this.env.clock.nowMs
    const level = this.options.accessLog !== null ? "info" : "debug"
    if (!this.log.enabled(level)) return
    this.log[level]("connection ended", {
      ...accepted.fields(),
      read: accepted.conn.bytesRead,
      written: accepted.conn.bytesWritten,
      ...(error === null ? {} : { error }),
    })
  }

  private accept(conn: Conn): ConnHandler {
    const destination = this.options.originalDestination(conn)
    if (destination === null) {
      return this.refuse(
        conn,
        "not-redirected",
        "it was not redirected, so where it is meant to go is unknown",
      )
    }
    if (this.options.isOwn(destination)) {
      const where = formatAddress(destination.address, destination.port)
      return this.refuse(conn, "loop", `it is meant for the proxy's own listener ${where}`)
    }
    const id = this.nextId++
    const waiting = new Waiting()
    // Nothing is read before it is known where it goes.
    let known = false
    this.options.resolve(destination, target => {
      known = true
      if (conn.closed) return
      const accepted = new Accepted(this, conn, target, destination.address, destination.port, id)
      this.open.add(accepted)
      this.usedMs = this.env.clock.nowMs
      this.options.tracker.accepted(conn, target.connectionLabels, error => this.finished(accepted, error))
      accepted.start()
    })
    if (!known) {
      conn.pause()
      return waiting
    }
    return conn.handler
  }

  private refuse(conn: Conn, reason: string, explanation: string): ConnHandler {
    this.refusals.add(reason)
    const now = this.env.clock.nowMs
    if (now - this.refusalLoggedMs >= REFUSAL_LOG_MS) {
      this.refusalLoggedMs = now
      this.log.warn(`connection refused: ${explanation}`, {
        side: NAMES[this.options.direction],
        peer: formatAddress(conn.remoteAddress, conn.remotePort),
        ...(this.refusalsUnlogged > 0 ? { unlogged: this.refusalsUnlogged } : {}),
      })
      this.refusalsUnlogged = 0
    } else {
      this.refusalsUnlogged++
    }
    conn.reset()
    return new Waiting()
  }
}

/** Serves a connection whose destination is still being asked for; it is paused, so nothing comes. */
class Waiting implements ConnHandler {
  onOpen(): void {}
  onData(conn: Conn): void {
    conn.reset()
  }
  onDrain(): void {}
  onEnd(): void {}
  onClose(): void {}
}
