// A proxy with only its HTTP/2 engine, on loopback: for tests and measurements of the engine alone.
import { Endpoint, type EndpointSource, SingleEndpoint, UNKNOWN_ENDPOINT } from "../balance/mod.ts"
import type { AccessLog, Drainable, HttpEnv, RequestGuard, Tracer } from "../http/mod.ts"
import { Admission, createHttpService, MAX_REQUESTS_IN_FLIGHT } from "../http/mod.ts"
import { createLogger } from "../log.ts"
import { type Clock, dial, type Listener, listen, loop, type TimerWheel } from "../net/mod.ts"
import type { ServiceRoutes } from "../route/mod.ts"
import { Telemetry } from "../telemetry/mod.ts"
import { ReplayBudget } from "../wire/mod.ts"
import { serveHttp2 } from "./proxy.ts"

/** A running loopback proxy. */
export interface LoopbackProxy {
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
export interface LoopbackOptions {
  /** 0 inbound, 1 outbound. Default 1. */
  readonly direction?: 0 | 1
  /** Port to listen on. Default: any. */
  readonly port?: number
  /** A clock that the test drives. Default: the loop's. */
  readonly clock?: Clock
  /** Timers on that clock. Default: the loop's. */
  readonly timers?: TimerWheel
  /** Octets of bodies kept to be sent again. Default: that of `ReplayBudget`. */
  readonly replayBytes?: number
  /** Routes of the service that is called. Default: none. */
  readonly routes?: ServiceRoutes
  /** Decides on each request. Default: nobody does. */
  readonly guard?: RequestGuard
  /** Told of each exchange that is over. Default: nobody. */
  readonly accessLog?: AccessLog
  /** Decides which requests belong to a trace. Default: none does. */
  readonly tracer?: Tracer
}

/** Endpoints on 127.0.0.1, chosen in turn. `meshed`: each has a proxy of its own. */
export function roundRobin(ports: readonly number[], meshed = false): EndpointSource {
  const endpoints = ports.map(port => new Endpoint("127.0.0.1", port, { ...UNKNOWN_ENDPOINT, meshed }))
  if (endpoints.length === 1) return new SingleEndpoint(endpoints[0] as Endpoint)
  let next = 0
  return {
    pick(tried) {
      for (let i = 0; i < endpoints.length; i++) {
        const endpoint = endpoints[next++ % endpoints.length] as Endpoint
        if (!tried.includes(endpoint)) return endpoint
      }
      return null
    },
  }
}

/** Starts a proxy in this process that sends every stream to `source`. */
export function startLoopbackProxy(source: EndpointSource, options: LoopbackOptions = {}): LoopbackProxy {
  const lines: string[] = []
  const clock = options.clock ?? loop.clock
  const log = createLogger({ level: "debug", sink: line => lines.push(line) })
  const env: HttpEnv = {
    clock,
    timers: options.timers ?? loop.timers,
    log,
    draining: false,
    dial: (endpoint, handler) => dial(endpoint.address, endpoint.port, handler),
  }
  const direction = options.direction ?? 1
  const telemetry = new Telemetry(clock)
  const replay = new ReplayBudget(options.replayBytes)
  const admission = new Admission(MAX_REQUESTS_IN_FLIGHT, replay)
  const connections: Drainable[] = []
  const target = {
    source,
    labels: {
      direction,
      dstService: "",
      dstNamespace: "",
      tls: direction === 0 ? ("disabled" as const) : null,
      clientId: "",
      route: "",
    },
    defaultAuthority: "",
    routes: options.routes ?? null,
    port: 80,
  }
  const listener: Listener = listen({
    address: "127.0.0.1",
    port: options.port ?? 0,
    accept(conn) {
      const service = createHttpService({
        direction,
        target,
        telemetry,
        clock,
        log,
        admission,
        httpVersion: 2,
        guard: options.guard ?? null,
        accessLog: options.accessLog ?? null,
        tracer: options.tracer ?? null,
      })
      const drainable = serveHttp2(conn, new Uint8Array(0), service, env)
      connections.push(drainable)
      return conn.handler
    },
  })
  return { port: listener.port, env, telemetry, admission, lines, connections, close: () => listener.close() }
}
