// From one control-plane process to another: mutual TLS 1.3, the server checked by its mesh name, and a new
// transport when the own certificate has changed.
import { setTimeout as sleep } from "node:timers/promises"
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createIdentityClient } from "../../protos/mod.ts"
import type { Certify, OwnCertificate } from "./own_certificate.ts"

/** A certificate takes milliseconds; an answer that takes this long will not come. */
export const CERTIFY_TIMEOUT_MS = 10_000

/** A broken watch of trust anchors is begun again after this: anchors change once in years. */
export const WATCH_RETRY_MS = 5_000
const WATCH_PINGS = { pingIntervalMs: 10_000, pingTimeoutMs: 3_000 }

/** How a transport is made. */
export interface MeshTransportOptions {
  /** `host:port`. */
  readonly address: string
  /** DNS name that the server's certificate must bear. */
  readonly serverName: string
  /** Deadline of a call; none for a stream that lives as long as its process. */
  readonly timeoutMs?: number
  readonly pingIntervalMs?: number
  readonly pingTimeoutMs?: number
  /** A connection without calls is closed after this. Default: the library's 15 minutes. */
  readonly idleConnectionTimeoutMs?: number
  /** Longest message that is read. Default: the library's 4 GiB. */
  readonly readMaxBytes?: number
}

/** Gives the transport of the moment. @throws ConnectError while there is no certificate */
export type MeshTransport = () => Transport

/** Transport that proves this process, made anew when its certificate changes; old streams end by themselves. */
export function meshTransport(own: OwnCertificate, options: MeshTransportOptions): MeshTransport {
  let made: { readonly version: number; readonly transport: Transport } | null = null
  return () => {
    if (made?.version === own.version) return made.transport
    const { pem } = own
    if (pem === null) throw new ConnectError("this process has no certificate yet", Code.Unavailable)
    made = { version: own.version, transport: tlsTransport(options, { ...pem, ca: [...pem.ca] }) }
    return made.transport
  }
}

/** Certify over TLS at the identity service. @param anchors PEM of those that the process was started with */
export function certifyOver(anchors: () => readonly string[], options: MeshTransportOptions): Certify {
  return async (token, csr) => {
    const transport = tlsTransport({ ...options, timeoutMs: CERTIFY_TIMEOUT_MS }, { ca: [...anchors()] })
    try {
      const answer = await createIdentityClient(transport).certify({ token, csr })
      return {
        chain: answer.chain,
        trustAnchors: answer.trustAnchors,
        notBeforeMs: Number(answer.notBeforeMs),
        notAfterMs: Number(answer.notAfterMs),
      }
    } catch (error) {
      const reason = error instanceof ConnectError ? error.rawMessage : String(error)
      throw new Error(`the identity service at ${options.address} did not sign: ${reason}`, { cause: error })
    }
  }
}

/**
 * Follows the identity service's trust anchors until ended; a broken stream is begun again after `WATCH_RETRY_MS`.
 *
 * @returns ends it
 */
export function watchAnchors(
  anchors: () => readonly string[],
  options: MeshTransportOptions,
  changed: (anchors: readonly Uint8Array[]) => void,
): () => void {
  const ending = new AbortController()
  const run = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      try {
        const transport = tlsTransport({ ...WATCH_PINGS, ...options }, { ca: [...anchors()] })
        const { signal } = ending
        for await (const { trustAnchors } of createIdentityClient(transport).watchTrustAnchors(
          {},
          { signal },
        )) {
          if (trustAnchors.length > 0) changed(trustAnchors)
        }
      } catch {
        // The attempts to renew say what is wrong with the way to the identity service.
      }
      await sleep(WATCH_RETRY_MS, undefined, { signal: ending.signal }).catch(() => {})
    }
  }
  void run()
  return () => ending.abort()
}

function tlsTransport(
  options: MeshTransportOptions,
  tls: { readonly ca: string[]; readonly key?: string; readonly cert?: string },
): Transport {
  const { address, serverName, timeoutMs, pingIntervalMs, pingTimeoutMs, idleConnectionTimeoutMs } = options
  const { readMaxBytes } = options
  return createGrpcTransport({
    baseUrl: `https://${address}`,
    ...(timeoutMs === undefined ? {} : { defaultTimeoutMs: timeoutMs }),
    ...(pingIntervalMs === undefined ? {} : { pingIntervalMs }),
    ...(pingTimeoutMs === undefined ? {} : { pingTimeoutMs }),
    ...(idleConnectionTimeoutMs === undefined ? {} : { idleConnectionTimeoutMs }),
    ...(readMaxBytes === undefined ? {} : { readMaxBytes }),
    nodeOptions: {
      ...tls,
      servername: serverName,
      minVersion: "TLSv1.3",
      maxVersion: "TLSv1.3",
      rejectUnauthorized: true,
    },
  })
}
