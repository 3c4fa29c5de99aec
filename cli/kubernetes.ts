// The Kubernetes cluster that the flags lead to, as kubectl finds it. Loaded only by commands that need one.
import { KubeApi, KubeError, kubeconfigCredentials } from "../deploy/kubernetes/mod.ts"
import { Failure } from "./failure.ts"
import type { GlobalArgs } from "./flags.ts"

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
  let server = ""
  try {
    const credentials = await kubeconfigCredentials(args.kubeconfig ?? "", args.context ?? "")
    server = credentials.server
    return await ask(new KubeApi(credentials))
  } catch (error) {
    if (error instanceof Failure) throw error
    const reason = error instanceof Error ? error.message : String(error)
    if (!(error instanceof KubeError)) throw new Failure(`cannot ${what}: ${reason}`, { cause: error })
    const how = error.status === 0 ? "cannot be reached" : "refuses"
    throw new Failure(`cannot ${what}: the Kubernetes API at ${server} ${how} (${reason})`, { cause: error })
  }
}

/** Namespace of the control plane. */
export function planeNamespace(args: GlobalArgs): string {
  return args["conduit-namespace"] ?? process.env.CONDUIT_NAMESPACE ?? "conduit"
}
