// One proxy's stream: checks what it asks, keeps its subscriptions, and frames what it is told.
import { fromBinary } from "@bufbuild/protobuf"
import { destinationV1 } from "../../protos/mod.ts"
import { bytesToIp, type ClusterStore } from "../cluster/mod.ts"
import {
  GRPC_INVALID_ARGUMENT,
  GRPC_RESOURCE_EXHAUSTED,
  type GrpcStream,
  type GrpcStreamHandler,
  refuseClaim,
  type Watched,
} from "../serve/mod.ts"
import type { Peer } from "../tls/mod.ts"
import type { Client, Target, Topics } from "./topic.ts"

/** Most open watches of one stream: far above what a pod calls, and bounds what one proxy can make us keep. */
export const MAX_WATCHES_PER_STREAM = 65_536

const WATCH_ID_TAG = 0x08

/** Counts over all streams, for /metrics. */
export interface StreamCounts {
  /** Streams open now. */
  open: number
  /** Watches open now. */
  watches: number
  /** Messages sent. */
  updates: number
  /** Streams cut because the proxy did not read. */
  dropped: number
  /** Streams refused: the caller has not the identity of the pod that it says it is. */
  refused: number
}

/** What a stream needs around it. */
export interface ProxyStreamParts {
  readonly store: ClusterStore
  readonly topics: Topics
  readonly counts: StreamCounts
  /** Who the caller proved to be, null for nobody; undefined where no proof is asked for. */
  readonly peer?: Peer | null | undefined
}

/** Serves one stream; hand it to GrpcStream. */
export class ProxyStream implements GrpcStreamHandler {
  private readonly parts: ProxyStreamParts
  private readonly stream: GrpcStream
  private readonly watches = new Map<bigint, Watch>()
  private hello: destinationV1.Hello | null = null

  constructor(stream: GrpcStream, parts: ProxyStreamParts) {
    this.stream = stream
    this.parts = parts
    parts.counts.open++
  }

  onClose(): void {
    this.parts.counts.open--
    this.parts.counts.watches -= this.watches.size
    for (const watch of this.watches.values()) watch.end()
    this.watches.clear()
  }

  onMessage(message: Uint8Array): void {
    let request: destinationV1.WatchRequest["request"]
    try {
      request = fromBinary(destinationV1.WatchRequestSchema, message).request
    } catch (error) {
      this.refuse(`the message is no WatchRequest: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    if (request.case === undefined) return
    if (request.case === "hello") {
      if (this.hello === null) this.greet(request.value)
      else this.refuse("hello came twice on one stream")
    } else if (this.hello === null)
      this.refuse(`the first message of a stream must be hello, not ${request.case}`)
    else if (request.case === "subscribe") this.subscribe(request.value, this.hello)
    else this.end(request.value.watchId)
  }

  /** Takes who the caller says it is; whether that is so is known once the cluster is. */
  private greet(hello: destinationV1.Hello): void {
    this.hello = hello
    const { store, peer, counts } = this.parts
    if (peer === undefined) return
    store.whenSynced(() => {
      const refusal = refuseClaim(store, peer, hello.namespace, hello.pod)
      if (refusal === null) return
      counts.refused++
      this.stream.finish(refusal.status, refusal.message)
    })
  }

  private subscribe(request: destinationV1.Subscribe, hello: destinationV1.Hello): void {
    const { watchId } = request
    const target = targetOf(request, hello)
    if (watchId === 0n) this.refuse("watch_id 0 is not allowed")
    else if (this.watches.has(watchId)) this.refuse(`watch_id ${watchId} is in use on this stream`)
    else if (typeof target === "string") this.refuse(`watch ${watchId}: ${target}`)
    else if (this.watches.size >= MAX_WATCHES_PER_STREAM) {
      this.stream.finish(GRPC_RESOURCE_EXHAUSTED, `more than ${MAX_WATCHES_PER_STREAM} watches on one stream`)
    } else this.begin(watchId, target, request.version)
  }

  /** Begins a watch; while the cluster is not known yet it waits, so that a restart never empties a proxy. */
  private begin(watchId: bigint, target: Target, version: string): void {
    const { store, topics, counts } = this.parts
    const watch = new Watch(this, watchId)
    counts.watches++
    this.watches.set(watchId, watch)
    store.whenComplete(() => watch.begin(topics, target, version))
  }

  private end(watchId: bigint): void {
    const watch = this.watches.get(watchId)
    if (watch === undefined) return
    this.watches.delete(watchId)
    this.parts.counts.watches--
    watch.end()
  }

  /** Namespace of the proxy's pod, as it says; empty before it has. */
  get namespace(): string {
    return this.hello?.namespace ?? ""
  }

  /** Sends what a watch is told. */
  send(watchId: bigint, body: Uint8Array): void {
    if (this.stream.sendMessage(watchIdField(watchId), body)) this.parts.counts.updates++
    else this.parts.counts.dropped++
  }

  private refuse(message: string): void {
    this.stream.finish(GRPC_INVALID_ARGUMENT, message)
  }
}

/** One watch of a stream. There are hundreds of thousands in a large cluster: three fields, and nothing else is kept. */
class Watch implements Client {
  private readonly stream: ProxyStream
  private readonly watchId: bigint
  /** What it watches; null while it waits for the cluster, undefined once it is over. */
  private topic: Watched<Client> | null | undefined = null

  constructor(stream: ProxyStream, watchId: bigint) {
    this.stream = stream
    this.watchId = watchId
  }

  get namespace(): string {
    return this.stream.namespace
  }

  begin(topics: Topics, target: Target, version: string): void {
    if (this.topic === undefined) return
    const topic = topics.watch(target, version, this)
    // The first answer may have cut the stream.
    if (this.topic === undefined) topic.leave(this)
    else this.topic = topic
  }

  update(body: Uint8Array): void {
    this.stream.send(this.watchId, body)
  }

  end(): void {
    this.topic?.leave(this)
    this.topic = undefined
  }
}

/** The target, or a sentence that says why it is none. */
function targetOf({ target }: destinationV1.Subscribe, hello: destinationV1.Hello): Target | string {
  if (target.case === undefined) return "a target is missing"
  const { port } = target.value
  if (port < 1 || port > 65535) return `${port} is no port (1 to 65535)`
  if (target.case === "inbound") return { kind: "inbound", namespace: hello.namespace, pod: hello.pod, port }
  const ip = bytesToIp(target.value.ip)
  if (ip === null) return `an address has 4 or 16 bytes, not ${target.value.ip.length}`
  return { kind: "outbound", ip, port }
}

/** Field 1 of a WatchResponse: the one part of an update that differs between those who watch a target. */
function watchIdField(watchId: bigint): Uint8Array {
  const bytes = [WATCH_ID_TAG]
  let rest = watchId
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
  return Uint8Array.from(bytes)
}
