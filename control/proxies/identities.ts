// Identities: the certificate that each proxy uses, asked of its admin port (`GET /identity`).
import type { MessageInitShape } from "@bufbuild/protobuf"
import { CertificateState, type IdentitiesRequest, type IdentitiesResponseSchema } from "../../protos/mod.ts"
import type { ClusterStore } from "../cluster/mod.ts"
import { workloadOf } from "../resources/mod.ts"
import { askProxies, type ProxyAnswer, type ProxyOptions } from "./proxies.ts"

/** Longest answer that is taken: a chain of a few certificates. */
export const MAX_IDENTITY_BYTES = 256 * 1024

/**
 * Share of its life after which a certificate counts as near its end. It is renewed at 0.7 and jitter; what is older than
 * this was tried to be renewed for hours, in vain.
 */
export const EXPIRING_SHARE = 0.85

/** What a proxy says of its certificate. */
interface Certificate {
  readonly identity: string
  readonly spiffeId: string
  readonly serialNumber: string
  readonly issuer: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly chainPem: string
}

/**
 * Asks the proxies of a selection; what cannot be asked is told per pod.
 *
 * @param nowMs  milliseconds since 1970
 * @throws ConnectError for what cannot be selected, and NotFound when no pod of it carries a proxy
 */
export async function* identities(
  store: ClusterStore,
  request: IdentitiesRequest,
  signal: AbortSignal,
  nowMs: () => number,
  options: ProxyOptions = {},
): AsyncGenerator<MessageInitShape<typeof IdentitiesResponseSchema>> {
  const question = { path: "/identity", maxBytes: MAX_IDENTITY_BYTES }
  for await (const answer of askProxies(store, request.target, question, signal, options)) {
    const { namespace, name } = answer.pod
    yield { namespace, pod: name, workload: workloadOf(store, answer.pod), ...toldBy(answer, nowMs()) }
  }
}

type Told =
  | { readonly state: CertificateState; readonly error: string }
  | (Certificate & { state: CertificateState })

function toldBy({ status, text, error }: ProxyAnswer, nowMs: number): Told {
  if (status === 404) {
    const why = "the proxy has no identity: it was started without trust anchors"
    return { state: CertificateState.NONE, error: why }
  }
  if (error !== "") return { state: CertificateState.UNKNOWN, error }
  const read = readCertificate(text)
  if (typeof read === "string") return { state: CertificateState.UNKNOWN, error: read }
  if (read === null) return { state: CertificateState.NONE, error: "the proxy has no certificate yet" }
  return { ...read, state: stateOf(read, nowMs) }
}

function stateOf({ notBeforeMs, notAfterMs }: Certificate, nowMs: number): CertificateState {
  if (nowMs >= notAfterMs) return CertificateState.EXPIRED
  if (nowMs < notBeforeMs) return CertificateState.NOT_YET_VALID
  const share = (nowMs - notBeforeMs) / (notAfterMs - notBeforeMs)
  return share > EXPIRING_SHARE ? CertificateState.EXPIRING : CertificateState.VALID
}

/** The certificate; null where the proxy has none yet, a sentence where its answer cannot be read. */
function readCertificate(text: string): Certificate | string | null {
  let raw: unknown
  try {
    raw = JSON.parse(text)
  } catch {
    return "the proxy's answer is no JSON"
  }
  if (typeof raw !== "object" || raw === null) return "the proxy's answer is no certificate"
  const fields = raw as Readonly<Record<string, unknown>>
  const textOf = (name: string): string => (typeof fields[name] === "string" ? (fields[name] as string) : "")
  const notBeforeMs = timeOf(fields.notBefore)
  const notAfterMs = timeOf(fields.notAfter)
  if (Number.isNaN(notBeforeMs) || Number.isNaN(notAfterMs)) return null
  return {
    identity: textOf("identity"),
    spiffeId: textOf("spiffeId"),
    serialNumber: textOf("serialNumber"),
    issuer: textOf("issuer"),
    notBeforeMs,
    notAfterMs,
    chainPem: textOf("chainPem"),
  }
}

/** RFC 3339 text or milliseconds since 1970; NaN for neither. */
function timeOf(value: unknown): number {
  return typeof value === "number" ? value : typeof value === "string" ? Date.parse(value) : Number.NaN
}
