// ExplainCall: what a call would meet, asked of control/explain, with the certificates that proxies use.
import { create, type MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import {
  CallOutcome,
  type CallParty,
  CertificateState,
  type ExplainCallRequest,
  type ExplainCallResponseSchema,
  IdentitiesRequestSchema,
} from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { type CertificateView, explainCall, type Outcome, type Party, type Wire } from "../explain/mod.ts"
import type { PolicyOptions } from "../policy/mod.ts"
import type { MeshNames } from "../tls/mod.ts"
import { identities } from "./identities.ts"
import type { ProxyOptions } from "./proxies.ts"

/** Longest path that is asked about, as an HTTP server takes it. */
export const MAX_ASKED_PATH_CHARS = 8192
/** Header fields that are asked about at most, as an HTTP server takes them. */
export const MAX_ASKED_HEADERS = 128

const WIRES: readonly string[] = ["", "http1", "http2", "grpc", "tcp", "tls"]
const OUTCOMES: Readonly<Record<Outcome, CallOutcome>> = {
  ok: CallOutcome.OK,
  warn: CallOutcome.WARN,
  fail: CallOutcome.FAIL,
  none: CallOutcome.NONE,
}

/** What an answer rests on besides the cluster. */
export interface ExplainOptions {
  readonly policy: PolicyOptions
  /** Names of the mesh; undefined for one without identity. */
  readonly names: MeshNames | undefined
  readonly nowMs: () => number
  /** How proxies are reached. */
  readonly proxies?: ProxyOptions | undefined
}

/**
 * Answers an ExplainCall request.
 *
 * @throws ConnectError for a question that makes no sense, and as `explainCall`
 */
export async function explainCallOf(
  store: ClusterStore,
  request: ExplainCallRequest,
  signal: AbortSignal,
  { policy, names, nowMs, proxies }: ExplainOptions,
): Promise<MessageInitShape<typeof ExplainCallResponseSchema>> {
  const { protocol, method, path } = request
  if (!WIRES.includes(protocol))
    invalid(`protocol cannot be "${protocol}"; it is one of ${WIRES.slice(1).join(", ")}`)
  if (path !== "" && !/^[/*]/.test(path)) invalid(`path: "${path.slice(0, 64)}" does not begin with a slash`)
  if (path.length > MAX_ASKED_PATH_CHARS) invalid(`path: more than ${MAX_ASKED_PATH_CHARS} characters`)
  if (request.headers.length > MAX_ASKED_HEADERS) invalid(`headers: more than ${MAX_ASKED_HEADERS}`)
  const headers = new Map<string, string>()
  for (const { name, value } of request.headers) {
    const key = name.trim().toLowerCase()
    if (key === "") invalid("headers: a field has no name")
    const before = headers.get(key)
    headers.set(key, before === undefined ? value : `${before},${value}`)
  }
  const certificate = (pod: PodRecord) => certificateOf(store, pod, signal, nowMs, proxies)
  const { steps, verdict, fromPod } = await explainCall(
    { store, policy, names, clusterDomain: "cluster.local", certificate },
    {
      from: partyOf(request.from, "from"),
      to: partyOf(request.to, "to"),
      protocol: protocol as Wire | "",
      method,
      path,
      headers,
    },
  )
  return {
    steps: steps.map(({ outcome, object, details, notes, ...step }) => ({
      ...step,
      outcome: OUTCOMES[outcome],
      details: [...details],
      notes: [...notes],
      ...(object === null ? {} : { object }),
    })),
    verdict: { ...verdict, step: verdict.step ?? "" },
    fromPod,
  }
}

function partyOf(party: CallParty | undefined, field: string): Party {
  const { namespace = "", kind = "", name = "", host = "", port = "" } = party ?? {}
  if (kind === "" && host === "") invalid(`${field}: a resource (kind and name) or a host is missing`)
  if (kind !== "" && (name === "" || host !== "")) invalid(`${field}: a resource has a name, and no host`)
  return { namespace, kind, name, host, port }
}

function invalid(sentence: string): never {
  throw new ConnectError(sentence, Code.InvalidArgument)
}

async function certificateOf(
  store: ClusterStore,
  { namespace, name }: PodRecord,
  signal: AbortSignal,
  nowMs: () => number,
  proxies: ProxyOptions | undefined,
): Promise<CertificateView> {
  const request = create(IdentitiesRequestSchema, { target: { namespace, kind: "pod", name } })
  for await (const { state = CertificateState.UNKNOWN, error = "" } of identities(
    store,
    request,
    signal,
    nowMs,
    proxies,
  )) {
    return { state, error }
  }
  return { state: CertificateState.UNKNOWN, error: "its proxy was not asked" }
}
