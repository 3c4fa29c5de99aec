// Finds the control plane and calls its public API: an address given, a running local mesh, or a cluster.
import { Code, ConnectError } from "@connectrpc/connect"
import { type ApiClient, createApiClient } from "../protos/mod.ts"
import { Failure, UsageError } from "./failure.ts"
import type { GlobalArgs } from "./flags.ts"

/** The longest a person waits for an answer of the control plane. */
export const CALL_TIMEOUT_MS = 10_000

/** A local mesh that runs on this machine. */
export interface LocalMesh {
  /** Its name (`conduit dev up --name`). */
  readonly name: string
  /** Address of its API on this machine, `127.0.0.1:PORT`. */
  readonly apiAddr: string
}

/** Where the control plane is, and how it was found. */
export interface ControlPlane {
  /** Base address of the API, such as `http://127.0.0.1:8085`. */
  readonly url: string
  /** For sentences: `the local mesh "dev"` or `127.0.0.1:8085`. */
  readonly what: string
}

/** What the search for the control plane asks; tests pass their own. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly localMeshes: () => Promise<readonly LocalMesh[]>
}

/**
 * Finds the control plane: `--api-addr` or CONDUIT_API_ADDR, then a running local mesh.
 *
 * @throws Failure when there is none, or several and none is chosen; UsageError for an address that is none
 */
export async function findControlPlane(args: GlobalArgs, around: Surroundings): Promise<ControlPlane> {
  const given = args["api-addr"] ?? around.env.CONDUIT_API_ADDR
  if (given !== undefined && given !== "") return addressed(given)
  if (args.context !== undefined || args.kubeconfig !== undefined) {
    const flag = args.context !== undefined ? "--context" : "--kubeconfig"
    throw new Failure(
      `${flag} names a Kubernetes cluster, and this version finds local meshes only: ` +
        "pass --api-addr HOST:PORT to name an API by its address",
    )
  }
  const meshes = await around.localMeshes()
  const names = meshes.map(mesh => mesh.name).join(", ")
  const wanted = args.mesh ?? around.env.CONDUIT_DEV_NAME
  if (wanted !== undefined && wanted !== "") {
    const mesh = meshes.find(one => one.name === wanted)
    if (mesh !== undefined) return local(mesh)
    const running = meshes.length === 0 ? "none runs" : `running: ${names}`
    throw new Failure(
      `no local mesh "${wanted}" runs on this machine (${running}); conduit dev up --name ${wanted} starts it`,
    )
  }
  const only = meshes.find(mesh => mesh.name === "dev") ?? (meshes.length === 1 ? meshes[0] : undefined)
  if (only !== undefined) return local(only)
  if (meshes.length > 1) {
    throw new Failure(`several local meshes run (${names}): choose one with --mesh NAME`)
  }
  throw new Failure(
    "no control plane found: no local mesh runs on this machine (conduit dev up -f FILE starts one), " +
      "and no --api-addr HOST:PORT was given",
  )
}

function local(mesh: LocalMesh): ControlPlane {
  return { url: `http://${mesh.apiAddr}`, what: `the local mesh "${mesh.name}"` }
}

function addressed(address: string): ControlPlane {
  const text = address.includes("://") ? address : `http://${address}`
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || url.hostname === "" || !["http:", "https:"].includes(url.protocol)) {
    throw new UsageError(`--api-addr cannot be "${address}"; write HOST:PORT, such as 127.0.0.1:8085`)
  }
  const port = url.port === "" && url.protocol === "http:" && !address.includes("://") ? ":8085" : ""
  return { url: `${url.protocol}//${url.host}${port}`, what: address }
}

/** The search as the command line does it. */
export function surroundings(): Surroundings {
  return {
    env: process.env,
    localMeshes: async () => await (await import("../deploy/mod.ts")).runningMeshes(),
  }
}

/**
 * Calls the API of the control plane that the flags lead to.
 *
 * @param ask the calls to make
 * @throws Failure with a sentence for whatever the control plane or the way to it answers
 */
export async function withApi<T>(args: GlobalArgs, ask: (api: ApiClient) => Promise<T>): Promise<T> {
  const plane = await findControlPlane(args, surroundings())
  return await callApi(plane, ask)
}

/** Calls the API of a control plane that was found. @throws Failure as `withApi` */
export async function callApi<T>(plane: ControlPlane, ask: (api: ApiClient) => Promise<T>): Promise<T> {
  const { createConnectTransport } = await import("@connectrpc/connect-node")
  const transport = createConnectTransport({
    baseUrl: plane.url,
    httpVersion: "1.1",
    defaultTimeoutMs: CALL_TIMEOUT_MS,
  })
  try {
    return await ask(createApiClient(transport))
  } catch (error) {
    throw error instanceof ConnectError ? told(error, plane) : error
  }
}

function told(error: ConnectError, plane: ControlPlane): Failure | UsageError {
  const said = error.rawMessage
  switch (error.code) {
    case Code.InvalidArgument:
      return new UsageError(said)
    case Code.NotFound:
    case Code.FailedPrecondition:
      return new Failure(said, { cause: error })
    case Code.Unimplemented:
      return new Failure(
        `${plane.what} does not know this request: its control plane is older than this conduit`,
        {
          cause: error,
        },
      )
    case Code.DeadlineExceeded:
      return new Failure(`${plane.what} did not answer within ${CALL_TIMEOUT_MS / 1000} s`, { cause: error })
    case Code.Unavailable:
      return new Failure(`cannot reach ${plane.what}: no control plane answers at ${plane.url} (${said})`, {
        cause: error,
      })
    default:
      return new Failure(`the control plane at ${plane.url} failed: ${said} (${Code[error.code]})`, {
        cause: error,
      })
  }
}
