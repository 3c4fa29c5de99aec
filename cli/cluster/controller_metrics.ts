// Raw metrics of the control plane's pods in a cluster, each asked through the API server at its own admin port.
import { COMPONENT_LABEL } from "../../deploy/install/mod.ts"
import { getFromPod } from "../../deploy/kubernetes/mod.ts"
import { Failure } from "../failure.ts"
import { PLANE_ADMIN_PORT } from "../inspect/controller_metrics.ts"
import { type Kubernetes, refusal } from "../kubernetes.ts"
import { type Pod, podsOf, stateOf } from "./pods.ts"
import { MAX_METRICS_BYTES, PROXY_TIMEOUT_MS } from "./proxy_metrics.ts"

/**
 * Asks every pod of the control plane, in the order of their names.
 *
 * @throws Failure when the API server refuses the list of pods, or there are none
 */
export async function controllerMetrics(
  kubernetes: Kubernetes,
  namespace: string,
): Promise<{ readonly pod: string; readonly text: string; readonly error: string }[]> {
  let pods: Pod[]
  try {
    pods = await podsOf(kubernetes.api, namespace, COMPONENT_LABEL)
  } catch (error) {
    throw refusal(error, kubernetes, `list the pods of namespace "${namespace}"`)
  }
  if (pods.length === 0)
    throw new Failure(
      `conduit is not installed in namespace "${namespace}" of ${kubernetes.what} (-c NAMESPACE names another)`,
    )
  return await Promise.all(pods.map(pod => ask(kubernetes, pod)))
}

async function ask(kubernetes: Kubernetes, pod: Pod) {
  const { namespace, name } = pod.metadata
  const at = { pod: `${namespace}/${name}`, text: "" }
  if (pod.status?.phase !== "Running") return { ...at, error: `it does not run: ${stateOf(pod)}` }
  const limits = { timeoutMs: PROXY_TIMEOUT_MS, maxBytes: MAX_METRICS_BYTES }
  const target = { namespace, pod: name, port: PLANE_ADMIN_PORT }
  try {
    return { ...at, text: await getFromPod(kubernetes.api, target, "/metrics", limits), error: "" }
  } catch (error) {
    return { ...at, error: error instanceof Error ? error.message : String(error) }
  }
}
