// Calls of the public API as Prometheus knows gRPC servers (grpc_server_*, as go-grpc-middleware counts them): by
// method and code, with how long they took; whatever protocol they came by.
import { Code, ConnectError, type Interceptor, type StreamResponse } from "@connectrpc/connect"
import type { Metric } from "../serve/mod.ts"

/** Upper edges of the buckets, seconds. */
const EDGES_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const

/** Figures of one method. */
class MethodFigures {
  readonly labels: Readonly<Record<string, string>>
  started = 0
  /** Calls by code. */
  readonly handled = new Map<string, number>()
  /** Calls that took at most so long, by `EDGES_S`; longer ones are in `count` only. */
  readonly buckets = new Array<number>(EDGES_S.length).fill(0)
  sumS = 0
  count = 0

  constructor(service: string, method: string, stream: boolean) {
    this.labels = {
      grpc_service: service,
      grpc_method: method,
      grpc_type: stream ? "server_stream" : "unary",
    }
  }

  ended(code: string, seconds: number): void {
    this.handled.set(code, (this.handled.get(code) ?? 0) + 1)
    this.sumS += seconds
    this.count++
    for (const [i, edge] of EDGES_S.entries())
      if (seconds <= edge) this.buckets[i] = (this.buckets[i] ?? 0) + 1
  }
}

/** Counts calls. */
export class CallMetrics {
  private readonly nowMs: () => number
  /** Of methods that the API has, since others never reach an interceptor. */
  private readonly methods = new Map<string, MethodFigures>()

  /** @param nowMs  monotonic clock. Default: performance.now */
  constructor(nowMs: () => number = () => performance.now()) {
    this.nowMs = nowMs
  }

  /** Counts every call, refused ones too: to be the first of interceptors. */
  readonly interceptor: Interceptor = next => async request => {
    const { service, method } = request
    const name = `${service.typeName}/${method.name}`
    let figures = this.methods.get(name)
    if (figures === undefined) {
      figures = new MethodFigures(service.typeName, method.name, request.stream)
      this.methods.set(name, figures)
    }
    figures.started++
    const startedMs = this.nowMs()
    try {
      const response = await next(request)
      if (response.stream) return this.followed(response, figures, startedMs)
      figures.ended("OK", (this.nowMs() - startedMs) / 1000)
      return response
    } catch (error) {
      figures.ended(codeOf(error), (this.nowMs() - startedMs) / 1000)
      throw error
    }
  }

  /** The figures now. */
  metrics(): Metric[] {
    const all = [...this.methods.values()]
    const handling = {
      help: "How long calls took until they had ended, in seconds.",
      type: "histogram" as const,
    }
    const family = "grpc_server_handling_seconds"
    return [
      ...all.map(({ labels, started }) => ({
        name: "grpc_server_started_total",
        help: "Calls begun.",
        type: "counter" as const,
        value: started,
        labels,
      })),
      ...all.flatMap(({ labels, handled }) =>
        [...handled].map(([code, value]) => ({
          name: "grpc_server_handled_total",
          help: "Calls that have ended, by code.",
          type: "counter" as const,
          value,
          labels: { ...labels, grpc_code: code },
        })),
      ),
      ...all.flatMap(({ labels, buckets, sumS, count }) => [
        ...buckets.map((value, i) => ({
          ...handling,
          name: `${family}_bucket`,
          value,
          labels: { ...labels, le: String(EDGES_S[i]) },
        })),
        { ...handling, name: `${family}_bucket`, value: count, labels: { ...labels, le: "+Inf" } },
        { ...handling, name: `${family}_sum`, value: sumS, labels },
        { ...handling, name: `${family}_count`, value: count, labels },
      ]),
    ]
  }

  /** A stream ends when its last message has been taken, or its caller is gone. */
  private followed(response: StreamResponse, figures: MethodFigures, startedMs: number): StreamResponse {
    const nowMs = this.nowMs
    const messages = response.message as AsyncIterable<never>
    async function* counted() {
      let code = "Canceled"
      try {
        yield* messages
        code = "OK"
      } catch (error) {
        code = codeOf(error)
        throw error
      } finally {
        figures.ended(code, (nowMs() - startedMs) / 1000)
      }
    }
    return { ...response, message: counted() }
  }
}

function codeOf(error: unknown): string {
  return Code[ConnectError.from(error).code] ?? "Unknown"
}
