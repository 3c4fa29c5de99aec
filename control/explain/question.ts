// What is asked: who calls whom with what, and what is known of the world to answer it.
import type { CertificateState } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import type { PolicyOptions } from "../policy/mod.ts"
import type { MeshNames } from "../tls/mod.ts"

/** One end of a call. */
export interface Party {
  /** Of the resource, or in which a short name is looked up; empty where the other end or the default decides. */
  readonly namespace: string
  /** Lower case, singular; empty where `host` is set. */
  readonly kind: string
  readonly name: string
  /** Name or address; empty where `kind` is set. */
  readonly host: string
  /** Number or name; empty for whichever there is. */
  readonly port: string
}

/** How the bytes are written. */
export type Wire = "http1" | "http2" | "grpc" | "tcp" | "tls"

/** A call that is asked about. */
export interface Question {
  readonly from: Party
  readonly to: Party
  /** Empty: as the Service's port says, else HTTP/1. */
  readonly protocol: Wire | ""
  /** Empty: GET, of gRPC POST. */
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** By name in lower case; all values of a name, joined by commas. */
  readonly headers: ReadonlyMap<string, string>
}

/** How a pod's certificate stands. */
export interface CertificateView {
  readonly state: CertificateState
  /** Why there is none, or why nobody knows; empty otherwise. */
  readonly error: string
}

/** What the answer rests on. */
export interface World {
  readonly store: ClusterStore
  readonly policy: PolicyOptions
  /** Names of the mesh; undefined for a mesh without identity. */
  readonly names: MeshNames | undefined
  /** Domain of the cluster's DNS, such as `cluster.local`. */
  readonly clusterDomain: string
  /** Asks the proxy of a pod for its certificate. */
  readonly certificate: (pod: PodRecord) => Promise<CertificateView>
}
