// A connection to the dashboard of a control plane: of a local mesh by its address, of a cluster through the API server.
import { once } from "node:events"
import { connect } from "node:net"
import type { Duplex } from "node:stream"
import type { ControlPlane } from "../connect.ts"
import { Failure } from "../failure.ts"
import { OPEN_TIMEOUT_MS } from "./local_port.ts"

/** Port of the dashboard where its pod does not name one. */
const WEB_PORT = 8084

/** Connects. @throws Failure with a sentence: no such dashboard, not ready, no right to it */
export async function connectToWeb(plane: ControlPlane): Promise<Duplex> {
  if (plane.kubernetes !== undefined) {
    const { kubernetes, controlNamespace } = plane
    const { connectToService } = await import("../cluster/plane_pod.ts")
    const { refusal } = await import("../kubernetes.ts")
    try {
      const to = { component: "web", port: WEB_PORT }
      return (await connectToService(kubernetes, controlNamespace, to)).connection
    } catch (error) {
      throw refusal(error, kubernetes, `reach the dashboard in namespace "${controlNamespace}"`)
    }
  }
  const { webAddr, what } = plane
  if (webAddr === undefined || webAddr === "")
    throw new Failure(
      `the dashboard of ${what} cannot be found: --mesh, --context or --kubeconfig lead to one, an address of the API does not`,
    )
  const at = webAddr.lastIndexOf(":")
  const socket = connect({ host: webAddr.slice(0, at), port: Number(webAddr.slice(at + 1)) })
  try {
    await once(socket, "connect", { signal: AbortSignal.timeout(OPEN_TIMEOUT_MS) })
    return socket
  } catch (error) {
    socket.destroy()
    throw new Failure(`the dashboard of ${what} does not answer at ${webAddr}`, { cause: error })
  }
}
