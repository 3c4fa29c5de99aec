// One request to the control plane and its answer (a unary gRPC call), on a connection of its own.
import { type ControlLinkOptions, serviceAccountOf, splitAddress } from "./control_link.ts"
import { GRPC_UNAVAILABLE, GrpcStream } from "./grpc_stream.ts"

/** Time for the whole call: the service may have to ask Kubernetes. */
export const UNARY_CALL_TIMEOUT_MS = 10_000

/** Connect timeout. */
const CONNECT_TIMEOUT_MS = 2000

/** The call failed. */
export class CallError extends Error {
  /** gRPC status code. */
  readonly code: number

  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

/** Parts of a call. */
export type UnaryCallOptions = Omit<ControlLinkOptions, "log">

/**
 * Sends a request and waits for its answer.
 *
 * @throws CallError with the service's status, or UNAVAILABLE where it could not be reached or did not answer in time
 */
export async function unaryCall(options: UnaryCallOptions, request: Uint8Array): Promise<Uint8Array> {
  const { clock, timers, fields, dial, random, resolve, path, userAgent, address, name } = options
  const { host, port } = splitAddress(address)
  let addresses: readonly string[]
  try {
    addresses = await resolve(host)
  } catch (error) {
    throw new CallError(GRPC_UNAVAILABLE, `${host} could not be resolved: ${error}`)
  }
  const ip = addresses[Math.floor(random() * addresses.length)]
  if (ip === undefined) throw new CallError(GRPC_UNAVAILABLE, `${host} has no address`)
  return await new Promise<Uint8Array>((answered, failed) => {
    let answer: Uint8Array | null = null
    const stream = new GrpcStream(
      {
        onOpen() {},
        onMessage(message) {
          answer = message
        },
        onEnd(code, reason) {
          clearTimeout(deadline)
          if (code === 0 && answer !== null) answered(answer)
          else failed(new CallError(code === 0 ? GRPC_UNAVAILABLE : code, reason || "no answer came"))
        },
      },
      { authority: address, path, userAgent, fields, clock, timers },
    )
    const deadline = setTimeout(() => {
      failed(new CallError(GRPC_UNAVAILABLE, "no answer came in time"))
      stream.abort()
    }, UNARY_CALL_TIMEOUT_MS)
    stream.start(dial(ip, port, stream, CONNECT_TIMEOUT_MS, serviceAccountOf(address, name)))
    stream.send(request)
    stream.finish()
  })
}
