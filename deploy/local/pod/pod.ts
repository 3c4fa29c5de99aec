// The life of one pod, as a kubelet leads it: sandbox, init containers, native sidecars, containers, and an
// orderly end.
import { rmSync } from "node:fs"
import { join } from "node:path"
import { type Container, INIT_CONTAINER, type PodSpec, PROXY_CONTAINER } from "../../inject/mod.ts"
import { applyPodPatch } from "../../plugin_object/mod.ts"
import { parseRedirectArgs } from "../../redirect/mod.ts"
import type { PodAddress } from "../net/addresses.ts"
import type { Network } from "../net/network.ts"
import type { KubeObject } from "../objects/kube_object.ts"
import type { PodReview } from "../pod_review.ts"
import { sleepUntil } from "./abortable_sleep.ts"
import { awaitSources } from "./await_sources.ts"
import { BackOff } from "./back_off.ts"
import type { ContainerCommand } from "./container.ts"
import { type ContainerHome, ContainerLife } from "./container_life.ts"
import { environmentOf, expand } from "./environment.ts"
import { hostsFile } from "./hosts_file.ts"
import { type ContainerStatus, kubeletReport, type PodPhase } from "./pod_status.ts"
import { type Sandbox, startSandbox } from "./sandbox.ts"
import { mountScript, prepareVolumes, refreshVolumes, type VolumeSources } from "./volumes.ts"

/** How long a terminating pod goes on serving after it was taken from all endpoints: proxies learn of it meanwhile. */
export const ENDPOINT_SETTLE_MS = 300
/** Sidecars get at least this long after the application has gone. */
export const SIDECAR_GRACE_MS = 2_000

/** What a pod needs of the mesh around it. */
export interface PodHost {
  readonly meshId: string
  readonly network: Network
  /** Folder of the mesh's pods; each gets one below it. */
  readonly podsFolder: string
  logFile(namespace: string, pod: string, container: string): string
  readonly defaultWorkingDir: string
  baseEnvironment(pod: KubeObject): Record<string, string>
  sources(pod: KubeObject): VolumeSources
  resolvConf(namespace: string): string
  /** Lines of sh run in the sandbox before anything else. */
  readonly sandboxMounts: readonly [from: string, to: string][]
  /** Asks plugins about a pod that is injected; null where there are none to ask. */
  review(pod: Pod, signal: AbortSignal): Promise<PodReview> | null
  /** Told what concerns the pod and does not keep it from running. */
  warn(pod: Pod, message: string): void
  /** The command for an image of our own; null for all others. */
  commandOfImage(image: string): readonly string[] | null
  /** Something about the pod changed. */
  onChange(pod: Pod): void
  /** Resolves once the pod's not being ready has reached Services and manifests. */
  settled(): Promise<void>
}

/** One pod. Created by a controller, started by {@link Pod.start}, ended by {@link Pod.stop}. */
export class Pod {
  readonly object: KubeObject
  readonly address: PodAddress
  readonly createdMs: number
  phase: PodPhase = "Pending"
  /** Why the pod as a whole does not run; "" when nothing is wrong. */
  reason = ""
  ready = false
  terminating = false
  readonly #host: PodHost
  readonly #containers: readonly ContainerLife[]
  readonly #ending = new AbortController()
  #sandbox: Sandbox | null = null
  #volumes: Map<string, string> = new Map()
  #running: Promise<void> = Promise.resolve()
  #stopped: Promise<void> | null = null

  constructor(object: KubeObject, address: PodAddress, host: PodHost) {
    this.object = object
    this.address = address
    this.createdMs = Date.now()
    this.#host = host
    const home = this.#home()
    const { initContainers = [], containers } = this.spec
    this.#containers = [
      ...initContainers.map(spec => {
        return new ContainerLife(spec, spec.restartPolicy === "Always" ? "sidecar" : "init", home)
      }),
      ...containers.map(spec => new ContainerLife(spec, "main", home)),
    ]
    this.#refreshStatus()
  }

  get name(): string {
    return this.object.metadata.name
  }

  get namespace(): string {
    return this.object.metadata.namespace ?? "default"
  }

  get spec(): PodSpec {
    return this.object.spec as unknown as PodSpec
  }

  /** Whether it has ended for good (Jobs' pods, or restartPolicy other than Always). */
  get finished(): boolean {
    return this.phase === "Succeeded" || this.phase === "Failed"
  }

  /** Whether it has a proxy. */
  get meshed(): boolean {
    return this.#containers.some(({ spec }) => spec.name === PROXY_CONTAINER)
  }

  /** All containers, init containers first. */
  get containers(): readonly ContainerStatus[] {
    return this.#containers.map(({ status }) => status)
  }

  /** Host process id of the sandbox, 0 before there is one. */
  get sandboxPid(): number {
    return this.#sandbox?.pid ?? 0
  }

  /**
   * How to run one more command in a running container.
   *
   * @throws Error when there is no such container, or it does not run
   */
  execContext(container: string): {
    pid: number
    environment: Record<string, string>
    workingDir: string
    user: number | null
    group: number | null
  } {
    const life = this.#containers.find(({ spec }) => spec.name === container)
    if (life === undefined) {
      const names = this.#containers.map(({ spec }) => spec.name).join(", ")
      throw new Error(`pod "${this.name}" has no container "${container}"; it has ${names}`)
    }
    const { pid, spec, status } = life
    if (pid === 0)
      throw new Error(`container "${container}" of pod "${this.name}" does not run: ${status.reason}`)
    const { environment, workingDir, user, group } = this.#commandOf(spec)
    return { pid, environment, workingDir, user, group }
  }

  /** Begins the pod's life; what goes wrong is told by its status. */
  start(): void {
    this.#running = this.#live().catch((error: unknown) => {
      if (this.#ending.signal.aborted) return
      this.phase = "Failed"
      this.#change(error instanceof Error ? error.message : String(error))
    })
  }

  /**
   * Ends the pod: out of the endpoints, preStop, SIGTERM, and SIGKILL after the grace period.
   *
   * @param graceMs  at most this long, instead of the pod's own terminationGracePeriodSeconds
   */
  stop(graceMs?: number): Promise<void> {
    this.#stopped ??= this.#end(graceMs)
    return this.#stopped
  }

  /** ConfigMaps or Secrets of its namespace have changed: what shows them follows. */
  sourcesChanged(): void {
    if (this.terminating || this.finished || this.#volumes.size === 0) return
    refreshVolumes(this.spec, this.#folder, this.#host.sources(this.object))
  }

  /** Kills everything at once. */
  kill(): void {
    this.terminating = true
    this.#ending.abort()
    this.#sandbox?.kill()
  }

  /** What plugins say of it, before anything is made of it; asked again while they refuse it, as controllers do. */
  async #review(): Promise<void> {
    const { signal } = this.#ending
    const pauses = new BackOff()
    while (!signal.aborted) {
      const asked = this.#host.review(this, signal)
      if (asked === null) return
      this.#change("plugins are asked about it")
      const { denied, warnings, patchJson } = await asked
      if (signal.aborted) return
      for (const warning of warnings) this.#host.warn(this, warning)
      if (denied === "") {
        applyPodPatch(this.object.metadata, patchJson)
        return this.#change("")
      }
      this.#change(denied)
      await sleepUntil(pauses.take(), signal)
    }
  }

  async #live(): Promise<void> {
    const host = this.#host
    if (this.meshed) await this.#review()
    if (this.#ending.signal.aborted) return
    const folder = this.#folder
    const hostname = (this.spec.hostname ?? this.name).slice(0, 63)
    this.#sandbox = await startSandbox({
      meshId: host.meshId,
      folder,
      hostname,
      hosts: hostsFile(this.spec, this.namespace, hostname, this.address.v4),
      resolvConf: host.resolvConf(this.namespace),
      mounts: host.sandboxMounts,
    })
    const sandbox = this.#sandbox
    if (this.#ending.signal.aborted) return sandbox.kill()
    await host.network.attach(sandbox.pid, this.address)
    this.#volumes = await awaitSources(
      () => prepareVolumes(this.spec, folder, host.sources(this.object)),
      this.#ending.signal,
      reason => this.#change(reason),
    )
    this.reason = ""
    for (const life of this.#containers) {
      if (life.status.kind === "main" || this.#ending.signal.aborted) break
      if (life.status.kind === "sidecar") await life.keep()
      else if (!(await this.#runInit(life))) return
    }
    if (this.#ending.signal.aborted) return
    this.phase = "Running"
    this.#change()
    const main = this.#containers.filter(({ status }) => status.kind === "main")
    for (const life of main) void life.keep()
    await Promise.all(main.map(({ done }) => done))
    if (this.#ending.signal.aborted) return
    this.phase = main.every(({ status }) => status.exitCode === 0) ? "Succeeded" : "Failed"
    this.#change()
    await this.#endSidecars(SIDECAR_GRACE_MS)
    sandbox.kill()
  }

  /** @returns false when it failed for good */
  async #runInit(life: ContainerLife): Promise<boolean> {
    const { spec, status } = life
    if (spec.name === INIT_CONTAINER && this.#host.commandOfImage(spec.image ?? "")?.length === 0) {
      await this.#host.network.redirect(this.sandboxPid, parseRedirectArgs(spec.args ?? []))
      Object.assign(status, { state: "terminated", exitCode: 0, ready: true, reason: "" })
      return true
    }
    const failed = await life.complete()
    if (failed === null) return !this.#ending.signal.aborted
    this.phase = "Failed"
    this.#change(`init container "${spec.name}" ended with ${failed}`)
    return false
  }

  #home(): ContainerHome {
    return {
      ending: this.#ending.signal,
      restartPolicy: this.spec.restartPolicy ?? "Always",
      graceMs: this.#graceMs,
      address: this.address.v4,
      network: this.#host.network,
      placeOf: spec => ({
        sandboxPid: this.sandboxPid,
        folder: join(this.#folder, "run"),
        logFile: this.#host.logFile(this.namespace, this.name, spec.name),
      }),
      commandOf: spec => this.#commandOf(spec),
      changed: () => this.#change(),
    }
  }

  #commandOf(spec: Container): ContainerCommand & { environment: Record<string, string> } {
    const host = this.#host
    const environment = environmentOf(spec, host.baseEnvironment(this.object), host.sources(this.object))
    const words = [...(spec.command ?? host.commandOfImage(spec.image ?? "") ?? []), ...(spec.args ?? [])]
    const context = { ...this.spec.securityContext, ...spec.securityContext }
    return {
      command: words.map(word => expand(word, environment)),
      environment,
      workingDir: spec.workingDir ?? host.defaultWorkingDir,
      user: context.runAsUser ?? null,
      group: context.runAsGroup ?? null,
      mounts: mountScript(spec, this.#volumes, join(this.#folder, "layers", spec.name)),
    }
  }

  async #end(graceMs?: number): Promise<void> {
    this.terminating = true
    const grace = Math.min(graceMs ?? Number.POSITIVE_INFINITY, this.#graceMs)
    const orderly = graceMs === undefined
    this.#change()
    if (orderly && !this.finished && this.phase === "Running") {
      await this.#host.settled()
      await Bun.sleep(ENDPOINT_SETTLE_MS)
    }
    const deadlineMs = performance.now() + grace
    const left = () => Math.max(0, deadlineMs - performance.now())
    const mains = this.#containers.filter(life => life.isRunning && life.status.kind !== "sidecar")
    if (orderly) await Promise.all(mains.map(life => life.preStop(left())))
    this.#ending.abort()
    await Promise.all(mains.map(life => life.end(left())))
    await this.#endSidecars(orderly ? Math.max(left(), SIDECAR_GRACE_MS) : left())
    this.#sandbox?.kill()
    await this.#running
    await Promise.all(this.#containers.map(({ done }) => done))
    await this.#sandbox?.exited
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Native sidecars end after the application, last started first. */
  async #endSidecars(graceMs: number): Promise<void> {
    this.#ending.abort()
    const deadlineMs = performance.now() + graceMs
    for (const life of this.#containers.filter(({ status }) => status.kind === "sidecar").reverse()) {
      await life.end(Math.max(0, deadlineMs - performance.now()))
    }
  }

  get #graceMs(): number {
    return (this.spec.terminationGracePeriodSeconds ?? 30) * 1000
  }

  get #folder(): string {
    return join(this.#host.podsFolder, `${this.namespace}_${this.name}`)
  }

  #change(reason?: string): void {
    if (reason !== undefined) this.reason = reason
    const lasting = this.#containers.filter(({ status }) => status.kind !== "init")
    this.ready = this.phase === "Running" && !this.terminating && lasting.every(({ status }) => status.ready)
    this.#refreshStatus()
    this.#host.onChange(this)
  }

  #refreshStatus(): void {
    this.object.status = kubeletReport(this, this.#containers, this.#host.network.hasV6)
    if (this.terminating) this.object.metadata.deletionTimestamp ??= new Date().toISOString()
  }
}
