// A port for bidirectional gRPC methods, whose streams proxies hold open for as long as they live.
import { type Peer, peerOf } from "../tls/mod.ts"
import { GrpcStream, type GrpcStreamHandler } from "./grpc_stream.ts"
import { type Listening, type ListenOptions, listen } from "./listener.ts"

/** What is served, and how. */
export interface StreamPortOptions extends Pick<ListenOptions, "host" | "port" | "keepalive" | "tls"> {
  /** What begins a stream, by the path of its method, `/package.Service/Method`; whatever else is asked for gets 404. */
  readonly methods: Readonly<Record<string, OpenStream>>
}

/**
 * Begins a stream.
 *
 * @param peer  who the caller has proved to be, null for nobody; undefined where the port asks for no proof
 */
export type OpenStream = (stream: GrpcStream, peer: Peer | null | undefined) => GrpcStreamHandler

/**
 * Starts to serve the methods.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export function listenForStreams(options: StreamPortOptions): Promise<Listening> {
  const { methods, ...port } = options
  const byPath = new Map(Object.entries(methods))
  const guarded = port.tls?.client === "required"
  return listen({
    ...port,
    onStream: (stream, headers) => {
      const open = byPath.get(headers[":path"] ?? "")
      if (open !== undefined && headers["content-type"]?.startsWith("application/grpc")) {
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
