// Questions to the admin ports of the proxies of a selection, a few at a time.
import { Code } from "@connectrpc/connect"
import type { ResourceSelector } from "../../protos/mod.ts"
import type { ClusterStore, PodRecord } from "../cluster/mod.ts"
import { compareResources, isSelected, resourcesOfPod, select } from "../resources/mod.ts"
import { apiError } from "../rpc/mod.ts"

/** Admin port of a proxy (the contract with the outside). */
export const PROXY_ADMIN_PORT = 4191
/** A proxy that does not answer within this is reported as such. */
export const PROXY_TIMEOUT_MS = 3_000
/** Proxies asked at the same time. */
export const PROXIES_AT_ONCE = 8

/** How proxies are reached. */
export interface ProxyOptions {
  /** Admin port of proxies. Default PROXY_ADMIN_PORT. */
  readonly adminPort?: number
  /** Default PROXY_TIMEOUT_MS. */
  readonly timeoutMs?: number
}

/** What is asked of each proxy. */
export interface ProxyQuestion {
  /** Path of the admin port, asked by GET. */
  readonly path: string
  /** Longest answer that is taken, in characters. */
  readonly maxBytes: number
}

/** What one proxy answered. */
export interface ProxyAnswer {
  readonly pod: PodRecord
  /** Status; 0 when there was no answer. */
  readonly status: number
  /** The body of an answer with status 200, else empty. */
  readonly text: string
  /** Why there is no text; empty where there is. */
  readonly error: string
}

/**
 * Meshed pods of a selection, in the order of their names.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export function proxiesOf(store: ClusterStore, selector: ResourceSelector | undefined): PodRecord[] {
  const target = select(store, selector, "target")
  const pods = [...store.pods()]
    .filter(pod => pod.meshed && !pod.finished)
    .filter(pod => isSelected(target, resourcesOfPod(store, pod, target.kind)))
    .sort(compareResources)
  if (pods.length === 0)
    throw apiError(Code.NotFound, "no pod of the selection carries a proxy", { reason: "NO_PROXY" })
  return pods
}

/**
 * Asks every meshed pod of a selection, in the order of their names.
 *
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export async function* askProxies(
  store: ClusterStore,
  selector: ResourceSelector | undefined,
  question: ProxyQuestion,
  signal: AbortSignal,
  options: ProxyOptions = {},
): AsyncGenerator<ProxyAnswer> {
  const pods = proxiesOf(store, selector)
  for (let begin = 0; begin < pods.length && !signal.aborted; begin += PROXIES_AT_ONCE) {
    const some = pods.slice(begin, begin + PROXIES_AT_ONCE)
    yield* await Promise.all(some.map(pod => askPod(pod, question, signal, options)))
  }
}

/** Asks the admin port of one pod. */
export async function askPod(
  pod: PodRecord,
  { path, maxBytes }: ProxyQuestion,
  signal: AbortSignal,
  { adminPort = PROXY_ADMIN_PORT, timeoutMs = PROXY_TIMEOUT_MS }: ProxyOptions,
): Promise<ProxyAnswer> {
  const failed = (error: string, status = 0): ProxyAnswer => ({ pod, status, text: "", error })
  const [ip] = pod.ips
  if (ip === undefined) return failed("the pod has no address yet")
  const authority = `${ip.includes(":") ? `[${ip}]` : ip}:${adminPort}`
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    const response = await fetch(`http://${authority}${path}`, {
      signal: AbortSignal.any([signal, timeout]),
    })
    const { status } = response
    if (!response.ok) return failed(`${authority} answered ${status}`, status)
    const text = await response.text()
    if (text.length > maxBytes) return failed(`${authority} sent ${text.length} bytes, too many`, status)
    return { pod, status, text, error: "" }
  } catch (error) {
    const reason = timeout.aborted
      ? `no answer within ${timeoutMs} ms`
      : error instanceof Error
        ? error.message
        : String(error)
    return failed(`cannot ask ${authority}: ${reason}`)
  }
}
