// One proxy's stream of questions about requests: who it is, once, then each question answered by the plugin that it names.
// A proxy is believed what it says of a request, and nothing of itself.
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf"
import { MAX_ASK_CACHE_MS, MAX_ASK_REASON_BYTES } from "../../deploy/plugin_object/mod.ts"
import { type pluginPolicyV1, policyAskV1 } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import {
  GRPC_INVALID_ARGUMENT,
  GRPC_RESOURCE_EXHAUSTED,
  type GrpcStream,
  type GrpcStreamHandler,
  refuseClaim,
} from "../serve/mod.ts"
import type { Peer } from "../tls/mod.ts"
import { isTarget, policiesOf } from "./compile.ts"
import type { PodName } from "./watch.ts"

/** Questions of one proxy that wait for their answers: a few more than it has on its own account. */
export const MAX_QUESTIONS_PER_PROXY = 1_100

const { AskDecision } = policyAskV1

/** What a plugin is told of a request, its context aside. */
export type AuthorizeFacts = Omit<
  MessageInitShape<typeof pluginPolicyV1.AuthorizeRequestSchema>,
  "context" | "$typeName"
>

/** Asks the Authorize hook of a plugin; rejects where it does not answer as it should. */
export type AskPlugin = (plugin: string, facts: AuthorizeFacts) => Promise<pluginPolicyV1.AuthorizeResponse>

/** What a stream needs around it. */
export interface AskParts {
  readonly store: ClusterStore
  readonly ask: AskPlugin
  /** Who the caller proved to be, null for nobody; undefined where no proof is asked for. */
  readonly peer?: Peer | null | undefined
}

/** Serves one stream; hand it to GrpcStream. */
export class AskStream implements GrpcStreamHandler {
  private readonly parts: AskParts
  private readonly stream: GrpcStream
  private pod: PodName | null = null
  /** The pod is who it says it is. */
  private begun = false
  private over = false
  private waiting = 0
  /** Questions from before the cluster was known. */
  private early: policyAskV1.AskRequest[] = []

  constructor(stream: GrpcStream, parts: AskParts) {
    this.stream = stream
    this.parts = parts
  }

  onClose(): void {
    this.over = true
  }

  onMessage(message: Uint8Array): void {
    let request: policyAskV1.AskRequest
    try {
      request = fromBinary(policyAskV1.AskRequestSchema, message)
    } catch (error) {
      this.refuse(`the message is no AskRequest: ${error instanceof Error ? error.message : String(error)}`)
      return
    }
    if (this.pod === null) this.hello(request)
    else if (this.waiting + this.early.length >= MAX_QUESTIONS_PER_PROXY)
      this.stream.finish(GRPC_RESOURCE_EXHAUSTED, `more than ${MAX_QUESTIONS_PER_PROXY} questions wait`)
    else if (this.begun) void this.answer(this.pod, request)
    else this.early.push(request)
  }

  private hello({ namespace, pod }: policyAskV1.AskRequest): void {
    if (namespace === "" || pod === "") {
      this.refuse("namespace and pod must both be given first")
      return
    }
    this.pod = { namespace, pod }
    this.parts.store.whenSynced(() => this.begin({ namespace, pod }))
  }

  private begin(pod: PodName): void {
    if (this.over) return
    const { store, peer } = this.parts
    const refusal = peer === undefined ? null : refuseClaim(store, peer, pod.namespace, pod.pod)
    if (refusal !== null) {
      this.stream.finish(refusal.status, refusal.message)
      return
    }
    this.begun = true
    for (const request of this.early.splice(0)) void this.answer(pod, request)
  }

  private async answer(pod: PodName, request: policyAskV1.AskRequest): Promise<void> {
    this.waiting++
    const answer = await this.decide(pod, request)
    this.waiting--
    if (this.over) return
    const message = create(policyAskV1.AskResponseSchema, { id: request.id, ...answer })
    this.stream.sendMessage(toBinary(policyAskV1.AskResponseSchema, message))
  }

  private async decide(
    { namespace, pod: name }: PodName,
    { plugin, clientId, clientAddress, port, method, path, authority, headers }: policyAskV1.AskRequest,
  ): Promise<MessageInitShape<typeof policyAskV1.AskResponseSchema>> {
    const { store, ask } = this.parts
    const pod = store.pod(namespace, name)
    if (pod === undefined || !mayAsk(store, pod, plugin)) return {}
    const { kind, name: workload } = store.workloadOf(pod)
    try {
      const { decision, reason, cacheMs } = await ask(plugin, {
        ...{ clientId, clientAddress, namespace, workloadKind: kind.toLowerCase(), workload },
        ...{ port, method, path, authority },
        headers: Object.fromEntries(headers.map(header => [header.name, header.value])),
      })
      return {
        decision: DECISIONS[decision] ?? AskDecision.UNSPECIFIED,
        reason: reason.slice(0, MAX_ASK_REASON_BYTES),
        cacheMs: Math.min(cacheMs, MAX_ASK_CACHE_MS),
      }
    } catch {
      // Its figures and its last error are kept where it is called.
      return {}
    }
  }

  private refuse(message: string): void {
    this.stream.finish(GRPC_INVALID_ARGUMENT, message)
  }
}

/** By the plugin API's numbers, where no decision is to leave it to others. */
const DECISIONS = [AskDecision.DEFER, AskDecision.ALLOW, AskDecision.DENY, AskDecision.DEFER]

/** Whether a policy of the pod has this plugin asked: others of its proxy's questions would be nobody's business. */
function mayAsk(store: ClusterStore, pod: PodRecord, plugin: string): boolean {
  for (const policy of policiesOf(store, pod.namespace))
    if (policy.action === "Ask" && policy.ask?.plugin === plugin && isTarget(store, policy, pod)) return true
  return false
}
