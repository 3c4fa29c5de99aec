// Who we are to a Kubernetes API server and how it is reached; and a pod's service account as one such source
// (https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/). kubeconfig.ts is the other.
import { readFileSync } from "node:fs"
import { join } from "node:path"

/** Where a pod finds its service account. */
export const SERVICE_ACCOUNT_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
/** A service account's files are read again when they are older than this: kubelet renews tokens at 80 % of an hour. */
export const CREDENTIALS_MAX_AGE_MS = 60_000

/** What a request needs besides its path. */
export interface Credentials {
  /** Base address, such as `https://10.96.0.1:443`. */
  readonly server: string
  /** Fields that say who asks; secret. */
  readonly headers: Readonly<Record<string, string>>
  /** Trust anchors, client certificate and key, as PEM. */
  readonly tls: {
    readonly ca?: string
    readonly cert?: string
    readonly key?: string
    readonly serverName?: string
    readonly rejectUnauthorized?: boolean
  }
  /** Proxy on the way; empty when there is none. */
  readonly proxy: string
}

/** Gives credentials as they are now. */
export interface CredentialSource {
  /** The API server's address, for sentences. */
  readonly server: string
  /** Whose credentials these are, for sentences: `context "prod" of /home/jo/.kube/config`. */
  readonly what: string
  /** Namespace that is meant where none is named. */
  readonly namespace: string
  /**
   * @param refused  the server has just answered 401: read everything again
   * @throws Error with a sentence for a person when they cannot be read
   */
  current(refused: boolean): Promise<Credentials>
}

/** What a pod's credentials are read from; tests pass their own. */
export interface ServiceAccountOptions {
  readonly env: Readonly<Record<string, string | undefined>>
  /** Folder with `token` and `ca.crt`. Default: SERVICE_ACCOUNT_FOLDER. */
  readonly folder?: string
  /** Monotonic clock. */
  readonly nowMs: () => number
}

/**
 * Credentials of the pod that we run in; its token is read again as kubelet renews it.
 *
 * @throws Error when we do not run in a pod
 */
export function serviceAccountCredentials(options: ServiceAccountOptions): CredentialSource {
  const { env, nowMs, folder = SERVICE_ACCOUNT_FOLDER } = options
  const host = env.KUBERNETES_SERVICE_HOST ?? ""
  const port = env.KUBERNETES_SERVICE_PORT_HTTPS ?? env.KUBERNETES_SERVICE_PORT ?? "443"
  if (host === "") {
    throw new Error(
      "no Kubernetes API server is known: this is no pod (KUBERNETES_SERVICE_HOST is not set); pass --kubeconfig FILE",
    )
  }
  const server = `https://${host.includes(":") ? `[${host}]` : host}:${port}`
  let kept: Credentials | undefined
  let readAtMs = 0
  return {
    server,
    what: "the pod's service account",
    namespace: readNamespace(join(folder, "namespace")),
    current: async refused => {
      if (kept !== undefined && !refused && nowMs() - readAtMs < CREDENTIALS_MAX_AGE_MS) return kept
      const token = readSecret(join(folder, "token")).trim()
      const ca = readSecret(join(folder, "ca.crt"))
      readAtMs = nowMs()
      kept = { server, headers: { authorization: `Bearer ${token}` }, tls: { ca }, proxy: "" }
      return kept
    },
  }
}

function readSecret(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? "unreadable"
    throw new Error(
      `cannot read the service account's ${path} (${reason}); does the pod set automountServiceAccountToken: false?`,
    )
  }
}

function readNamespace(path: string): string {
  try {
    return readFileSync(path, "utf8").trim() || "default"
  } catch {
    return "default"
  }
}
