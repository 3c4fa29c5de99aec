// One proxy's stream of the policy service: who it is, once, then its policies whenever they change.
import { fromBinary } from "@bufbuild/protobuf"
import { policyV1 } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import {
  GRPC_INVALID_ARGUMENT,
  type GrpcStream,
  type GrpcStreamHandler,
  refuseClaim,
  type TopicSet,
  type TopicState,
  type Watched,
  type Watcher,
} from "../serve/mod.ts"
import type { Peer } from "../tls/mod.ts"

/** A pod. */
export interface PodName {
  readonly namespace: string
  readonly pod: string
}

/** Counts over all streams, for /metrics. */
export interface WatchCounts {
  /** Streams open now. */
  open: number
  /** Messages sent. */
  updates: number
  /** Streams cut because the proxy did not read. */
  dropped: number
  /** Streams refused because the caller did not prove to be the pod that it named. */
  refused: number
}

/** What a stream needs around it. */
export interface WatchParts {
  readonly store: ClusterStore
  readonly topics: TopicSet<PodName, TopicState, TopicState>
  readonly counts: WatchCounts
  /** Who the caller proved to be, null for nobody; undefined where no proof is asked for. */
  readonly peer?: Peer | null | undefined
}

/** Serves one stream; hand it to GrpcStream. */
export class PolicyWatch implements GrpcStreamHandler, Watcher {
  private readonly parts: WatchParts
  private readonly stream: GrpcStream
  private asked = false
  private over = false
  private topic: Watched | null = null

  constructor(stream: GrpcStream, parts: WatchParts) {
    this.stream = stream
    this.parts = parts
    parts.counts.open++
  }

  onClose(): void {
    this.parts.counts.open--
    this.over = true
    this.topic?.leave(this)
    this.topic = null
  }

  onMessage(message: Uint8Array): void {
    let request: policyV1.WatchRequest
    try {
      request = fromBinary(policyV1.WatchRequestSchema, message)
    } catch (error) {
      this.refuse(`the message is no WatchRequest: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    const { namespace, pod, version } = request
    if (this.asked) this.refuse("a stream takes one WatchRequest, and this is the second")
    else if (namespace === "" || pod === "") this.refuse("namespace and pod must both be given")
    else {
      this.asked = true
      // A cluster that is not known yet would tell every proxy that it has no policies.
      this.parts.store.whenComplete(() => this.begin({ namespace, pod }, version))
    }
  }

  private begin(pod: PodName, version: string): void {
    if (this.over) return
    const { store, peer, counts } = this.parts
    const refusal = peer === undefined ? null : refuseClaim(store, peer, pod.namespace, pod.pod)
    if (refusal !== null) {
      counts.refused++
      this.stream.finish(refusal.status, refusal.message)
      return
    }
    const topic = this.parts.topics.watch(pod, version, this)
    // The first answer may have cut the stream.
    if (this.over) topic.leave(this)
    else this.topic = topic
  }

  /** Sends what the watch is told. */
  update(body: Uint8Array): void {
    if (this.stream.sendMessage(body)) this.parts.counts.updates++
    else this.parts.counts.dropped++
  }

  private refuse(message: string): void {
    this.stream.finish(GRPC_INVALID_ARGUMENT, message)
  }
}
