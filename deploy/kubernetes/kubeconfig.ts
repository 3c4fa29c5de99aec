// A kubeconfig as kubectl reads it, for who asks an API server from outside of the cluster
// (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/).
import { X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"
import type { KubeConfig } from "@kubernetes/client-node"
import { didYouMean } from "../suggest/mod.ts"
import type { CredentialSource } from "./credentials.ts"

/** Where kubeconfigs are looked for; tests pass their own. */
export interface KubeconfigPlaces {
  /** KUBECONFIG is read. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder with `.kube/config`. */
  readonly home: string
}

/** There is no kubeconfig at all: one was not asked for by name. */
export class NoKubeconfigError extends Error {
  override readonly name = "NoKubeconfigError"
}

const PLACES: KubeconfigPlaces = { env: process.env, home: homedir() }

/**
 * Credentials of a kubeconfig: certificates, tokens, exec plugins and OIDC, as the client library knows them.
 *
 * @param file  path; empty for KUBECONFIG or ~/.kube/config
 * @param context  name; empty for the current one
 * @throws NoKubeconfigError when there is none; Error with a sentence for a person when it cannot be used
 */
export async function kubeconfigCredentials(
  file: string,
  context: string,
  places: KubeconfigPlaces = PLACES,
): Promise<CredentialSource> {
  const { config, named } = await load(file, places)
  const names = config.getContexts().map(one => one.name)
  const choice = names.length === 0 ? "it has no contexts" : `it has ${names.join(", ")}`
  if (context !== "" && !names.includes(context))
    throw new Error(`kubeconfig ${named} has no context "${context}"${didYouMean(context, names)}; ${choice}`)
  if (context !== "") config.setCurrentContext(context)
  const current = config.getCurrentContext() ?? ""
  if (current === "")
    throw new Error(`kubeconfig ${named} sets no current-context: choose one with --context (${choice})`)
  if (!names.includes(current))
    throw new Error(`the current-context "${current}" of kubeconfig ${named} does not exist; ${choice}`)
  const cluster = config.getCurrentCluster()
  if (cluster === null || !URL.canParse(cluster.server)) {
    const { cluster: wanted } = config.getContextObject(current) ?? { cluster: "" }
    const lack = cluster === null ? "is not in it" : `has no address but "${cluster.server}"`
    throw new Error(`kubeconfig ${named}: the cluster "${wanted}" of context "${current}" ${lack}`)
  }
  const server = cluster.server.replace(/\/+$/, "")
  const what = `context "${current}" of ${named}`
  return {
    server,
    what,
    namespace: config.getContextObject(current)?.namespace || "default",
    current: async () => {
      const options: Parameters<typeof config.applyToHTTPSOptions>[0] = {}
      try {
        await config.applyToHTTPSOptions(options)
      } catch (error) {
        throw new Error(`cannot get the credentials of ${what}: ${reasonOf(error)}`, { cause: error })
      }
      const headers: Record<string, string> = {}
      for (const [name, value] of Object.entries(options.headers ?? {})) headers[name] = String(value)
      if (typeof options.auth === "string")
        headers.authorization = `Basic ${Buffer.from(options.auth).toString("base64")}`
      const certificate = pem("cert", options.cert)
      refuseEnded(certificate.cert, what)
      return {
        server,
        headers,
        tls: {
          ...pem("ca", options.ca),
          ...certificate,
          ...pem("key", options.key),
          ...(cluster.tlsServerName === undefined ? {} : { serverName: cluster.tlsServerName }),
          ...(cluster.skipTLSVerify === true ? { rejectUnauthorized: false } : {}),
        },
        proxy: cluster.proxyUrl ?? "",
      }
    },
  }
}

/** Reads the files that count; of two that name the same, the first one wins, as with kubectl. */
async function load(file: string, places: KubeconfigPlaces): Promise<{ config: KubeConfig; named: string }> {
  const listed =
    file === "" ? (places.env.KUBECONFIG ?? "").split(delimiter).filter(one => one !== "") : [file]
  const candidates = listed.length > 0 ? listed : [join(places.home, ".kube", "config")]
  const texts: { path: string; text: string }[] = []
  for (const path of candidates) {
    try {
      texts.push({ path, text: readFileSync(path, "utf8") })
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? "unreadable"
      // One of several may be missing, but not the one that was asked for.
      if (code === "ENOENT" && file === "") continue
      throw new Error(`cannot read kubeconfig ${path} (${code})`, { cause: error })
    }
  }
  if (texts.length === 0) {
    throw new NoKubeconfigError(
      `no kubeconfig is at ${candidates.join(" or ")} (KUBECONFIG or --kubeconfig FILE names another)`,
    )
  }
  // 60 MB and 0.4 s: only who uses a kubeconfig pays for it.
  const { KubeConfig } = await import("@kubernetes/client-node")
  const config = new KubeConfig()
  config.loadFromOptions({ clusters: [], users: [], contexts: [], currentContext: "" })
  for (const { path, text } of texts) {
    const one = new KubeConfig()
    try {
      if (text.trim() === "") throw new Error("it is empty")
      one.loadFromString(text)
      one.makePathsAbsolute(join(path, ".."))
    } catch (error) {
      throw new Error(`cannot read kubeconfig ${placeOf(path, error)}`, { cause: error })
    }
    config.clusters.push(
      ...one.clusters.filter(({ name }) => !config.clusters.some(known => known.name === name)),
    )
    config.users.push(...one.users.filter(({ name }) => !config.users.some(known => known.name === name)))
    config.contexts.push(
      ...one.contexts.filter(({ name }) => !config.contexts.some(known => known.name === name)),
    )
    config.currentContext ||= one.currentContext ?? ""
  }
  return { config, named: texts.map(({ path }) => path).join(delimiter) }
}

/** `FILE:LINE:COLUMN: what is wrong` where the parser told, else `FILE: what is wrong`. */
function placeOf(path: string, error: unknown): string {
  const { mark, reason } = error as { mark?: { line: number; column: number }; reason?: unknown }
  return mark === undefined || typeof reason !== "string"
    ? `${path}: ${reasonOf(error)}`
    : `${path}:${mark.line + 1}:${mark.column + 1}: ${reason}`
}

/** An API server answers an ended certificate with a bare 401, or a broken handshake. */
function refuseEnded(certificate: string | undefined, what: string): void {
  if (certificate === undefined) return
  let end: Date
  try {
    end = new X509Certificate(certificate).validToDate
  } catch {
    return
  }
  if (end.getTime() < Date.now())
    throw new Error(
      `the client certificate of ${what} has expired (${end.toISOString()}): get a new one, or log in again`,
    )
}

function pem<Name extends "ca" | "cert" | "key">(
  name: Name,
  value: unknown,
): { readonly [name in Name]?: string } {
  return value === undefined || value === null
    ? {}
    : ({ [name]: String(value) } as { [name in Name]: string })
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
