// A port for one bidirectional gRPC method, whose streams proxies hold open for as long as they live.
import { type Peer, peerOf } from "../tls/mod.ts"
import { GrpcStream, type GrpcStreamHandler } from "./grpc_stream.ts"
import { type Listening, type ListenOptions, listen } from "./listener.ts"

/** What is served, and how. */
export interface StreamPortOptions extends Pick<ListenOptions, "host" | "port" | "keepalive" | "tls"> {
  /** Path of the method, `/package.Service/Method`; whatever else is asked for gets 404. */
  readonly path: string
  /**
   * Begins a stream.
   *
   * @param peer  who the caller has proved to be, null for nobody; undefined where the port asks for no proof
   */
  readonly open: (stream: GrpcStream, peer: Peer | null | undefined) => GrpcStreamHandler
}

/**
 * Starts to serve the method.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function listenForStreams(options: StreamPortOptions): Promise<Listening> {
  const { path, open, ...port } = options
  const guarded = port.tls?.client === "required"
  return listen({
    ...port,
    onStream: (stream, headers) => {
      if (headers[":path"] === path && headers["content-type"]?.startsWith("application/grpc")) {
        const peer = guarded ? peerOf(stream.session) : undefined
        new GrpcStream(stream, grpc => open(grpc, peer))
      } else stream.respond({ ":status": 404 }, { endStream: true })
    },
    onRequest: (_request, response) => {
      response.statusCode = 404
      response.end()
    },
  })
}
