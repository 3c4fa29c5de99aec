// One GET of a port of a pod, over a connection through the API server: HTTP/1.0 (RFC 1945), so that the end of the
// connection is the end of the answer.
import type { KubeApi } from "./api.ts"
import { connectToPod, type PodPort } from "./pod_connection.ts"

/** How much is waited for and taken. */
export interface PodRequestLimits {
  /** Longest wait for the whole answer, in milliseconds. */
  readonly timeoutMs: number
  /** Longest answer, head included. */
  readonly maxBytes: number
}

/**
 * Asks.
 *
 * @param path  such as `/metrics`
 * @returns the body of an answer with status 200
 * @throws Error with a sentence when the pod answers anything else, or cannot be reached; KubeError as KubeApi.call
 */
export async function getFromPod(
  api: KubeApi,
  target: PodPort,
  path: string,
  { timeoutMs, maxBytes }: PodRequestLimits,
): Promise<string> {
  const connection = await connectToPod(api, target)
  const where = `port ${target.port} of pod ${target.namespace}/${target.pod}`
  const late = setTimeout(
    () => connection.destroy(new Error(`${where} did not answer within ${timeoutMs / 1000} s`)),
    timeoutMs,
  )
  try {
    connection.write(`GET ${path} HTTP/1.0\r\nhost: ${target.pod}\r\n\r\n`)
    const parts: Buffer[] = []
    let bytes = 0
    for await (const part of connection as AsyncIterable<Buffer>) {
      parts.push(part)
      bytes += part.length
      if (bytes > maxBytes) throw new Error(`${where} sent more than ${maxBytes} bytes`)
    }
    const answer = Buffer.concat(parts)
    const end = answer.indexOf("\r\n\r\n")
    const head = answer.toString("latin1", 0, Math.max(0, end))
    const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1]
    if (status === undefined) throw new Error(`${where} does not speak HTTP`)
    if (status !== "200") throw new Error(`${where} answered ${status}`)
    const body = answer.subarray(end + 4)
    const length = /^content-length: *(\d+)/im.exec(head)?.[1]
    if (length !== undefined && body.length < Number(length)) throw new Error(`${where} broke off its answer`)
    return body.toString()
  } finally {
    clearTimeout(late)
    connection.destroy()
  }
}
