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
import { ANCHORS_NAME, CONFIG_NAME } from "../../deploy/install/mod.ts"
import { KubeError, kernelSocket, NO_CREDENTIALS } from "../../deploy/kubernetes/mod.ts"
import { wholeLists } from "../../protos/mod.ts"
import { CALL_TIMEOUT_MS, type Way } from "../connect.ts"
import { Failure } from "../failure.ts"
import { type Kubernetes, refusal } from "../kubernetes.ts"
import { connectToService } from "./plane_pod.ts"

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
    const connecting = connectToService(kubernetes, namespace, { component: "api", port: API_PORT })
    // It may fail first, and is asked below.
    connecting.catch(() => {})
    const [anchors, config] = await Promise.all([
      configMap(kubernetes, namespace, ANCHORS_NAME),
      configMap(kubernetes, namespace, CONFIG_NAME),
    ]).catch(async (error: unknown) => {
      await connecting.then(
        ({ connection }) => connection.destroy(),
        () => {},
      )
      throw error
    })
    const { connection, pod } = await connecting
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

async function configMap({ api }: Kubernetes, namespace: string, name: string) {
  try {
    const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/configmaps/${name}`
    return ((await api.call({ path })) as { data?: Readonly<Record<string, string>> }).data ?? {}
  } catch (error) {
    if (error instanceof KubeError && error.status === 404) return null
    throw error
  }
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
