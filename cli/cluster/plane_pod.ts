// A connection to a ready pod of a service of the control plane in a cluster, through the API server.
import type { Duplex } from "node:stream"
import { COMPONENT_LABEL } from "../../deploy/install/mod.ts"
import { connectToPod, KubeError } from "../../deploy/kubernetes/mod.ts"
import { Failure } from "../failure.ts"
import type { Kubernetes } from "../kubernetes.ts"
import { isReady, type Pod, podsOf, stateOf } from "./pods.ts"

/** A service of the control plane. */
export interface PlaneService {
  /** As its label has it: `api`. */
  readonly component: string
  /** Port where its pod does not name one. */
  readonly port: number
}

/**
 * Connects to any ready pod; a node that cannot be reached must not hide the others.
 *
 * @throws Failure when none is ready; KubeError when the API server refuses or cannot be reached
 */
export async function connectToService(
  kubernetes: Kubernetes,
  namespace: string,
  { component, port: otherwise }: PlaneService,
): Promise<{ connection: Duplex; pod: Pod }> {
  const pods = await podsOf(kubernetes.api, namespace, `${COMPONENT_LABEL}=${component}`)
  const ready = pods.filter(isReady)
  if (ready.length === 0) throw await whyNone(kubernetes, namespace, component, pods)
  let failure: unknown
  for (const pod of ready) {
    const { name } = pod.metadata
    const ports = pod.spec.containers.flatMap(container => container.ports ?? [])
    const port = ports.find(one => one.name === "api")?.containerPort ?? otherwise
    try {
      return { connection: await connectToPod(kubernetes.api, { namespace, pod: name, port }), pod }
    } catch (error) {
      failure = error
      if (error instanceof KubeError && error.status === 403) break
    }
  }
  throw failure
}

async function whyNone(
  kubernetes: Kubernetes,
  namespace: string,
  component: string,
  pods: readonly Pod[],
): Promise<Failure> {
  const isMissing = async (name: string): Promise<boolean> => {
    const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/deployments/${name}`
    return await kubernetes.api.call({ path }).then(
      () => false,
      (error: unknown) => error instanceof KubeError && error.status === 404,
    )
  }
  const deployment = `conduit-${component}`
  if (pods.length === 0 && (await isMissing(deployment))) {
    // The API runs in every installation; other services can be left out, or are of a newer release.
    if (component !== "api" && !(await isMissing("conduit-api")))
      return new Failure(
        `the installation in namespace "${namespace}" of ${kubernetes.what} has no ${deployment}: ` +
          `conduit upgrade --set ${component}.enabled=true | kubectl apply -f - adds it`,
      )
    return new Failure(
      `conduit is not installed in namespace "${namespace}" of ${kubernetes.what}: ` +
        "conduit install | kubectl apply -f - installs it (-c NAMESPACE names another)",
    )
  }
  const states = pods.map(pod => `${pod.metadata.name}: ${stateOf(pod)}`)
  const why = states.length === 0 ? "it has none" : states.join("; ")
  return new Failure(
    `no pod of ${deployment} in namespace "${namespace}" is ready (${why}): ` +
      `kubectl describe pods -n ${namespace} -l ${COMPONENT_LABEL}=${component} tells more`,
  )
}
