// A proxy with only its HTTP/1 engine, on loopback: for tests and measurements of the engine alone.
import { Endpoint, type EndpointSource, SingleEndpoint, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import type { AccessLog, Drainable, HttpEnv, RequestGuard, Tracer } from "../http/mod.ts"
import { Admission, createHttpService, MAX_REQUESTS_IN_FLIGHT } from "../http/mod.ts"
import { createLogger } from "../log.ts"
import { type Clock, dial, type Listener, listen, loop, type TimerWheel } from "../net/mod.ts"
import type { ServiceRoutes } from "../route/mod.ts"
import { Telemetry } from "../telemetry/mod.ts"
import { ReplayBudget } from "../wire/mod.ts"
import { serveHttp1 } from "./proxy.ts"

/** A running loopback proxy. */
export interface Http1Loopback {
  readonly port: number
  readonly env: HttpEnv
  readonly telemetry: Telemetry
  readonly admission: Admission
  /** Log lines so far. */
  readonly lines: string[]
  /** Connections accepted so far, in order. */
  readonly connections: Drainable[]
  close(): void
}

/** How the loopback proxy differs. */
export interface Http1LoopbackOptions {
  /** 0 inbound, 1 outbound. Default 1. */
  readonly direction?: 0 | 1
  /** Port to listen on. Default: any. */
  readonly port?: number
  /** Octets of bodies kept to be sent again. Default: that of `ReplayBudget`. */
  readonly replayBytes?: number
  /** The engine's clock and timers, for tests that drive them. Default: the loop's. */
  readonly time?: { readonly clock: Clock; readonly timers: TimerWheel }
  /** Routes of the service that is called. Default: none. */
  readonly routes?: ServiceRoutes
  /** Guards every connection. Default: none. */
  readonly guard?: RequestGuard
  /** Told of each exchange that is over. Default: nobody. */
  readonly accessLog?: AccessLog
  /** Decides which requests belong to a trace. Default: none does. */
  readonly tracer?: Tracer
}

/** One endpoint on 127.0.0.1. */
export function onPort(port: number): EndpointSource {
  return new SingleEndpoint(new Endpoint("127.0.0.1", port))
}

/** The given endpoints, in their order, each tried once. `meshed`: each has a proxy of its own. */
export function inOrder(ports: readonly number[], meshed = false): EndpointSource {
  const endpoints = ports.map(port => new Endpoint("127.0.0.1", port, { ...UNKNOWN_ENDPOINT, meshed }))
  return { pick: tried => endpoints.find(endpoint => !tried.includes(endpoint)) ?? null }
}

/** Starts a proxy in this process that sends every request to `source`. */
export function startHttp1Loopback(
  source: EndpointSource,
  options: Http1LoopbackOptions = {},
): Http1Loopback {
  const lines: string[] = []
  const log = createLogger({ level: "debug", sink: line => lines.push(line) })
  const env: HttpEnv = {
    clock: options.time?.clock ?? loop.clock,
    timers: options.time?.timers ?? loop.timers,
    log,
    draining: false,
    dial: (endpoint, handler) => dial(endpoint.address, endpoint.port, handler),
  }
  const direction = options.direction ?? 1
  const telemetry = new Telemetry(loop.clock)
  const replay = new ReplayBudget(options.replayBytes)
  const admission = new Admission(MAX_REQUESTS_IN_FLIGHT, replay)
  const connections: Drainable[] = []
  const labels = {
    direction,
    dstService: "",
    dstNamespace: "",
    tls: direction === 0 ? ("disabled" as const) : null,
    clientId: "",
    route: "",
  }
  const target = { source, labels, defaultAuthority: "", routes: options.routes ?? null, port: 80 }
  const listener: Listener = listen({
    address: "127.0.0.1",
    port: options.port ?? 0,
    accept(conn) {
      const { guard = null, accessLog = null, tracer = null } = options
      const shared = { target, telemetry, clock: env.clock, log, admission }
      const service = createHttpService({ direction, guard, accessLog, tracer, ...shared })
      connections.push(serveHttp1(conn, new Uint8Array(0), service, env))
      return conn.handler
    },
  })
  return { port: listener.port, env, telemetry, admission, lines, connections, close: () => listener.close() }
}
