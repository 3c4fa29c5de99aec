// Finds the control plane and calls its public API: an address given, a running local mesh, or a cluster.
import { Code, ConnectError, type Transport } from "@connectrpc/connect"
import manifest from "../package.json" with { type: "json" }
import { type ApiClient, createApiClient, ErrorDetailSchema, wholeLists } from "../protos/mod.ts"
import { Failure, UsageError, unknownRequest } from "./failure.ts"
import { type GlobalArgs, namespaceOf } from "./flags.ts"
import { type Kubernetes, planeNamespace } from "./kubernetes.ts"
import { say } from "./output.ts"

/** The longest a person waits for an answer of the control plane. */
export const CALL_TIMEOUT_MS = 10_000

/** A local mesh that runs on this machine. */
export interface LocalMesh {
  /** Its name (`conduit dev up --name`). */
  readonly name: string
  /** Address of its API on this machine, `127.0.0.1:PORT`. */
  readonly apiAddr: string
  /** Address of its dashboard on this machine, `127.0.0.1:PORT`; absent or "" where it has none. */
  readonly webAddr?: string
}

/** A control plane whose API has an address. */
export interface AddressedPlane {
  /** Base address of the API, such as `http://127.0.0.1:8085`. */
  readonly url: string
  /** For sentences: `the local mesh "dev"` or `127.0.0.1:8085`. */
  readonly what: string
  /** Name of the local mesh; absent where only the API's address is known. */
  readonly local?: string
  /** `host:port` of its dashboard; absent where only the API's address is known. */
  readonly webAddr?: string
  readonly kubernetes?: undefined
}

/** A control plane in a Kubernetes cluster, which is reached through its API server. */
export interface ClusterPlane {
  readonly kubernetes: Kubernetes
  /** Namespace of the control plane. */
  readonly controlNamespace: string
  /** For sentences: `the cluster of context "prod"`. */
  readonly what: string
}

/** Where the control plane is, and how it was found. */
export type ControlPlane = AddressedPlane | ClusterPlane

/** What the search for the control plane asks; tests pass their own. */
export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly localMeshes: () => Promise<readonly LocalMesh[]>
  /** The cluster of --kubeconfig and --context; null where there is no kubeconfig, and the flags name none. */
  readonly kubernetes: (args: GlobalArgs) => Promise<Kubernetes | null>
}

/**
 * Finds the control plane, in SEARCH_ORDER: what was typed, what the environment names, a running local mesh, a cluster.
 *
 * @throws Failure when there is none, or several and none is chosen; UsageError for an address that is none, or flags that
 *   name two of them
 */
export async function findControlPlane(args: GlobalArgs, around: Surroundings): Promise<ControlPlane> {
  const { env } = around
  const flags = (["api-addr", "mesh", "context", "kubeconfig"] as const).filter(
    name => given(args[name]) !== null,
  )
  const [flag, other] = flags
  if (flag !== undefined && other !== undefined && flag !== "context")
    throw new UsageError(`--${flag} and --${other} each name a control plane: give one of them`)
  if (flag === "context" || flag === "kubeconfig") {
    const kubernetes = await around.kubernetes(args)
    if (kubernetes === null)
      throw new Failure(`--${flag} names a Kubernetes cluster, and there is no kubeconfig`)
    return inCluster(kubernetes, args, env)
  }
  const address = given(args["api-addr"]) ?? (flag === undefined ? given(env.CONDUIT_API_ADDR) : null)
  if (address !== null) return addressed(address)
  const meshes = await around.localMeshes()
  const names = meshes.map(mesh => mesh.name).join(", ")
  const wanted = given(args.mesh) ?? given(env.CONDUIT_DEV_NAME)
  if (wanted !== null) {
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
  const kubernetes = await around.kubernetes(args)
  if (kubernetes !== null) return inCluster(kubernetes, args, env)
  throw new Failure(
    "no control plane found: no local mesh runs on this machine (conduit dev up -f FILE starts one), " +
      "there is no kubeconfig (KUBECONFIG, ~/.kube/config), and no --api-addr HOST:PORT was given",
  )
}

function given(value: string | undefined): string | null {
  return value === undefined || value === "" ? null : value
}

function inCluster(kubernetes: Kubernetes, args: GlobalArgs, env: Surroundings["env"]): ClusterPlane {
  return {
    kubernetes,
    controlNamespace: planeNamespace(args, env),
    what: `the cluster of ${kubernetes.what}`,
  }
}

function local(mesh: LocalMesh): AddressedPlane {
  const { name, apiAddr, webAddr = "" } = mesh
  return { url: `http://${apiAddr}`, webAddr, local: name, what: `the local mesh "${name}"` }
}

function addressed(address: string): AddressedPlane {
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
    kubernetes: async args => await (await import("./kubernetes.ts")).kubernetesOf(args),
  }
}

/** An API that can be called, now. */
export interface Way {
  readonly transport: Transport
  /** What is at its other end, for sentences: `http://127.0.0.1:8085` or `pod conduit/conduit-api-6f4-x2`. */
  readonly end: string
  /** Why it leads nowhere any more; null while it does. */
  lost(): string | null
  close(): void
}

/** The API of a control plane. The way to it is opened by the first call, and anew when it was lost. */
export class ApiConnection implements AsyncDisposable {
  /** For sentences: `the local mesh "dev"`. */
  readonly what: string
  /** The namespace that the flags mean: "" for all; where they name none the context's, else `default`. */
  readonly namespace: string
  /** The cluster around the control plane; null for one that has an address. */
  readonly cluster: ClusterPlane | null
  /** Name of the local mesh; null where there is none. */
  readonly local: string | null
  /** Base address of the API; null for one in a cluster. */
  readonly url: string | null
  private plane: ControlPlane | null
  private readonly find: () => Promise<ControlPlane>
  private way: Way | null = null

  /** @param find  looks for the control plane again: a local mesh that was started anew has another address */
  constructor(args: GlobalArgs, plane: ControlPlane, find: () => Promise<ControlPlane>) {
    this.what = plane.what
    this.namespace = namespaceOf(args, plane.kubernetes?.namespace)
    this.cluster = plane.kubernetes === undefined ? null : plane
    this.local = plane.kubernetes === undefined ? (plane.local ?? null) : null
    this.url = plane.kubernetes === undefined ? plane.url : null
    this.plane = plane
    this.find = find
  }

  /**
   * Makes calls; `transport` is for services beside the API's own.
   *
   * @throws Failure with a sentence for whatever the control plane or the way to it answers
   */
  async call<T>(ask: (api: ApiClient, transport: Transport) => Promise<T>): Promise<T> {
    const before = this.way?.lost() ?? null
    if (this.way !== null && before !== null) {
      say(`conduit: the connection to ${this.way.end} was lost (${before}); looking for another`)
      this.close()
    }
    this.plane ??= await this.find()
    const { plane } = this
    this.way ??= plane.kubernetes === undefined ? await byAddress(plane.url) : await throughCluster(plane)
    const { way } = this
    try {
      return await ask(createApiClient(way.transport), way.transport)
    } catch (error) {
      if (!(error instanceof ConnectError)) throw error
      const lost = way.lost()
      if (lost !== null || error.code === Code.Unavailable) this.close()
      // This program asks for kinds that it knows: one that the API does not is of a later release.
      const unknown = error.findDetails(ErrorDetailSchema)[0]?.reason === "UNKNOWN_KIND"
      if (lost === null && (error.code === Code.Unimplemented || unknown))
        throw unknownRequest(plane.what, manifest.version, await versionAt(way))
      if (lost === null) throw told(error, plane, way)
      throw new Failure(`the connection to ${way.end} was lost (${lost})`, { cause: error })
    }
  }

  /** Lets go of the way; the next call looks for one again. */
  close(): void {
    this.way?.close()
    this.way = null
    this.plane = null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close()
  }
}

/**
 * The API of the control plane that the flags lead to. Use with `await using`.
 *
 * @throws as findControlPlane
 */
export async function openApi(args: GlobalArgs): Promise<ApiConnection> {
  const find = async (): Promise<ControlPlane> => await findControlPlane(args, surroundings())
  return new ApiConnection(args, await find(), find)
}

/**
 * Calls the API of the control plane that the flags lead to.
 *
 * @param ask  the calls to make; gets the namespace that the flags mean, "" for all
 * @throws Failure with a sentence for whatever the control plane or the way to it answers
 */
export async function withApi<T>(
  args: GlobalArgs,
  ask: (api: ApiClient, namespace: string) => Promise<T>,
): Promise<T> {
  await using connection = await openApi(args)
  return await connection.call(api => ask(api, connection.namespace))
}

async function byAddress(url: string): Promise<Way> {
  const { createConnectTransport } = await import("@connectrpc/connect-node")
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: "1.1",
    defaultTimeoutMs: CALL_TIMEOUT_MS,
    interceptors: [wholeLists],
  })
  return { transport, end: url, lost: () => null, close: () => {} }
}

async function throughCluster({ kubernetes, controlNamespace }: ClusterPlane): Promise<Way> {
  const { wayToApi } = await import("./cluster/way_to_api.ts")
  return await wayToApi(kubernetes, controlNamespace)
}

/** Version of the control plane; null where it does not say. */
async function versionAt({ transport }: Way): Promise<string | null> {
  try {
    return (await createApiClient(transport).version({})).controlPlane || null
  } catch {
    return null
  }
}

function told(error: ConnectError, plane: ControlPlane, way: Way): Failure | UsageError {
  const hint = error.findDetails(ErrorDetailSchema)[0]?.hint ?? ""
  const said = hint === "" ? error.rawMessage : `${error.rawMessage}; ${hint}`
  switch (error.code) {
    case Code.InvalidArgument:
      return new UsageError(said)
    case Code.NotFound:
    case Code.FailedPrecondition:
      return new Failure(said, { cause: error })
    case Code.Unauthenticated:
    case Code.PermissionDenied:
      return new Failure(`the API at ${way.end} refuses: ${said}`, { cause: error })
    case Code.DeadlineExceeded:
      return new Failure(`${plane.what} did not answer within ${CALL_TIMEOUT_MS / 1000} s`, { cause: error })
    case Code.Unavailable:
      return new Failure(`cannot reach ${plane.what}: no control plane answers at ${way.end} (${said})`, {
        cause: error,
      })
    default:
      return new Failure(`the control plane at ${way.end} failed: ${said} (${Code[error.code]})`, {
        cause: error,
      })
  }
}
