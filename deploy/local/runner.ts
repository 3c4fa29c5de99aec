// The runner: one process that holds a local mesh. It builds our programs, makes the network, starts the control
// plane and the user's objects, serves `conduit dev`, follows edited files, and takes everything down again.
import { mkdirSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { makeAuthority, TokenIssuer } from "../identity/mod.ts"
import { INIT_IMAGE, PROXY_IMAGE } from "../inject/mod.ts"
import { webFiles, writeFiles } from "../web/mod.ts"
import { bundle } from "./bundle.ts"
import { Cluster } from "./cluster.ts"
import { CONTROL_IMAGE, controlPlaneObjects, TRUST_DOMAIN, WEB_PORT } from "./control_plane.ts"
import { type ExecContext, serveControl } from "./control_server.ts"
import type { GivenIdentity } from "./given_identity.ts"
import { LOG_CHECK_MS, rotateLogs } from "./log_rotation.ts"
import { lockMesh, type MeshLock } from "./mesh_lock.ts"
import { type Forward, forwardPort } from "./net/forward.ts"
import { Network } from "./net/network.ts"
import { type KubeObject, objectKey } from "./objects/kube_object.ts"
import { ManifestsFolder } from "./objects/manifests_folder.ts"
import { reviewPod } from "./pod_review.ts"
import { type MeshReport, reportOf } from "./report.ts"
import {
  isRunning,
  type MeshState,
  meshFolder,
  readState,
  removeLeftovers,
  thisRunner,
  writeState,
} from "./state.ts"
import { watchFiles } from "./watch_files.ts"

/** On `down` a pod has at most this long; people wait, and nothing here outlives the mesh anyway. */
export const DOWN_GRACE_MS = 2_000

/** Forwards that every mesh has: to its API and its dashboard. */
const OWN_FORWARDS = 2

/** `iss` of the tokens of a local mesh. */
const TOKEN_ISSUER = "https://conduit.local"

/** A port of 127.0.0.1 that leads to a Service. */
export interface ForwardRequest {
  /** 0 for any free port. */
  readonly localPort: number
  readonly namespace: string
  readonly service: string
  readonly port: number
}

/** What to run. */
export interface RunnerOptions {
  readonly name: string
  readonly version: string
  readonly conduitNamespace: string
  /** Objects, checked by {@link loadManifests}. */
  readonly objects: readonly KubeObject[]
  /** Files and folders that they came from, to follow edits; empty for none. */
  readonly sources: readonly string[]
  /** Reads the sources again. @throws ManifestError */
  readonly reload: () => readonly KubeObject[]
  readonly forwards: readonly ForwardRequest[]
  /** Trust anchors and issuer that were given; without them the mesh makes its own. */
  readonly identity?: GivenIdentity
  /** Folder that containers start in when they name none. */
  readonly workingDir: string
  /** Told things that belong to no pod, such as a broken edit. */
  readonly onMessage: (message: string) => void
  /** Called when the mesh was asked to end by another command, or lost its network. */
  readonly onEnd: () => void
}

/** A running mesh. */
export interface RunningMesh {
  readonly state: MeshState
  report(): MeshReport
  /** Ends everything and removes the mesh's folder. */
  stop(): Promise<void>
}

/** A mesh of that name runs already. */
export class NameTakenError extends Error {
  /** @param pid  of its runner; null while that is not known yet */
  constructor(name: string, pid: number | null) {
    const who = pid === null ? "" : ` (process ${pid})`
    super(
      `a local mesh named "${name}" runs already${who}: conduit dev apply changes it, conduit dev down --name ${name} ends it, --name starts another beside it`,
    )
    this.name = "NameTakenError"
  }
}

/**
 * Starts a mesh; returns once everything is on its way, not yet ready.
 *
 * @throws NameTakenError, or an Error with a sentence; nothing is left behind then
 */
export async function startMesh(options: RunnerOptions): Promise<RunningMesh> {
  const { name } = options
  const before = readState(name)
  if (before !== null && isRunning(before)) throw new NameTakenError(name, before.runner.pid)
  const lock = lockMesh(name)
  // Between a look and a claim another may begin; it may not have said yet who it is.
  if (lock === null) throw new NameTakenError(name, readState(name)?.runner.pid ?? null)
  try {
    return await startLocked(options, lock)
  } catch (error) {
    lock.release()
    throw error
  }
}

async function startLocked(options: RunnerOptions, lock: MeshLock): Promise<RunningMesh> {
  const { name } = options
  if (await removeLeftovers(name)) options.onMessage(`removed what an earlier mesh "${name}" had left`)
  const folder = meshFolder(name)
  const state: MeshState = {
    version: 1,
    name,
    id: crypto.randomUUID(),
    runner: thisRunner(),
    startedAt: new Date().toISOString(),
    apiAddr: "",
    webAddr: "",
    conduitNamespace: options.conduitNamespace,
    controlSocket: join(folder, "control.sock"),
    relaySocket: join(folder, "relay.sock"),
    sources: options.sources.map(source => resolve(source)),
  }
  const mesh = new Mesh(options, folder, state, lock)
  try {
    for (const part of ["logs", "build", "bin", "pods"]) mkdirSync(join(folder, part), { recursive: true })
    writeState(state)
    await mesh.start()
  } catch (error) {
    await mesh.stop()
    throw withFolder(error, folder)
  }
  return mesh
}

/** A system's error code says little to a person: which folder, and what to do. */
function withFolder(error: unknown, folder: string): unknown {
  const code = (error as NodeJS.ErrnoException | null)?.code
  const why =
    code === "ENOSPC"
      ? "no space is left on its disk"
      : code === "EDQUOT"
        ? "the quota of its disk is used up"
        : code === "EROFS"
          ? "its disk is read-only"
          : null
  if (why === null) return error
  return new Error(`the mesh's files cannot be written to ${folder}: ${why}; a mesh needs some 10 MB there`, {
    cause: error,
  })
}

/** As Promise.all, but no one is still at work when it fails: what has begun must be there to be ended. */
async function allOrNone<Work extends readonly unknown[] | []>(
  work: Work,
): Promise<{ -readonly [Index in keyof Work]: Awaited<Work[Index]> }> {
  await Promise.allSettled(work)
  return await Promise.all(work)
}

class Mesh implements RunningMesh {
  state: MeshState
  readonly #options: RunnerOptions
  readonly #folder: string
  #network: Network | null = null
  #cluster: Cluster | null = null
  #control: { stop(): void } | null = null
  #forwards: { forward: Forward; target: string }[] = []
  #unwatch: () => void = () => {}
  #rotation: ReturnType<typeof setInterval> | null = null
  #stopping: Promise<void> | null = null
  readonly #lock: MeshLock

  constructor(options: RunnerOptions, folder: string, state: MeshState, lock: MeshLock) {
    this.#lock = lock
    this.#options = options
    this.#folder = folder
    this.state = state
  }

  async start(): Promise<MeshState> {
    const { state } = this
    const options = this.#options
    const build = join(this.#folder, "build")
    const bun = join(this.#folder, "bin", "bun")
    writeFileSync(bun, "", { mode: 0o755 })
    const web = join(this.#folder, "web")
    const [proxy, control, network] = await allOrNone([
      bundle("proxy/main.ts", build, "proxy"),
      bundle("control/main.ts", build, "control"),
      Network.start({
        meshId: state.id,
        relaySocket: state.relaySocket,
        logFile: join(this.#folder, "logs", "router.log"),
        onLost: reason => {
          options.onMessage(`the mesh's network is lost: ${reason}`)
          options.onEnd()
        },
      }).then(network => {
        this.#network = network
        return network
      }),
      webFiles().then(files => writeFiles(web, files)),
    ])
    const images: readonly (readonly [string, readonly string[]])[] = [
      // No --smol: under the demo's load it changed neither memory nor CPU (interleaved runs: 9.8 and 10.1 MB
      // anonymous a proxy without, 10.3 and 9.8 with it; 2.1 s of CPU in 10 s for ten proxies either way).
      [PROXY_IMAGE, [bun, proxy]],
      [INIT_IMAGE, []],
      [CONTROL_IMAGE, [bun, control]],
    ]
    const tokenIssuer = new TokenIssuer(TOKEN_ISSUER, Date.now)
    const { issuanceLifetime, clockSkewAllowance, authority } = options.identity ?? {}
    const { anchor, issuer, issuerKey } =
      authority ??
      (await makeAuthority({
        trustDomain: TRUST_DOMAIN,
        controlNamespace: options.conduitNamespace,
        nowMs: Date.now(),
      }))
    const cluster = new Cluster({
      tokenIssuer,
      meshId: state.id,
      version: options.version,
      conduitNamespace: options.conduitNamespace,
      network,
      manifests: new ManifestsFolder(join(this.#folder, "manifests")),
      folder: this.#folder,
      workingDir: options.workingDir,
      defaultInject: "enabled",
      // The project may lie where the proxy's user cannot go; its runtime is shown where it can.
      sandboxMounts: [[process.execPath, bun]],
      path: `${process.env.PATH ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}:${join(this.#folder, "bin")}`,
      commandOfImage: image =>
        images.find(([name]) => image === name || image.startsWith(`${name}:`))?.[1] ?? null,
      reviewPod: (pod, plugins, signal) => reviewPod(`http://${this.state.apiAddr}`, pod, plugins, signal),
      onChange: () => {},
      onProblem: options.onMessage,
    })
    this.#cluster = cluster
    const manifests = join(this.#folder, "manifests")
    cluster.apply([
      ...controlPlaneObjects(options.conduitNamespace, manifests, web, options.version, {
        trustAnchors: anchor,
        issuer,
        issuerKey,
        jwks: tokenIssuer.jwks,
        tokenIssuer: tokenIssuer.issuer,
        issuanceLifetime,
        clockSkewAllowance,
      }),
      ...options.objects,
    ])
    this.#control = serveControl(state.controlSocket, {
      status: () => this.report(),
      apply: objects => cluster.apply(objects),
      delete: objects => cluster.delete(objects),
      execContext: (namespace, pod, container) => this.#execContext(namespace, pod, container),
      down: () => options.onEnd(),
    })
    const ofPlane = { localPort: 0, namespace: options.conduitNamespace }
    const api = this.#forward({ ...ofPlane, service: "conduit-api", port: 8085 })
    const dashboard = this.#forward({ ...ofPlane, service: "conduit-web", port: WEB_PORT })
    for (const request of options.forwards) this.#forward(request)
    if (options.sources.length > 0) this.#follow()
    this.#rotation = setInterval(() => rotateLogs(join(this.#folder, "logs")), LOG_CHECK_MS)
    this.state = { ...state, apiAddr: `127.0.0.1:${api.port}`, webAddr: `127.0.0.1:${dashboard.port}` }
    writeState(this.state)
    return this.state
  }

  report(): MeshReport {
    const cluster = this.#cluster
    return {
      name: this.state.name,
      apiAddr: this.state.apiAddr,
      pods: cluster === null ? [] : cluster.pods.map(pod => reportOf(pod, cluster)),
      forwards: this.#forwards
        .slice(OWN_FORWARDS)
        .map(({ forward, target }) => ({ port: forward.port, target })),
    }
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end()
    return this.#stopping
  }

  async #end(): Promise<void> {
    this.#unwatch()
    if (this.#rotation !== null) clearInterval(this.#rotation)
    for (const { forward } of this.#forwards) forward.stop()
    await this.#cluster?.stop(DOWN_GRACE_MS).catch((error: unknown) => {
      this.#options.onMessage(`a pod could not be ended in good order: ${String(error)}`)
    })
    await this.#network?.stop()
    this.#control?.stop()
    await removeLeftovers(this.state.name)
    this.#lock.release()
  }

  #forward(request: ForwardRequest): Forward {
    const forward = forwardPort(request.localPort, this.state.relaySocket, () => {
      const address = this.#cluster?.serviceAddress(request.namespace, request.service)
      return address ? { address, port: request.port } : null
    })
    this.#forwards.push({ forward, target: `${request.service}.${request.namespace}:${request.port}` })
    return forward
  }

  #execContext(namespace: string, podName: string, containerName: string): ExecContext {
    const pod = this.#cluster?.pods.find(each => each.namespace === namespace && each.name === podName)
    if (pod === undefined) throw new Error(`there is no pod "${podName}" in namespace "${namespace}"`)
    return pod.execContext(containerName)
  }

  /** Objects that came from files follow the files; what was applied by hand stays. */
  #follow(): void {
    const { sources, reload, onMessage } = this.#options
    const known = new Map(this.#options.objects.map(object => [objectKey(object), JSON.stringify(object)]))
    this.#unwatch = watchFiles(sources, () => {
      try {
        const objects = reload()
        const present = new Set(objects.map(objectKey))
        const changed = objects.filter(object => known.get(objectKey(object)) !== JSON.stringify(object))
        const gone = [...known.keys()].filter(key => !present.has(key)).map(objectOfKey)
        if (changed.length + gone.length === 0) return
        const changes = [...(this.#cluster?.apply(changed) ?? []), ...(this.#cluster?.delete(gone) ?? [])]
        known.clear()
        for (const object of objects) known.set(objectKey(object), JSON.stringify(object))
        for (const { kind, name, action } of changes) {
          if (action !== "unchanged") onMessage(`${kind.toLowerCase()}/${name} ${action} (file edited)`)
        }
      } catch (error) {
        onMessage(`the edit is not applied: ${error instanceof Error ? error.message : String(error)}`)
      }
    })
  }
}

function objectOfKey(key: string): Pick<KubeObject, "kind" | "metadata"> {
  const [kind = "", namespace = "", name = ""] = key.split("/")
  return { kind, metadata: namespace === "" ? { name } : { name, namespace } }
}
