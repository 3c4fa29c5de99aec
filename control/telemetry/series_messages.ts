// Figures over time as messages of the query API, and back.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import { telemetryQueryV1 } from "../../protos/mod.ts"
import type { SeriesQuestion, SeriesRow } from "./queries.ts"
import { emptySums, type WindowSums } from "./window_ring.ts"

const { Apart } = telemetryQueryV1

const APARTS = [
  [Apart.POD, "pod"],
  [Apart.WORKLOAD, "workload"],
  [Apart.NAMESPACE, "namespace"],
  [Apart.SERVICE, "service"],
  [Apart.CALLED_WORKLOAD, "called-workload"],
  [Apart.CALLED_NAMESPACE, "called-namespace"],
] as const

/** What a message's series are told apart by. @throws ConnectError InvalidArgument */
export function apartOf(apart: telemetryQueryV1.Apart): SeriesQuestion["apart"] {
  const found = APARTS.find(([number]) => number === apart)
  if (found !== undefined) return found[1]
  throw new ConnectError(
    "series are told apart by who counted or who was called: apart must say by what",
    Code.InvalidArgument,
  )
}

/** The question as a message. */
export function seriesRequest(
  question: SeriesQuestion,
): MessageInitShape<typeof telemetryQueryV1.TimeSeriesRequestSchema> {
  const apart = APARTS.find(([, name]) => name === question.apart)?.[0] ?? Apart.UNSPECIFIED
  return { ...question, apart, reporters: [...question.reporters], called: [...question.called] }
}

/** A row as a message. */
export function seriesMessage({
  who,
  service,
  points,
}: SeriesRow): MessageInitShape<typeof telemetryQueryV1.TimeSeriesResponse_SeriesSchema> {
  return {
    who,
    service,
    points: points.flatMap((sums, index) => {
      if (sums === null) return []
      const { successes, failures, readBytes, writeBytes, latency } = sums
      const latencyCounts = successes + failures === 0 ? [] : Array.from(latency, BigInt)
      const counts = { successes: BigInt(successes), failures: BigInt(failures) }
      return [{ index, ...counts, readBytes, writeBytes, latencyCounts }]
    }),
  }
}

/** The rows of an answer with this many points. */
export function seriesRows(answer: telemetryQueryV1.TimeSeriesResponse, length: number): SeriesRow[] {
  return answer.series.map(({ who, service, points }) => {
    const { namespace = "", pod = "", workloadKind = "", workload = "" } = who ?? {}
    const row: (WindowSums | null)[] = new Array(length).fill(null)
    for (const { index, successes, failures, readBytes, writeBytes, latencyCounts } of points) {
      if (index >= length) continue
      const sums = emptySums()
      const counts = { successes: Number(successes), failures: Number(failures), readBytes, writeBytes }
      for (const [bucket, count] of latencyCounts.entries()) sums.latency[bucket] = Number(count)
      row[index] = { ...sums, ...counts }
    }
    return { who: { namespace, pod, workloadKind, workload }, service, points: row }
  })
}
