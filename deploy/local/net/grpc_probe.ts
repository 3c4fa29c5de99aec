// A gRPC probe: asks a pod's grpc.health.v1.Health/Check, as a kubelet does (github.com/grpc/grpc, "GRPC Health
// Checking Protocol"). The messages have one field each, so they are written and read by hand.
import { connect } from "node:http2"

/** More than this is no answer of a health service. */
const MAX_ANSWER_BYTES = 4 * 1024

/** Names of HealthCheckResponse.ServingStatus by number. */
const STATUSES = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const
const SERVING = 1

/** HealthCheckRequest in the gRPC framing: no compression, length, field 1 with the service's name. */
function requestFor(service: string): Buffer {
  const name = Buffer.from(service, "utf8")
  const length: number[] = []
  let rest = name.length
  for (; rest > 0x7f; rest >>= 7) length.push((rest & 0x7f) | 0x80)
  length.push(rest)
  const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, ...length]), name])
  const frame = Buffer.alloc(5)
  frame.writeUInt32BE(message.length, 1)
  return Buffer.concat([frame, message])
}

/** Number of the serving status in a framed HealthCheckResponse; null when it is none. */
function statusIn(body: Buffer): number | null {
  if (body.length < 5 || body[0] !== 0 || body.length < 5 + body.readUInt32BE(1)) return null
  const message = body.subarray(5, 5 + body.readUInt32BE(1))
  // Field 1, varint; left out when it is 0. Unknown fields do not occur before it.
  return message.length === 0 ? 0 : message[0] === 0x08 ? (message[1] ?? 0) : null
}

/** Asks once. @param service  name of the service to ask about; "" for the server as a whole */
export function probeGrpc(
  host: string,
  port: number,
  service: string,
  timeoutMs: number,
): Promise<{ ok: boolean; reason: string }> {
  return new Promise(resolve => {
    const authority = `${host.includes(":") ? `[${host}]` : host}:${port}`
    const session = connect(`http://${authority}`)
    let body = Buffer.alloc(0)
    let httpStatus = 0
    let grpcStatus = ""
    let grpcMessage = ""
    const done = (ok: boolean, reason: string) => {
      clearTimeout(late)
      session.destroy()
      resolve({ ok, reason })
    }
    const late = setTimeout(() => done(false, "no answer in time"), timeoutMs)
    session.on("error", error => done(false, reasonOf(error)))
    const stream = session.request({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
      "user-agent": "kube-probe/1.0",
    })
    const take = (headers: Readonly<Record<string, unknown>>) => {
      if (headers["grpc-status"] === undefined) return
      grpcStatus = String(headers["grpc-status"])
      grpcMessage = decodeMessage(String(headers["grpc-message"] ?? ""))
    }
    stream.on("response", headers => {
      httpStatus = Number(headers[":status"] ?? 0)
      take(headers)
    })
    stream.on("trailers", take)
    stream.on("data", (chunk: Buffer) => {
      body = Buffer.concat([body, chunk])
      if (body.length > MAX_ANSWER_BYTES) done(false, "the answer is none of a gRPC health service")
    })
    stream.on("error", error => done(false, reasonOf(error)))
    stream.on("close", () => {
      if (grpcStatus === "12") done(false, "the server has no grpc.health.v1.Health service")
      else if (grpcStatus === "5") done(false, `the health service does not know the service "${service}"`)
      else if (grpcStatus !== "" && grpcStatus !== "0")
        done(false, `gRPC status ${grpcStatus}${grpcMessage === "" ? "" : `: ${grpcMessage}`}`)
      else if (httpStatus !== 200)
        done(false, httpStatus === 0 ? "the connection ended without an answer" : `HTTP status ${httpStatus}`)
      else {
        const status = statusIn(body)
        if (status === null) done(false, "the answer is none of a gRPC health service")
        else done(status === SERVING, status === SERVING ? "" : `it is ${STATUSES[status] ?? status}`)
      }
    })
    stream.end(requestFor(service))
  })
}

function reasonOf(error: unknown): string {
  const { code, message } = error as { code?: string; message?: string }
  return code === "ECONNREFUSED" ? "connection refused" : (message ?? String(error))
}

/** grpc-message is percent-encoded. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
