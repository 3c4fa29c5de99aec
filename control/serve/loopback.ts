// Whether a request comes from the loopback interface of this process's own network: in a pod, whoever may forward to it.
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"

/** Whether it does; of either version of HTTP. */
export function fromLoopback(request: IncomingMessage | Http2ServerRequest): boolean {
  const session = "stream" in request ? request.stream.session : undefined
  const { remoteAddress = "" } = session?.socket ?? request.socket
  return /^(::ffff:)?127\.|^::1$/.test(remoteAddress)
}
