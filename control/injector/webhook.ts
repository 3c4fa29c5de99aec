// The webhook's port: HTTPS, one path, bodies within bounds.
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2"
import type { PodTemplate } from "../../deploy/inject/mod.ts"
import type { Log } from "../log.ts"
import type { AskedPod, InjectionVerdict } from "../plugins/mod.ts"
import { type Listening, listen, type TlsOptions } from "../serve/mod.ts"
import { type Admission, admit, type InjectDefaults } from "./admit.ts"
import { answerText, parseReview, ReviewError } from "./review.ts"
import type { ClusterLookUp } from "./workload.ts"

/** Path that the API server calls. */
export const WEBHOOK_PATH = "/inject"
/** Largest review: an API server takes 3 MB in a request, which JSON may double, and says who asks besides. */
export const MAX_REVIEW_BYTES = 7 * 1024 * 1024
/** Bytes of all reviews that are being read together: anybody in the cluster can call, and memory is bounded. */
export const MAX_READING_BYTES = 64 * 1024 * 1024
/** Longest wait for a body; API servers wait for all of it and the answer ten seconds. */
export const REVIEW_TIMEOUT_MS = 10_000
/** How reviews ended. */
export type ReviewOutcome = Admission["outcome"] | "failed" | "malformed"

/** What the port needs. */
export interface WebhookOptions {
  readonly host: string
  /** 0 takes any free one. */
  readonly port: number
  readonly tls: TlsOptions
  readonly cluster: ClusterLookUp
  /** @throws Error with a sentence when what pods are given is not to be had */
  readonly defaults: () => InjectDefaults
  readonly log: Log
  /** Asks plugins about a pod that is injected. Default: nobody is asked. */
  readonly plugins?: (pod: AskedPod) => Promise<InjectionVerdict>
  /** Default: REVIEW_TIMEOUT_MS. */
  readonly timeoutMs?: number
}

/** The port that is served. */
export interface Webhook extends Listening {
  readonly counts: Readonly<Record<ReviewOutcome, number>>
  /** Asks who calls to connect anew, elsewhere. */
  drain(): void
}

/** An answer that is not a review. */
class HttpError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/**
 * Serves the webhook.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function serveWebhook(options: WebhookOptions): Promise<Webhook> {
  const { host, port, tls, log } = options
  const counts = { injected: 0, skipped: 0, untouched: 0, refused: 0, failed: 0, malformed: 0 }
  const reading = { bytes: 0 }
  let draining = false
  const onRequest = (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
  ): void => {
    const answer = (status: number, type: string, body: string): void => {
      response.statusCode = status
      response.setHeader("content-type", type)
      if (draining) response.setHeader("connection", "close")
      response.end(body)
    }
    void review(request, options, reading).then(
      ({ outcome, text }) => {
        counts[outcome]++
        answer(200, "application/json", text)
      },
      error => {
        const { status, message } = toHttp(error)
        counts[status === 500 ? "failed" : "malformed"]++
        if (status === 500) log.warn(`a pod could not be looked at: ${message}`)
        // The rest of a body that is not read must not be taken for the next request.
        response.setHeader("connection", "close")
        answer(status, "text/plain; charset=utf-8", `conduit: ${message}\n`)
      },
    )
  }
  const listening = await listen({ host, port, onRequest, tls })
  return {
    ...listening,
    counts,
    drain: () => {
      draining = true
    },
  }
}

function toHttp(error: unknown): { status: number; message: string } {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof HttpError) return { status: error.status, message }
  return { status: error instanceof ReviewError ? 400 : 500, message }
}

async function review(
  request: IncomingMessage | Http2ServerRequest,
  { cluster, defaults, log, plugins, timeoutMs = REVIEW_TIMEOUT_MS }: WebhookOptions,
  reading: { bytes: number },
): Promise<{ outcome: Admission["outcome"]; text: string }> {
  if (request.url?.split("?", 1)[0] !== WEBHOOK_PATH)
    throw new HttpError(404, `only ${WEBHOOK_PATH} is served here`)
  if (request.method !== "POST") throw new HttpError(405, "only POST is served here")
  const type = request.headers["content-type"] ?? ""
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new HttpError(415, `the body must be application/json, not "${type}"`)
  const { uid, pod, namespace } = parseReview(await bodyOf(request, reading, timeoutMs))
  if (pod === null)
    return { outcome: "untouched", text: answerText({ uid, refusal: null, patch: [], warnings: [] }) }
  const onFailure = (error: unknown): void => {
    const why = error instanceof Error ? error.message : String(error)
    log.warn(`the owner of a pod's owner is not known: ${why}; the nearest one stands for it`, { namespace })
  }
  const admitted = await admit(pod, namespace, cluster, defaults(), onFailure)
  const { outcome, workload, reason, patch, warnings } =
    plugins === undefined ? admitted : await withPlugins(admitted, pod, namespace, plugins)
  if (workload !== null) {
    const whose = `${workload.kind.toLowerCase()}/${workload.name || (pod.metadata?.generateName ?? "")}`
    log.info(`pod ${outcome}${reason === "" ? "" : `: ${reason}`}`, { namespace, workload: whose })
  }
  const refusal = outcome === "refused" ? reason : null
  const text = answerText({ uid, refusal, patch, warnings: warnings.map(one => `conduit: ${one}`) })
  return { outcome, text }
}

/** What is done with a pod once plugins have said what they have to. */
async function withPlugins(
  admission: Admission,
  pod: PodTemplate,
  namespace: string,
  plugins: NonNullable<WebhookOptions["plugins"]>,
): Promise<Admission> {
  const { outcome, workload } = admission
  if (outcome !== "injected" || workload === null) return admission
  const asked = { namespace, ownerKind: workload.kind.toLowerCase(), owner: workload.name, pod }
  const { denied, patch, warnings } = await plugins(asked)
  const told = [...admission.warnings, ...warnings]
  if (denied !== "") return { ...admission, outcome: "refused", reason: denied, patch: [], warnings: told }
  return { ...admission, patch: [...admission.patch, ...patch], warnings: told }
}

async function bodyOf(
  request: IncomingMessage | Http2ServerRequest,
  reading: { bytes: number },
  timeoutMs: number,
): Promise<string> {
  const tooLarge = new HttpError(413, `the body is larger than the ${MAX_REVIEW_BYTES} bytes that are read`)
  if (Number(request.headers["content-length"] ?? 0) > MAX_REVIEW_BYTES) throw tooLarge
  const chunks: Buffer[] = []
  let bytes = 0
  let over = false
  const whole = async (): Promise<string> => {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      if (over) return ""
      bytes += chunk.byteLength
      reading.bytes += chunk.byteLength
      if (bytes > MAX_REVIEW_BYTES) throw tooLarge
      if (reading.bytes > MAX_READING_BYTES) throw new HttpError(503, "too many reviews are being read")
      chunks.push(chunk)
    }
    return Buffer.concat(chunks).toString("utf8")
  }
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => {
    late.reject(new HttpError(408, `the body did not come within ${timeoutMs / 1000} s`))
  }, timeoutMs)
  try {
    return await Promise.race([whole(), late.promise])
  } finally {
    clearTimeout(timer)
    reading.bytes -= bytes
    over = true
  }
}
