// Asks the Kubernetes API for a pod, in bounded time: a runtime waits for the answer, whosever pod it is.
import { type CredentialSource, KubeApi, KubeError } from "../kubernetes/mod.ts"
import type { Pod } from "./pod_redirect.ts"
import type { PodName } from "./request.ts"

/** Longest attempt, in milliseconds: an API server under load takes that long for one object. */
export const POD_ATTEMPT_MS = 2_000
/** Pauses between attempts, in milliseconds; a connection that is refused costs no more than these. */
export const POD_PAUSES_MS: readonly number[] = [100, 400, 1_000]
/** No attempt begins later than that, in milliseconds: every pod of the node waits as long. */
export const POD_LAST_ATTEMPT_MS = 3_000

/**
 * A pod as the API has it; null when there is none of that name.
 *
 * @throws Error with the last attempt's reason
 */
export async function readPod(
  { namespace, name }: PodName,
  credentials: CredentialSource,
): Promise<Pod | null> {
  const api = new KubeApi(credentials)
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`
  const begun = performance.now()
  for (let attempt = 0; ; attempt++) {
    try {
      return (await api.call({ path, signal: AbortSignal.timeout(POD_ATTEMPT_MS) })) as Pod
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return null
      const pauseMs = POD_PAUSES_MS[attempt]
      const isLast = pauseMs === undefined || performance.now() - begun + pauseMs > POD_LAST_ATTEMPT_MS
      // Asked again, the API server would say the same.
      if (isLast || (error instanceof KubeError && error.status === 403)) throw error
      await Bun.sleep(pauseMs)
    }
  }
}
