// The destination service on its port: conduit.destination.v1 over gRPC.
import { destinationV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { type KeepaliveOptions, type Listening, listenForStreams, type TlsOptions } from "../serve/mod.ts"
import type { MeshNames } from "../tls/mod.ts"
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
  const counts: StreamCounts = { open: 0, watches: 0, updates: 0, dropped: 0, refused: 0 }
  const listening = await listenForStreams({
    host,
    port,
    tls,
    methods: { [WATCH_PATH]: (stream, peer) => new ProxyStream(stream, { store, topics, counts, peer }) },
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
