// A connection to a port of a pod, through the API server and the pod's kubelet: `pods/portforward` over a WebSocket
// (v4.channel.k8s.io), which carries one connection. To the pod it comes from its own loopback interface.
import { Duplex } from "node:stream"
import { type KubeApi, KubeError } from "./api.ts"

const PROTOCOL = "v4.channel.k8s.io"
/** Every message begins with its channel. */
const DATA_CHANNEL = 0
const ERROR_CHANNEL = 1
/** The first message of each channel is the port, two bytes, and nothing else. */
const PORT_BYTES = 2

/** A port of a pod. */
export interface PodPort {
  readonly namespace: string
  readonly pod: string
  readonly port: number
}

/**
 * Connects. The connection ends with an error that is a sentence when the pod or the way to it goes away.
 *
 * What comes faster than it is read is kept: who is asked is asked for answers of a bounded size.
 *
 * @throws KubeError when the API server refuses or cannot be reached
 */
export async function connectToPod(api: KubeApi, target: PodPort): Promise<Duplex> {
  const { namespace, pod, port } = target
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(pod)}/portforward?ports=${port}`
  return await api.webSocket(path, PROTOCOL, socket => overChannels(socket, target))
}

function overChannels(socket: WebSocket, target: PodPort): Duplex {
  const skip = [PORT_BYTES, PORT_BYTES]
  let complaint = ""
  const connection = new Duplex({
    // One message ends both directions: there is no other way to tell.
    allowHalfOpen: false,
    read() {},
    write(chunk: Buffer, _encoding, done) {
      const message = Buffer.allocUnsafe(1 + chunk.length)
      message[0] = DATA_CHANNEL
      chunk.copy(message, 1)
      socket.send(message)
      done()
    },
    destroy(error, done) {
      socket.terminate()
      done(error)
    },
  })
  // It may fail before whoever asked for it listens; `errored` and reading tell.
  connection.on("error", () => {})
  socket.addEventListener("message", ({ data }) => {
    const message = Buffer.from(data as ArrayBuffer)
    const channel = message[0] ?? DATA_CHANNEL
    const left = skip[channel] ?? 0
    skip[channel] = Math.max(0, left - (message.length - 1))
    const payload = message.subarray(1 + left)
    if (payload.length === 0) return
    if (channel === DATA_CHANNEL) connection.push(payload)
    else if (channel === ERROR_CHANNEL) complaint += payload.toString()
  })
  socket.addEventListener("close", () => {
    // What came before the end is still read.
    if (complaint === "") connection.push(null)
    else connection.destroy(new KubeError(told(complaint, target)))
  })
  return connection
}

/** Kubelets write a chain of reasons with names of network namespaces in it. */
function told(complaint: string, { namespace, pod, port }: PodPort): string {
  if (complaint.includes("connection refused"))
    return `nothing listens on port ${port} of pod ${namespace}/${pod}`
  return `the node of pod ${namespace}/${pod} cannot forward to it: ${complaint.trim().slice(0, 300)}`
}
