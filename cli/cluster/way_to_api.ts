// The way to the API of a control plane in a cluster: a connection to a ready pod of it through the API server, and over
// that TLS from end to end, where the mesh has identities.
//
// To the pod it comes from its own loopback interface: who may create pods/portforward in the control plane's namespace
// may read. The kubeconfig's own token never leaves for the pod, where whoever holds it would be that user.
import { once } from "node:events"
import type { Socket } from "node:net"
import type { Duplex } from "node:stream"
import { connect as connectTls } from "node:tls"
import { createConnectTransport } from "@connectrpc/connect-node"
import { ANCHORS_NAME, COMPONENT_LABEL, CONFIG_NAME } from "../../deploy/install/mod.ts"
import { connectToPod, KubeError, kernelSocket, NO_CREDENTIALS } from "../../deploy/kubernetes/mod.ts"
import { wholeLists } from "../../protos/mod.ts"
import { CALL_TIMEOUT_MS, type Way } from "../connect.ts"
import { Failure } from "../failure.ts"
import { type Kubernetes, refusal } from "../kubernetes.ts"
import { isReady, type Pod, podsOf, stateOf } from "./pods.ts"

const DEPLOYMENT = "conduit-api"
/** Port of the API where its pod does not name one. */
const API_PORT = 8085
/** A handshake takes milliseconds; one that takes this long will not end. */
export const TLS_TIMEOUT_MS = 10_000

/**
 * Opens the way.
 *
 * @throws Failure with a sentence: not installed, no ready pod, no right to it, a pod that is not the API
 */
export async function wayToApi(kubernetes: Kubernetes, namespace: string): Promise<Way> {
  const attempt = `reach the API of the control plane in namespace "${namespace}"`
  try {
    const [pods, anchors, config] = await Promise.all([
      podsOf(kubernetes.api, namespace, `${COMPONENT_LABEL}=api`),
      configMap(kubernetes, namespace, ANCHORS_NAME),
      configMap(kubernetes, namespace, CONFIG_NAME),
    ])
    const ready = pods.filter(isReady)
    if (ready.length === 0) throw await whyNone(kubernetes, namespace, pods)
    const { connection, pod } = await connectToOne(kubernetes, namespace, ready)
    const end = `pod ${namespace}/${pod.metadata.name}`
    const ca = anchors?.["ca-bundle.crt"] ?? ""
    const socket = await kernelSocket(connection)
    const secured =
      ca === "" ? socket : await secure(socket, ca, serverName(namespace, config), end, connection)
    return over(secured, ca !== "", end, connection)
  } catch (error) {
    const { message } = refusal(error, kubernetes, attempt)
    const away = error instanceof KubeError && error.status === 0 && error.reason !== NO_CREDENTIALS
    throw new Failure(away ? `${message}; traffic of the mesh goes on without it` : message, { cause: error })
  }
}

/** Any ready one does; a node that cannot be reached must not hide the others. */
async function connectToOne(kubernetes: Kubernetes, namespace: string, pods: readonly Pod[]) {
  let failure: unknown
  for (const pod of pods) {
    const { name } = pod.metadata
    const ports = pod.spec.containers.flatMap(container => container.ports ?? [])
    const port = ports.find(one => one.name === "api")?.containerPort ?? API_PORT
    try {
      return { connection: await connectToPod(kubernetes.api, { namespace, pod: name, port }), pod }
    } catch (error) {
      failure = error
      if (error instanceof KubeError && error.status === 403) break
    }
  }
  throw failure
}

async function configMap({ api }: Kubernetes, namespace: string, name: string) {
  try {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${name}`
    return ((await api.call({ path })) as { data?: Readonly<Record<string, string>> }).data ?? {}
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return null
    throw error
  }
}

async function whyNone(kubernetes: Kubernetes, namespace: string, pods: readonly Pod[]): Promise<Failure> {
  const path = `/apis/apps/v1/namespaces/${encodeURIComponent(namespace)}/deployments/${DEPLOYMENT}`
  const missing = await kubernetes.api.call({ path }).then(
    () => false,
    (error: unknown) => error instanceof KubeError && error.status === 404,
  )
  if (missing && pods.length === 0)
    return new Failure(
      `conduit is not installed in namespace "${namespace}" of ${kubernetes.what}: ` +
        "conduit install | kubectl apply -f - installs it (-c NAMESPACE names another)",
    )
  const states = pods.map(pod => `${pod.metadata.name}: ${stateOf(pod)}`)
  const why = states.length === 0 ? "it has none" : states.join("; ")
  return new Failure(
    `no pod of ${DEPLOYMENT} in namespace "${namespace}" is ready (${why}): ` +
      `kubectl describe pods -n ${namespace} -l ${COMPONENT_LABEL}=api tells more`,
  )
}

/** The name that the API's certificate bears (ARCHITECTURE.md, "Identity of the control plane"). */
function serverName(namespace: string, config: Readonly<Record<string, string>> | null): string {
  const values = JSON.parse(config?.["values.json"] ?? "{}") as { identityTrustDomain?: string }
  const domain = values.identityTrustDomain ?? "cluster.local"
  return `${DEPLOYMENT}.${namespace}.serviceaccount.identity.${namespace}.${domain}`
}

async function secure(
  socket: Socket,
  ca: string,
  name: string,
  end: string,
  connection: Duplex,
): Promise<Socket> {
  const secured = connectTls({
    socket,
    servername: name,
    ca,
    ALPNProtocols: ["h2"],
    minVersion: "TLSv1.3",
  })
  socket.once("close", () => secured.destroy(new Error("it ended the connection")))
  try {
    await once(secured, "secureConnect", { signal: AbortSignal.timeout(TLS_TIMEOUT_MS) })
    return secured
  } catch (error) {
    secured.destroy()
    socket.destroy()
    const broken = connection.errored?.message
    const late = (error as Error).name === "AbortError"
    const reason = broken ?? (late ? `no answer within ${TLS_TIMEOUT_MS / 1000} s` : (error as Error).message)
    throw new Failure(`${end} did not prove to be ${DEPLOYMENT} of this mesh: ${reason}`, { cause: error })
  }
}

/** @param beneath  the connection to the pod, which knows why it ended */
function over(socket: Socket, tls: boolean, end: string, beneath: Duplex): Way {
  socket.on("error", () => socket.destroy())
  // The connection beneath ends first: a call that fails of it must not be told before.
  const lost = (): string | null => {
    const over = beneath.destroyed || beneath.readableEnded || socket.destroyed
    return over ? (beneath.errored?.message ?? "the pod has gone, or the way to it") : null
  }
  const transport = createConnectTransport({
    baseUrl: `${tls ? "https" : "http"}://${DEPLOYMENT}`,
    httpVersion: "2",
    defaultTimeoutMs: CALL_TIMEOUT_MS,
    interceptors: [wholeLists],
    nodeOptions: { createConnection: () => socket },
  })
  return { transport, end, lost, close: () => void socket.destroy() }
}
