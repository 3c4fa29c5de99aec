// A control-plane process as a member of the mesh: its own certificate, TLS on its ports, and who may come in.
import { readFileSync } from "node:fs"
import { derToPem, pemCertificates } from "../deploy/identity/mod.ts"
import { type IdentityProcess, type IdentitySettings, startIdentity } from "./identity/mod.ts"
import type { Reviews } from "./kubernetes/mod.ts"
import type { Log } from "./log.ts"
import type { MeshSettings } from "./mesh_settings.ts"
import { MAX_PLUGIN_MESSAGE_BYTES } from "./plugins/mod.ts"
import {
  type ConnectionRefusal,
  type Metric,
  PING_INTERVAL_MS,
  PING_TIMEOUT_MS,
  type TlsOptions,
} from "./serve/mod.ts"
import {
  type Certified,
  certifyOver,
  type MeshTransport,
  meshTransport,
  OwnCertificate,
  type Workload,
  watchAnchors,
  workloadDnsName,
} from "./tls/mod.ts"

/** An answer of another control-plane process takes milliseconds; one that takes this long will not come. */
export const PEER_TIMEOUT_MS = 5_000
/** Lines about refused connections per minute and port; more would be a flood, the counter goes on. */
export const REFUSAL_LINES_PER_MINUTE = 10

/** A connection to a proxy whose tap is over is kept this long. */
export const TAP_IDLE_MS = 1_000
const PINGS = { pingIntervalMs: PING_INTERVAL_MS, pingTimeoutMs: PING_TIMEOUT_MS }

/** What a port is for: callers without a certificate yet, proxies, or people by way of the API. */
export type PortUse = "identity" | "proxies" | "api"

/** The process's part in the mesh. */
export interface MeshMember {
  /** Parts of the identity service; null where it does not run. */
  readonly identity: IdentityProcess | null
  /** TLS for a port. */
  tls(use: PortUse): TlsOptions
  /** Transport to a service of the control plane at its address. */
  transportTo(service: string): (address: string) => MeshTransport
  /** The same for streams that last. */
  streamTo(service: string): (address: string) => MeshTransport
  /** Transport to the tap port of a pod's proxy. */
  tapTo(pod: Workload, address: string): MeshTransport
  /** Transport to a plugin's port of a pod, by way of that pod's proxy. */
  pluginTo(pod: Workload, address: string): MeshTransport
  /** The process's own certificate with the anchors in force; null until it has one. */
  readonly certified: () => Certified | null
  readonly metrics: () => readonly Metric[]
  /** Empty when the process has its certificate, otherwise what is awaited. */
  readonly notReady: () => string
  stop(): void
}

/**
 * Joins: starts to ask for a certificate, and the identity service where it runs here.
 *
 * @param reviews  of the API server that says whose tokens are; null without one
 */
export function joinMesh(
  mesh: MeshSettings,
  identity: IdentitySettings | null,
  log: Log,
  reviews: Reviews | null,
): MeshMember {
  const { names, tokenFile, trustAnchorsFile, identityAddress, requireTls } = mesh
  const serverName = (service: string) =>
    workloadDnsName({ namespace: names.controlNamespace, serviceAccount: `conduit-${service}` }, names)
  const remote = { address: identityAddress, serverName: serverName("identity") }
  const knownAnchors = (): string[] => anchorsOf(trustAnchorsFile, certificate.pem?.ca ?? [])
  const certifyRemotely = certifyOver(knownAnchors, remote)
  const certificate: OwnCertificate = new OwnCertificate({
    certify: (token, csr) => (service?.certify ?? certifyRemotely)(token, csr),
    tokenFile,
    log,
    nowMs: Date.now,
    random: Math.random,
    after: (ms, call) => {
      const timer = setTimeout(call, ms)
      return () => clearTimeout(timer)
    },
  })
  const service =
    identity === null
      ? null
      : startIdentity(identity, names, log, anchors => certificate.setTrustAnchors(anchors), reviews)
  certificate.start()
  const stopWatch =
    service === null
      ? watchAnchors(knownAnchors, remote, anchors => certificate.setTrustAnchors(anchors))
      : () => {}
  const refused: Record<ConnectionRefusal, number> = { plaintext: 0, handshake: 0, no_identity: 0 }
  const lines = { left: REFUSAL_LINES_PER_MINUTE }
  const more = setInterval(() => {
    lines.left = REFUSAL_LINES_PER_MINUTE
  }, 60_000)
  const onRefused = (reason: ConnectionRefusal, detail: string): void => {
    refused[reason]++
    if (lines.left-- > 0) log.warn(detail, { reason })
  }
  return {
    identity: service,
    tls: use => ({
      context: () => certificate.context,
      names,
      client: use === "proxies" && requireTls ? "required" : "optional",
      plaintext: use === "identity" || (use === "proxies" && requireTls) ? "refused" : "served",
      onRefused,
    }),
    transportTo: to => address =>
      meshTransport(certificate, {
        address,
        serverName: serverName(to),
        timeoutMs: PEER_TIMEOUT_MS,
        ...PINGS,
      }),
    streamTo: to => address => meshTransport(certificate, { address, serverName: serverName(to), ...PINGS }),
    tapTo: (pod, address) =>
      meshTransport(certificate, {
        address,
        serverName: workloadDnsName(pod, names),
        idleConnectionTimeoutMs: TAP_IDLE_MS,
        ...PINGS,
      }),
    pluginTo: (pod, address) =>
      meshTransport(certificate, {
        address,
        serverName: workloadDnsName(pod, names),
        idleConnectionTimeoutMs: TAP_IDLE_MS,
        readMaxBytes: MAX_PLUGIN_MESSAGE_BYTES,
        ...PINGS,
      }),
    certified: () => certificate.certified,
    metrics: () => [
      ...(service?.metrics() ?? []),
      ...Object.entries(refused).map(([reason, value]) => ({
        name: "connections_refused_total",
        help: "Connections closed before they asked for anything, by reason.",
        type: "counter" as const,
        value,
        labels: { reason },
      })),
      {
        name: "identity_cert_expiration_timestamp_seconds",
        help: "End of this process's own certificate; 0 without one.",
        type: "gauge",
        value: certificate.notAfterMs / 1000,
      },
      {
        name: "identity_cert_failures_total",
        help: "Attempts to renew it that failed.",
        type: "counter",
        value: certificate.failures,
      },
    ],
    notReady: () => service?.notReady() || certificate.notReady(),
    stop: () => {
      clearInterval(more)
      stopWatch()
      certificate.close()
      service?.stop()
    },
  }
}

/** PEM of the anchors in a mounted file, which follows its object, and of those that were told. */
function anchorsOf(file: string, told: readonly string[]): string[] {
  let mounted: string[] = []
  try {
    mounted = pemCertificates(readFileSync(file, "utf8")).map(({ raw }) => derToPem(raw))
  } catch (error) {
    if (told.length === 0) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new Error(`the trust anchors in ${file} cannot be used: ${reason}`, { cause: error })
    }
  }
  return [...new Set([...mounted, ...told])]
}
