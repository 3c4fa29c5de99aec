// Figures and windows in the API's shape.
import type { MessageInitShape } from "@bufbuild/protobuf"
import type { HttpFiguresSchema, TcpFiguresSchema } from "../../protos/mod.ts"
import { invalid } from "../rpc/mod.ts"
import {
  type FigureSum,
  type HttpFigures,
  MAX_WINDOW_MS,
  MIN_WINDOW_MS,
  type TcpFigures,
} from "../telemetry/mod.ts"

/** Window when none is asked for. */
export const DEFAULT_WINDOW_MS = 60_000

/**
 * Checks a window.
 *
 * @throws ConnectError InvalidArgument
 */
export function windowOf(windowMs: number): number {
  if (windowMs === 0) return DEFAULT_WINDOW_MS
  if (windowMs >= MIN_WINDOW_MS && windowMs <= MAX_WINDOW_MS) return windowMs
  const range = `${MIN_WINDOW_MS} to ${MAX_WINDOW_MS}`
  const sentence = `window_ms must be ${range} milliseconds, or 0 for a minute, not ${windowMs}`
  throw invalid("WINDOW_OUT_OF_RANGE", "window_ms", sentence)
}

/** Figures of a row in the API's shape; absent where there was no traffic. */
export function figuresOf(sum: FigureSum | undefined): {
  http?: MessageInitShape<typeof HttpFiguresSchema>
  tcp?: MessageInitShape<typeof TcpFiguresSchema>
} {
  const http = sum?.http() ?? null
  const tcp = sum?.tcp() ?? null
  return {
    ...(http === null ? {} : { http: httpInit(http) }),
    ...(tcp === null ? {} : { tcp: tcpInit(tcp) }),
  }
}

/** HTTP figures in the API's shape. */
export function httpInit(figures: HttpFigures): MessageInitShape<typeof HttpFiguresSchema> {
  const { success, rps, responses, failures, latencyMs } = figures
  return { success, rps, responses: BigInt(responses), failures: BigInt(failures), latencyMs }
}

function tcpInit({
  open,
  readBytesPerSec,
  writeBytesPerSec,
}: TcpFigures): MessageInitShape<typeof TcpFiguresSchema> {
  return { open: BigInt(open), readBytesPerSec, writeBytesPerSec }
}
