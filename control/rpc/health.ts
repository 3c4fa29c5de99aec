// gRPC health (grpc.health.v1): whether a service answers, for probes and load balancers.
import { Code, type ServiceImpl } from "@connectrpc/connect"
import { grpcHealthV1 } from "../../protos/grpc/mod.ts"
import { apiError } from "./error_detail.ts"
import type { StandingStreams } from "./standing_streams.ts"

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = grpcHealthV1.HealthCheckResponse_ServingStatus

/** Whether all services of a server can answer. */
export interface Readiness {
  readonly ready: boolean
  /** Calls back once it is ready; at once when it is. */
  whenReady(callback: () => void): void
}

/** Health of services that become ready together. @param services  their full names */
export function health(
  services: readonly string[],
  readiness: Readiness,
  streams: StandingStreams,
): ServiceImpl<typeof grpcHealthV1.Health> {
  const known = new Set(["", ...services])
  const status = () => (readiness.ready ? SERVING : NOT_SERVING)
  return {
    check({ service }) {
      if (known.has(service)) return { status: status() }
      const sentence = `no service "${service.slice(0, 100)}" is served here`
      throw apiError(Code.NotFound, sentence, {
        reason: "UNKNOWN_SERVICE",
        field: "service",
        hint: `served: ${services.join(", ")}`,
      })
    },
    async *watch({ service }, { signal }) {
      using _ = streams.enter()
      const ended = new Promise<void>(resolve =>
        signal.addEventListener("abort", () => resolve(), { once: true }),
      )
      if (!known.has(service)) yield { status: SERVICE_UNKNOWN }
      else {
        yield { status: status() }
        if (!readiness.ready) {
          await Promise.race([ended, new Promise<void>(resolve => readiness.whenReady(resolve))])
          if (readiness.ready) yield { status: SERVING }
        }
      }
      if (!signal.aborted) await ended
    },
  }
}
