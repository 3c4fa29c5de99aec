// What the three programs of balancing_test.ts agree upon.

/** Port of the servers behind the Service. */
export const CALL_PORT = 8080
/** The same servers, past the mesh: what is sent here is sent by the client itself, endpoint by endpoint. */
export const DIRECT_PORT = 8081
/** Time that a sound server takes for an answer, milliseconds. */
export const SERVICE_MS = 30
/** How much longer a slow one takes. */
export const SLOW_FACTOR = 10
/** A client that has waited so long for an answer gives up, milliseconds. */
export const CLIENT_TIMEOUT_MS = 500

/** What is wrong with a server: nothing; each answer takes long, always or every other second; each is 503. */
export type State = "sound" | "slow" | "flapping" | "failing"

/** A request that a server saw. */
export interface Seen {
  /** Time of day, milliseconds. */
  readonly atMs: number
  /** Answered 503. */
  readonly failed: boolean
}

/** Who chooses the endpoint: the proxy, or the client by turns, or the client by what it has under way of two at random. */
export type Chooser = "mesh" | "round-robin" | "least-requests"

/** What to send. */
export interface LoadPlan {
  readonly choosers: readonly Chooser[]
  /** URL of the Service, for the mesh. */
  readonly service: string
  /** Addresses of the servers, for the others. */
  readonly servers: readonly string[]
  /** Requests a second by each chooser, sent when they are due, whatever has become of earlier ones. */
  readonly perSecond: number
  /** Not measured at first, then measured, milliseconds. */
  readonly warmupMs: number
  readonly measuredMs: number
}

/** What became of it, by chooser. */
export interface LoadFigures {
  readonly sent: number
  /** Not answered 200 in time. */
  readonly failed: number
  /** Milliseconds; those that failed count for the time that they took. */
  readonly p50: number
  readonly p99: number
}
