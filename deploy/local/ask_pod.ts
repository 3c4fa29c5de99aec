// One GET of a port within a local mesh, through its relay: HTTP/1.0 (RFC 1945), so that the end of the connection is the end
// of the answer.
import { connect } from "node:net"
import type { LocalMesh } from "./state.ts"

/** Longest wait for the whole answer. */
export const ASK_POD_TIMEOUT_MS = 10_000
/** Largest answer that is taken. */
export const MAX_POD_ANSWER_BYTES = 32 * 1024 * 1024

/**
 * Asks a pod.
 *
 * @param ip  of the pod
 * @param path  such as `/metrics`
 * @returns the body of an answer with status 200
 * @throws Error with a sentence when it answers anything else, or cannot be reached
 */
export async function askPod(mesh: LocalMesh, ip: string, port: number, path: string): Promise<string> {
  const where = `port ${port} of ${ip}`
  const socket = connect({ path: mesh.state.relaySocket })
  const late = setTimeout(
    () => socket.destroy(new Error(`${where} did not answer within ${ASK_POD_TIMEOUT_MS / 1000} s`)),
    ASK_POD_TIMEOUT_MS,
  )
  const parts: Buffer[] = []
  let bytes = 0
  let asked = false
  try {
    socket.write(`CONNECT ${ip} ${port}\n`)
    for await (const part of socket as AsyncIterable<Buffer>) {
      parts.push(part)
      bytes += part.length
      if (bytes > MAX_POD_ANSWER_BYTES)
        throw new Error(`${where} sent more than ${MAX_POD_ANSWER_BYTES} bytes`)
      if (asked || !part.includes("\n")) continue
      const line = Buffer.concat(parts).toString("latin1").split("\n", 1)[0]
      if (line !== "OK") throw new Error(`${where} cannot be reached: ${line}`)
      asked = true
      parts.length = 0
      socket.write(`GET ${path} HTTP/1.0\r\nhost: ${ip}\r\n\r\n`)
    }
  } finally {
    clearTimeout(late)
    socket.destroy()
  }
  const answer = Buffer.concat(parts)
  const end = answer.indexOf("\r\n\r\n")
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(answer.toString("latin1", 0, 16))?.[1]
  if (status !== "200" || end < 0) throw new Error(`${where} answered ${status ?? "no HTTP"}`)
  return answer.toString("utf8", end + 4)
}
