// Figures of several workloads together.
import { create } from "@bufbuild/protobuf"
import { type HttpFigures, HttpFiguresSchema } from "../../../../protos/mod.ts"
import type { Workload } from "../mesh/mesh.ts"
import { failures, type Level, levelOf } from "../mesh/trouble.ts"

/** Workloads in sum. Quantiles have none: the slowest workload stands for them. */
export interface Sum {
  /** Without latencies; undefined where none had traffic. */
  readonly http: HttpFigures | undefined
  readonly failuresPerSec: number
  /** Workloads with traffic. */
  readonly serving: number
  readonly slowest: Workload | undefined
  readonly open: number
  readonly bytesPerSec: number
  readonly meshed: number
  readonly total: number
}

/** A namespace in sum. */
export interface NamespaceSum extends Sum {
  readonly name: string
  readonly workloads: number
  /** The worst of its workloads'. */
  readonly level: Level
}

/** Adds workloads up. */
export function sumOf(workloads: readonly Workload[]): Sum {
  const serving = workloads.filter(({ http }) => http !== undefined)
  const add = (of: (workload: Workload) => number): number => workloads.reduce((sum, one) => sum + of(one), 0)
  const count = (of: "responses" | "failures"): bigint =>
    serving.reduce((sum, { http }) => sum + (http?.[of] ?? 0n), 0n)
  const [responses, failed] = [count("responses"), count("failures")]
  const success = responses === 0n ? 0 : Number(responses - failed) / Number(responses)
  const p99 = ({ http }: Workload): number => http?.latencyMs?.p99 ?? 0
  return {
    http:
      serving.length === 0
        ? undefined
        : create(HttpFiguresSchema, {
            success,
            rps: add(({ http }) => http?.rps ?? 0),
            responses,
            failures: failed,
          }),
    failuresPerSec: add(({ http }) => failures(http)),
    serving: serving.length,
    slowest: serving.length === 0 ? undefined : serving.reduce((a, b) => (p99(b) > p99(a) ? b : a)),
    open: add(({ tcp }) => Number(tcp?.open ?? 0n)),
    bytesPerSec: add(({ tcp }) => (tcp?.readBytesPerSec ?? 0) + (tcp?.writeBytesPerSec ?? 0)),
    meshed: add(({ meshed }) => meshed),
    total: add(({ total }) => total),
  }
}

/** Every namespace, by name. */
export function namespaceSums(workloads: readonly Workload[]): NamespaceSum[] {
  const names = [...new Set(workloads.map(({ namespace }) => namespace))].sort()
  return names.map(name => {
    const own = workloads.filter(({ namespace }) => namespace === name)
    const levels = own.map(({ http }) => levelOf(http))
    const level = (["failing", "degraded", "well"] as const).find(one => levels.includes(one)) ?? "idle"
    return { ...sumOf(own), name, workloads: own.length, level }
  })
}
