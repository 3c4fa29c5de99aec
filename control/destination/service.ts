// The destination service on its port: conduit.destination.v1 over gRPC.
import type { IncomingHttpHeaders, ServerHttp2Stream } from "node:http2"
import { destinationV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { GrpcStream, type KeepaliveOptions, type Listening, listen, type TlsOptions } from "../serve/mod.ts"
import { type MeshNames, peerOf } from "../tls/mod.ts"
import { ProxyStream, type StreamCounts } from "./proxy_stream.ts"
import { Topics } from "./topic.ts"

/** Path of the only method. */
export const WATCH_PATH = `/${destinationV1.DestinationService.typeName}/Watch`

/** How the service is served. */
export interface DestinationOptions {
  /** Address to listen on. */
  readonly host: string
  /** Port; 0 takes any free one. */
  readonly port: number
  /** Domain of the cluster's DNS. Default `cluster.local`. */
  readonly clusterDomain?: string
  /** Intervals of PINGs to proxies. */
  readonly keepalive?: KeepaliveOptions
  /** TLS of the port; where it requires certificates, a proxy must prove the identity of the pod that it names. */
  readonly tls?: TlsOptions
  /** Names of the mesh, for a control plane with identity: endpoints then bear the identity to expect. */
  readonly names?: MeshNames
}

/** The service while it runs. */
export interface DestinationServer extends Listening {
  /** Counts over all streams. */
  readonly counts: Readonly<StreamCounts>
  /** Number of targets that are watched. */
  readonly targets: () => number
}

/**
 * Serves the destination API from a store.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function serveDestination(
  store: ClusterStore,
  options: DestinationOptions,
): Promise<DestinationServer> {
  const { clusterDomain, host, port, keepalive, tls, names } = options
  const topics = new Topics(store, {
    ...(clusterDomain === undefined ? {} : { clusterDomain }),
    ...(names === undefined ? {} : { names }),
  })
  const guarded = tls?.client === "required"
  const counts: StreamCounts = { open: 0, watches: 0, updates: 0, dropped: 0, refused: 0 }
  const onStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    if (headers[":path"] === WATCH_PATH && headers["content-type"]?.startsWith("application/grpc")) {
      const peer = guarded ? peerOf(stream.session) : undefined
      new GrpcStream(stream, grpc => new ProxyStream(grpc, { store, topics, counts, peer }))
    } else stream.respond({ ":status": 404 }, { endStream: true })
  }
  const listening = await listen({
    host,
    port,
    onStream,
    tls,
    onRequest: (_request, response) => {
      response.statusCode = 404
      response.end()
    },
    ...(keepalive === undefined ? {} : { keepalive }),
  })
  return {
    port: listening.port,
    counts,
    targets: () => topics.size,
    close: () => {
      topics.close()
      listening.close()
    },
  }
}
