// Explain: what a proxy refused, found by the id that its answer or its log bore (`GET /refusals` of admin ports).
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import {
  type ExplainRequest,
  type ExplainResponseSchema,
  type RefusalStorySchema,
  ResourceSelectorSchema,
} from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { suppliedBy } from "../policy/mod.ts"
import { callerOf, workloadOf } from "../resources/mod.ts"
import { askProxies, type ProxyOptions } from "./proxies.ts"

/** Longest answer that is taken: the refusals of one id, which is one refusal. */
export const MAX_REFUSALS_BYTES = 64 * 1024
/** What an id looks like; longer text is no id of ours. */
const ID = /^[0-9a-z]{1,64}$/

/**
 * Asks proxies until one knows the id: ids are random, and name one refusal.
 *
 * @throws ConnectError InvalidArgument for what is no id, NotFound when no pod carries a proxy
 */
export async function explain(
  store: ClusterStore,
  { id, namespace }: ExplainRequest,
  signal: AbortSignal,
  options: ProxyOptions = {},
): Promise<MessageInitShape<typeof ExplainResponseSchema>> {
  if (!ID.test(id)) {
    throw new ConnectError(
      `"${id.slice(0, 64)}" is no id of a refusal; it stands in conduit-proxy-error after "id="`,
      Code.InvalidArgument,
    )
  }
  const target = create(ResourceSelectorSchema, { namespace, kind: "pod" })
  const question = { path: `/refusals?id=${id}`, maxBytes: MAX_REFUSALS_BYTES }
  const unanswered: string[] = []
  let proxies = 0
  let kept = 0
  for await (const { pod, status, text, error } of askProxies(store, target, question, signal, options)) {
    const where = `${pod.namespace}/${pod.name}`
    if (error !== "") {
      unanswered.push(
        status === 404 ? `${where}: its proxy is too old to keep refusals` : `${where}: ${error}`,
      )
      continue
    }
    const answer = readAnswer(text)
    if (answer === null) {
      unanswered.push(`${where}: the proxy's answer cannot be read`)
      continue
    }
    proxies++
    kept = answer.kept
    if (answer.refusals.length > 0) {
      return { refusals: answer.refusals.map(one => story(store, pod, one)), proxies, unanswered, kept }
    }
  }
  return { refusals: [], proxies, unanswered, kept }
}

type Fields = Readonly<Record<string, unknown>>

function readAnswer(text: string): { readonly kept: number; readonly refusals: readonly Fields[] } | null {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return null
  }
  if (typeof raw !== "object" || raw === null) return null
  const { kept, refusals } = raw as Fields
  if (typeof kept !== "number" || !Number.isInteger(kept) || kept < 0 || !Array.isArray(refusals)) return null
  return { kept, refusals: refusals.filter(one => typeof one === "object" && one !== null) as Fields[] }
}

/** A proxy's record with what the cluster knows of both ends; fields that are not as they should be are empty. */
function story(
  store: ClusterStore,
  pod: PodRecord,
  fields: Fields,
): MessageInitShape<typeof RefusalStorySchema> {
  const text = (name: string): string => (typeof fields[name] === "string" ? (fields[name] as string) : "")
  const number = (name: string): number => {
    const value = fields[name]
    return typeof value === "number" && Number.isSafeInteger(value) ? value : 0
  }
  const direction = text("direction")
  const workload = workloadOf(store, pod)
  const client = { clientId: text("clientId"), clientIp: text("clientIp") }
  // What a pod sends comes from itself.
  const from = direction === "outbound" ? workload : callerOf(store, client).workload
  const rule = fields.rule
  return {
    namespace: pod.namespace,
    pod: pod.name,
    workload,
    id: text("id"),
    timeMs: number("timeMs"),
    direction,
    reason: text("reason"),
    status: Math.max(0, number("status")),
    method: text("method"),
    authority: text("authority"),
    path: text("path"),
    ...client,
    ...(from === null ? {} : { from }),
    destination: text("destination"),
    endpoint: text("endpoint"),
    cause: text("cause"),
    policy: text("policy"),
    rule: typeof rule === "number" && Number.isInteger(rule) && rule >= 0 && rule < 1e6 ? rule : -1,
    defaultPolicy: text("defaultPolicy"),
    detail: text("detail") || reasonOf(store, text("policy")),
  }
}

/** Why a plugin supplies a policy; empty for one of the cluster. @param policy  `namespace/name` */
function reasonOf(store: ClusterStore, policy: string): string {
  const [namespace = "", name = ""] = policy.split("/")
  const plugin = suppliedBy(store, namespace, name)
  return plugin === null ? "" : `plugin/${plugin.plugin}: ${plugin.reason}`
}
