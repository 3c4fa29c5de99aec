// The Kubernetes cluster that the flags lead to, as kubectl finds it. Loaded only by commands that need one.
import {
  type CredentialSource,
  KubeApi,
  KubeError,
  kubeconfigCredentials,
  NO_CREDENTIALS,
  NoKubeconfigError,
  serviceAccountCredentials,
} from "../deploy/kubernetes/mod.ts"
import { Failure } from "./failure.ts"
import type { GlobalArgs } from "./flags.ts"

/** The longest that a person waits for an answer of the API server. */
export const KUBERNETES_TIMEOUT_MS = 10_000

/** A cluster, as one user. */
export interface Kubernetes {
  readonly api: KubeApi
  /** Whose credentials are used, for sentences: `context "prod" of /home/jo/.kube/config`. */
  readonly what: string
  /** Namespace that is meant where none is named. */
  readonly namespace: string
}

/**
 * The cluster that --kubeconfig and --context lead to, else KUBECONFIG or ~/.kube/config, else, in a pod, the one around it.
 *
 * @returns null where there is none
 * @throws Failure for a kubeconfig that cannot be used
 */
export async function kubernetesOf(args: GlobalArgs): Promise<Kubernetes | null> {
  let credentials: CredentialSource
  try {
    credentials = await kubeconfigCredentials(args.kubeconfig ?? "", args.context ?? "")
  } catch (error) {
    if (!(error instanceof NoKubeconfigError)) throw new Failure(reasonOf(error), { cause: error })
    if (args.context !== undefined) throw new Failure(`--context ${args.context}: ${error.message}`)
    if (process.env.KUBERNETES_SERVICE_HOST === undefined) return null
    credentials = serviceAccountCredentials({ env: process.env, nowMs: () => performance.now() })
  }
  const { what, namespace } = credentials
  return { api: new KubeApi(credentials, KUBERNETES_TIMEOUT_MS), what, namespace }
}

/**
 * Calls the API server that --kubeconfig and --context lead to.
 *
 * @param what  for sentences: what is attempted
 * @throws Failure with a sentence when it cannot be reached or refuses
 */
export async function withKubernetes<T>(
  args: GlobalArgs,
  what: string,
  ask: (api: KubeApi) => Promise<T>,
): Promise<T> {
  const kubernetes = await kubernetesOf(args)
  if (kubernetes === null)
    throw new Failure(`cannot ${what}: there is no kubeconfig (KUBECONFIG or --kubeconfig FILE names one)`)
  try {
    return await ask(kubernetes.api)
  } catch (error) {
    throw refusal(error, kubernetes, what)
  }
}

/** A sentence for what an API server answered, or did not. @param what  what was attempted: `list the pods of ...` */
export function refusal(error: unknown, { api, what: whose }: Kubernetes, what: string): Failure {
  if (error instanceof Failure) return error
  const reason = reasonOf(error)
  const told = (sentence: string): Failure => new Failure(`cannot ${what}: ${sentence}`, { cause: error })
  if (!(error instanceof KubeError) || error.reason === NO_CREDENTIALS) return told(reason)
  if (error.status === 401)
    return told(
      `the Kubernetes API at ${api.server} does not accept ${whose} (401 Unauthorized): log in again`,
    )
  // Its message names user, verb and resource.
  if (error.status === 403) return told(`the Kubernetes API at ${api.server} does not let you: ${reason}`)
  if (error.status !== 0) return told(`the Kubernetes API at ${api.server} refuses (${reason})`)
  const unreached = UNREACHED.find(([pattern]) => pattern.test(reason))?.[1] ?? reason
  return told(`the Kubernetes API at ${api.server} of ${whose} cannot be reached (${unreached})`)
}

/** What the runtime says, and what it means. */
const UNREACHED: readonly (readonly [RegExp, string])[] = [
  [/ConnectionRefused|ECONNREFUSED/, "nothing listens there"],
  [/ENOTFOUND|FailedToOpenSocket|DNSResolv/, "its name is not known"],
  [/CERT_HAS_EXPIRED/, "its certificate has expired"],
  [/ALTNAME_INVALID/, "its certificate is for another name"],
  [
    /SELF_SIGNED|UNABLE_TO_(VERIFY|GET)/,
    "its certificate is not from the authority that the kubeconfig trusts",
  ],
]

/** Namespace of the control plane. */
export function planeNamespace(
  args: GlobalArgs,
  env: Readonly<Record<string, string | undefined>> = process.env,
): string {
  return args["conduit-namespace"] ?? env.CONDUIT_NAMESPACE ?? "conduit"
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
