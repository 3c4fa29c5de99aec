// The injector put together: its port, its certificate, what it puts into pods, and its figures.
import { readFileSync } from "node:fs"
import { hostname } from "node:os"
import { makeServerCertificate } from "../../deploy/identity/mod.ts"
import { trustAnchors } from "../../deploy/inject/mod.ts"
import type { KubeApi } from "../../deploy/kubernetes/mod.ts"
import type { Log } from "../log.ts"
import type { Listening, Metric } from "../serve/mod.ts"
import type { InjectDefaults } from "./admit.ts"
import { ServingCertificate } from "./serving_certificate.ts"
import type { InjectorSettings } from "./settings.ts"
import { publishCertificates } from "./trusted_bundle.ts"
import { serveWebhook, type WebhookOptions } from "./webhook.ts"
import { lookUpAt } from "./workload.ts"

/** The parts while they run. */
export interface InjectorProcess {
  readonly listening: Listening
  readonly metrics: () => readonly Metric[]
  /** Empty when API servers can call, otherwise what is awaited. */
  readonly notReady: () => string
  /** The end is near: callers are asked to go elsewhere. */
  drain(): void
  stop(): void
}

/** Where it listens, and what it is. */
export interface InjectorOptions {
  readonly host: string
  readonly port: number
  readonly version: string
  readonly log: Log
  /** Asks plugins about a pod that is injected. Default: nobody is asked. */
  readonly plugins?: WebhookOptions["plugins"]
}

/**
 * Starts to serve, and to have API servers trust what is served.
 *
 * @throws Error with a sentence for a person when the port cannot be listened on
 */
export async function startInjector(
  settings: InjectorSettings,
  api: KubeApi,
  { host, port, version, log, plugins }: InjectorOptions,
): Promise<InjectorProcess> {
  const { conduitNamespace, webhookName, certificateLifetimeMs } = settings
  const certificate = new ServingCertificate({
    make: nowMs =>
      makeServerCertificate({
        // A pod's own name: what a container of it made before it was restarted is replaced.
        name: hostname(),
        dnsNames: [`conduit-injector.${conduitNamespace}.svc`],
        nowMs,
        lifetimeMs: certificateLifetimeMs,
      }),
    publish: own => publishCertificates(api, webhookName, own, Date.now()),
    lifetimeMs: certificateLifetimeMs,
    log,
    nowMs: Date.now,
    random: Math.random,
  })
  let refused = 0
  const webhook = await serveWebhook({
    host,
    port,
    tls: {
      context: () => certificate.context,
      names: null,
      alpn: "http/1.1",
      client: "optional",
      plaintext: "refused",
      onRefused: () => refused++,
    },
    cluster: lookUpAt(api),
    defaults: () => defaultsOf(settings, version),
    log,
    ...(plugins === undefined ? {} : { plugins }),
  })
  certificate.start()
  let draining = false
  return {
    listening: webhook,
    notReady: () => (draining ? "it is about to end" : certificate.notReady()),
    metrics: () => [
      ...Object.entries(webhook.counts).map(([outcome, value]) => ({
        name: "injector_reviews_total",
        help: "Reviews answered, by what became of the pod.",
        type: "counter" as const,
        value,
        labels: { outcome },
      })),
      {
        name: "injector_connections_refused_total",
        help: "Connections closed before they asked for anything.",
        type: "counter",
        value: refused,
      },
      {
        name: "injector_cert_expiration_timestamp_seconds",
        help: "End of the webhook's certificate; 0 without one.",
        type: "gauge",
        value: certificate.endMs / 1000,
      },
      {
        name: "injector_cert_failures_total",
        help: "Looks at what API servers trust that failed.",
        type: "counter",
        value: certificate.failures,
      },
    ],
    drain: () => {
      draining = true
      webhook.drain()
    },
    stop: () => certificate.close(),
  }
}

/** What every pod is given; read for each, since a mounted file follows its ConfigMap. @throws Error with a sentence */
export function defaultsOf(settings: InjectorSettings, version: string): InjectDefaults {
  const { conduitNamespace, clusterDomain, trustDomain, images, trustAnchorsFile, cni } = settings
  const anchors = trustAnchorsFile === "" ? null : anchorsIn(trustAnchorsFile)
  return {
    conduitNamespace,
    clusterDomain,
    trustDomain,
    version,
    cni,
    ...(images === null ? {} : { images }),
    ...(anchors === null ? {} : { trustAnchors: anchors }),
  }
}

/** @throws Error for anchors that are there and cannot be used: proxies without identity are not what was asked for */
function anchorsIn(file: string): string | null {
  let text: string
  try {
    text = readFileSync(file, "utf8")
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null
    throw error
  }
  try {
    return trustAnchors(text, Date.now())
  } catch (error) {
    throw new Error(`the trust anchors in ${file} cannot be used: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
