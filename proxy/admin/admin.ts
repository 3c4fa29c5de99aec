// The admin port: probes, metrics, refusals, shutdown and log level. What changes anything is for loopback only.
import { isLogLevel, LOG_LEVELS, type Logger } from "../log.ts"
import {
  type Conn,
  type ConnHandler,
  callbackTimer,
  type Listener,
  listen,
  type TimerWheel,
} from "../net/mod.ts"
import {
  ADMIN_REQUEST_BYTES_MAX,
  type AdminRequest,
  type AdminResponse,
  readAdminRequest,
  writeAdminResponse,
} from "./http_request.ts"

/** A request must be here whole within this time. */
export const ADMIN_REQUEST_TIMEOUT_MS = 5_000

/** Connections at once; more are reset. Probes and scrapers need a handful. */
export const ADMIN_CONNECTIONS_MAX = 64

/** What the admin port shows and does. */
export interface AdminOptions {
  readonly address: string
  readonly port: number
  readonly timers: TimerWheel
  readonly log: Logger
  /** Why the proxy is not ready, one reason per line; empty when it is. */
  readonly unreadyReasons: () => readonly string[]
  /** Metrics in Prometheus' text format. */
  readonly metrics: () => string
  readonly metricsContentType: string
  /** Public data of the proxy's identity, JSON; null where it has none. */
  readonly identity: () => string | null
  /** Refusals of an id as JSON; of every one where it is empty. */
  readonly refusals: (id: string) => string
  /** What is known of destinations, JSON; names no more than /metrics does. */
  readonly discovery: () => string
  /** What is known of policies, JSON; names no more than /metrics does. */
  readonly policy: () => string
  /** Begins an orderly shutdown. */
  readonly shutdown: () => void
}

interface Route {
  readonly methods: readonly string[]
  answer(request: AdminRequest, fromLoopback: boolean): AdminResponse
}

/**
 * Starts to serve.
 *
 * @throws Error with `code` EADDRINUSE when the port is taken
 */
export function serveAdmin(options: AdminOptions): Listener {
  const routes = adminRoutes(options)
  let connections = 0
  return listen({
    address: options.address,
    port: options.port,
    accept(conn) {
      connections++
      if (connections > ADMIN_CONNECTIONS_MAX) conn.reset()
      return new AdminConnection(conn, routes, options.timers, () => connections--)
    },
  })
}

function adminRoutes(options: AdminOptions): ReadonlyMap<string, Route> {
  const { log } = options
  return new Map<string, Route>([
    ["/live", { methods: ["GET", "HEAD"], answer: () => ({ status: 200, body: "live\n" }) }],
    [
      "/ready",
      {
        methods: ["GET", "HEAD"],
        answer() {
          const reasons = options.unreadyReasons()
          if (reasons.length === 0) return { status: 200, body: "ready\n" }
          return { status: 503, body: `not ready:\n${reasons.map(reason => `${reason}\n`).join("")}` }
        },
      },
    ],
    [
      "/metrics",
      {
        methods: ["GET", "HEAD"],
        answer: () => ({ status: 200, body: options.metrics(), contentType: options.metricsContentType }),
      },
    ],
    [
      "/identity",
      {
        methods: ["GET", "HEAD"],
        answer() {
          const body = options.identity()
          if (body === null) return { status: 404, body: "this proxy has no identity\n" }
          return { status: 200, body, contentType: "application/json" }
        },
      },
    ],
    [
      "/refusals",
      {
        methods: ["GET", "HEAD"],
        answer({ query }, fromLoopback) {
          // An id cannot be guessed: who asks for one was refused, or was told of it. All of them are the pod's own affair.
          const id = new URLSearchParams(query).get("id") ?? ""
          if (id === "" && !fromLoopback)
            return { status: 403, body: "/refusals without ?id= is answered within the pod only\n" }
          return { status: 200, body: options.refusals(id), contentType: "application/json" }
        },
      },
    ],
    [
      "/discovery",
      {
        methods: ["GET", "HEAD"],
        answer: () => ({ status: 200, body: options.discovery(), contentType: "application/json" }),
      },
    ],
    [
      "/policy",
      {
        methods: ["GET", "HEAD"],
        answer: () => ({ status: 200, body: options.policy(), contentType: "application/json" }),
      },
    ],
    [
      "/shutdown",
      {
        methods: ["POST"],
        answer() {
          options.shutdown()
          return { status: 200, body: "shutting down\n" }
        },
      },
    ],
    [
      "/log-level",
      {
        methods: ["GET", "HEAD", "PUT"],
        answer({ method, body }) {
          if (method !== "PUT") return { status: 200, body: `${log.level}\n` }
          const level = body.trim()
          if (!isLogLevel(level)) {
            return { status: 400, body: `the body must be one of ${LOG_LEVELS.join(", ")}\n` }
          }
          log.level = level
          log.info("log level changed", { level })
          return { status: 200, body: `${level}\n` }
        },
      },
    ],
  ])
}

const MUTATIONS = ["POST", "PUT"]

/** The answer to one request; apart from sockets, for tests. */
function answer(
  routes: ReadonlyMap<string, Route>,
  request: AdminRequest,
  fromLoopback: boolean,
): AdminResponse {
  const { method, path } = request
  const route = routes.get(path)
  if (route === undefined)
    return { status: 404, body: `nothing at ${path}; there is ${[...routes.keys()].join(", ")}\n` }
  if (!route.methods.includes(method)) {
    const allow = route.methods.join(", ")
    return { status: 405, body: `${path} takes ${allow}\n`, allow }
  }
  if (MUTATIONS.includes(method) && !fromLoopback) {
    return { status: 403, body: `${method} ${path} is taken from within the pod only\n` }
  }
  return route.answer(request, fromLoopback)
}

class AdminConnection implements ConnHandler {
  private readonly routes: ReadonlyMap<string, Route>
  private readonly ended: () => void
  private readonly timers: TimerWheel
  private readonly timer
  private bytes: Uint8Array = new Uint8Array(0)
  private answered = false

  constructor(conn: Conn, routes: ReadonlyMap<string, Route>, timers: TimerWheel, ended: () => void) {
    this.routes = routes
    this.timers = timers
    this.ended = ended
    this.timer = callbackTimer(() => conn.close())
    timers.schedule(this.timer, ADMIN_REQUEST_TIMEOUT_MS)
  }

  onOpen(): void {}

  onData(conn: Conn, chunk: Uint8Array): void {
    if (this.answered) return
    this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk])
    const request =
      this.bytes.length > 2 * ADMIN_REQUEST_BYTES_MAX ? "malformed" : readAdminRequest(this.bytes)
    if (request === null) return
    this.answered = true
    if (request === "malformed") {
      conn.write(writeAdminResponse({ status: 400, body: "the request cannot be read\n" }))
    } else {
      const fromLoopback = conn.remoteAddress.startsWith("127.") || conn.remoteAddress === "::1"
      const response = answer(this.routes, request, fromLoopback)
      conn.write(writeAdminResponse(response, request.method === "HEAD"))
    }
    conn.close()
  }

  onDrain(): void {}

  onEnd(conn: Conn): void {
    conn.close()
  }

  onClose(): void {
    this.timers.cancel(this.timer)
    this.ended()
  }
}
