// The life of one pod, as a kubelet leads it: sandbox, init containers, native sidecars, containers with
// restarts and probes, and an orderly end.
import { rmSync } from "node:fs"
import { join } from "node:path"
import {
  type Container,
  INIT_CONTAINER,
  type PodSpec,
  PROXY_CONTAINER,
  type Probe,
} from "../../inject/mod.ts"
import { parseRedirectArgs } from "../../redirect/mod.ts"
import type { PodAddress } from "../net/addresses.ts"
import type { Network } from "../net/network.ts"
import type { KubeObject } from "../objects/kube_object.ts"
import { BackOff } from "./back_off.ts"
import { type RunningContainer, startContainer } from "./container.ts"
import { environmentOf, expand, MissingSourceError } from "./environment.ts"
import { hostsFile } from "./hosts_file.ts"
import { execProbe, type ProbeOutcome, runProbe } from "./probe.ts"
import { type Sandbox, startSandbox } from "./sandbox.ts"
import { mountScript, prepareVolumes, type VolumeSources } from "./volumes.ts"

/** How long a terminating pod goes on serving after it was taken from all endpoints: proxies learn of it meanwhile. */
export const ENDPOINT_SETTLE_MS = 300
/** Sidecars get at least this long after the application has gone. */
export const SIDECAR_GRACE_MS = 2_000
/** A missing ConfigMap or Secret is looked for again after this long. */
const MISSING_RETRY_MS = 1_000

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
  /** The command for an image of our own; null for all others. */
  commandOfImage(image: string): readonly string[] | null
  /** Something about the pod changed. */
  onChange(pod: Pod): void
  /** Resolves once the pod's not being ready has reached Services and manifests. */
  settled(): Promise<void>
}

/** What can be said of one container. */
export interface ContainerStatus {
  readonly name: string
  readonly kind: "init" | "sidecar" | "main"
  state: "waiting" | "running" | "terminated"
  /** Why it waits or ended; "" while running. */
  reason: string
  pid: number
  ready: boolean
  started: boolean
  restarts: number
  exitCode: number | null
  /** Whether a readiness probe vouches for it. */
  readonly probed: boolean
  /** When its present run began; wall clock, milliseconds since the epoch. */
  runningSinceMs: number
}

type Phase = "Pending" | "Running" | "Succeeded" | "Failed"

interface Slot {
  readonly spec: Container
  readonly status: ContainerStatus
  running: RunningContainer | null
  done: Promise<void>
}

/** One pod. Created by a controller, started by {@link Pod.start}, ended by {@link Pod.stop}. */
export class Pod {
  readonly object: KubeObject
  readonly address: PodAddress
  readonly createdMs: number
  phase: Phase = "Pending"
  /** Why the pod as a whole does not run; "" when nothing is wrong. */
  reason = ""
  ready = false
  terminating = false
  readonly #host: PodHost
  readonly #slots: Slot[] = []
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
    const spec = this.spec
    for (const container of spec.initContainers ?? []) {
      this.#slots.push(newSlot(container, container.restartPolicy === "Always" ? "sidecar" : "init"))
    }
    for (const container of spec.containers) this.#slots.push(newSlot(container, "main"))
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
    return this.#slots.some(slot => slot.spec.name === PROXY_CONTAINER)
  }

  /** All containers, init containers first. */
  get containers(): readonly ContainerStatus[] {
    return this.#slots.map(slot => slot.status)
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
    const slot = this.#slots.find(candidate => candidate.spec.name === container)
    if (slot === undefined) {
      const names = this.#slots.map(({ spec }) => spec.name).join(", ")
      throw new Error(`pod "${this.name}" has no container "${container}"; it has ${names}`)
    }
    const pid = slot.running?.pid ?? 0
    if (pid === 0)
      throw new Error(`container "${container}" of pod "${this.name}" does not run: ${slot.status.reason}`)
    const { environment, workingDir, user, group } = this.#commandOf(slot.spec)
    return { pid, environment, workingDir, user, group }
  }

  /** Begins the pod's life; what goes wrong is told by its status. */
  start(): void {
    this.#running = this.#live().catch((error: unknown) => {
      if (this.#ending.signal.aborted) return
      this.phase = "Failed"
      this.#change(messageOf(error))
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

  /** Kills everything at once. */
  kill(): void {
    this.terminating = true
    this.#ending.abort()
    this.#sandbox?.kill()
  }

  async #live(): Promise<void> {
    const host = this.#host
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
    this.#volumes = await this.#patiently(() => prepareVolumes(this.spec, folder, host.sources(this.object)))
    for (const slot of this.#slots) {
      if (slot.status.kind === "main" || this.#ending.signal.aborted) break
      if (slot.status.kind === "sidecar") await this.#startSidecar(slot)
      else if (!(await this.#runInit(slot))) return
    }
    if (this.#ending.signal.aborted) return
    this.phase = "Running"
    this.#change()
    const main = this.#slots.filter(slot => slot.status.kind === "main")
    for (const slot of main) slot.done = this.#supervise(slot)
    await Promise.all(main.map(slot => slot.done))
    if (this.#ending.signal.aborted) return
    this.phase = main.every(slot => slot.status.exitCode === 0) ? "Succeeded" : "Failed"
    this.#change()
    await this.#endSidecars(SIDECAR_GRACE_MS)
    sandbox.kill()
  }

  async #runInit(slot: Slot): Promise<boolean> {
    if (slot.spec.name === INIT_CONTAINER && this.#host.commandOfImage(slot.spec.image ?? "")?.length === 0) {
      await this.#host.network.redirect(this.sandboxPid, parseRedirectArgs(slot.spec.args ?? []))
      Object.assign(slot.status, { state: "terminated", exitCode: 0, ready: true, reason: "" })
      return true
    }
    const backOff = new BackOff()
    while (!this.#ending.signal.aborted) {
      const code = await this.#runOnce(slot)
      if (code === 0) {
        slot.status.ready = true
        return true
      }
      if ((this.spec.restartPolicy ?? "Always") === "Never") {
        this.phase = "Failed"
        this.#change(`init container "${slot.spec.name}" ended with ${code}`)
        return false
      }
      await this.#backOff(slot, backOff)
    }
    return false
  }

  async #startSidecar(slot: Slot): Promise<void> {
    let begun: () => void = () => {}
    const started = new Promise<void>(resolve => {
      begun = resolve
    })
    slot.done = this.#supervise(slot, begun)
    await Promise.race([started, aborted(this.#ending.signal)])
  }

  /** Keeps one container running as its restart policy says. */
  async #supervise(slot: Slot, onStarted: () => void = () => {}): Promise<void> {
    const policy = slot.status.kind === "sidecar" ? "Always" : (this.spec.restartPolicy ?? "Always")
    const backOff = new BackOff()
    while (!this.#ending.signal.aborted) {
      const begunMs = Date.now()
      const code = await this.#runOnce(slot, onStarted)
      if (this.#ending.signal.aborted) return
      if (policy === "Never" || (policy === "OnFailure" && code === 0)) return
      backOff.ranFor(Date.now() - begunMs)
      await this.#backOff(slot, backOff)
    }
  }

  async #backOff(slot: Slot, backOff: BackOff): Promise<void> {
    slot.status.state = "waiting"
    const { status } = slot
    const ended = status.exitCode === null ? status.reason : `ended with ${status.exitCode}`
    status.reason = `back-off ${backOff.nextMs / 1000} s, it ${ended}`
    this.#change()
    await this.#sleep(backOff.take())
    status.restarts++
  }

  /** Runs a container once. @returns its exit code; a container that cannot start counts as 128 */
  async #runOnce(slot: Slot, onStarted: () => void = () => {}): Promise<number> {
    const { status, spec } = slot
    const run = new AbortController()
    const stop = () => run.abort()
    this.#ending.signal.addEventListener("abort", stop)
    try {
      const command = await this.#patiently(() => this.#commandOf(spec), slot)
      if (this.#ending.signal.aborted) return 128
      const running = await startContainer(spec.name, command, {
        sandboxPid: this.sandboxPid,
        folder: join(this.#folder, "run"),
        logFile: this.#host.logFile(this.namespace, this.name, spec.name),
      })
      slot.running = running
      Object.assign(status, { state: "running", reason: "", pid: running.pid, runningSinceMs: Date.now() })
      this.#probe(slot, running, run.signal, onStarted)
      this.#change()
      const { code } = await running.exited
      Object.assign(status, { state: "terminated", reason: `ended with ${code}`, exitCode: code })
      return code
    } catch (error) {
      Object.assign(status, { state: "terminated", reason: messageOf(error), exitCode: null })
      return 128
    } finally {
      run.abort()
      this.#ending.signal.removeEventListener("abort", stop)
      slot.running = null
      Object.assign(status, { pid: 0, ready: false, started: false })
      this.#change()
    }
  }

  #commandOf(spec: Container) {
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

  #probe(slot: Slot, running: RunningContainer, signal: AbortSignal, onStarted: () => void): void {
    const { spec, status } = slot
    const loop = (probe: Probe, eager: boolean, onOutcome: (ok: boolean, reason: string) => void) =>
      void runProbe({
        probe,
        eager,
        signal,
        onOutcome,
        check: () => this.#check(probe, spec, running),
        sleep: ms => sleepUntil(ms, signal),
        nowMs: () => performance.now(),
      })
    const restart = (which: string) => (ok: boolean, reason: string) => {
      if (ok) return
      status.reason = `${which} probe failed: ${reason}`
      running.signal("SIGTERM")
      void sleepUntil(this.#graceMs, signal).then(() => {
        if (!signal.aborted) running.kill()
      })
    }
    const begin = () => {
      status.started = true
      onStarted()
      if (spec.readinessProbe) {
        loop(spec.readinessProbe, true, (ok, reason) => {
          status.ready = ok
          status.reason = ok ? "" : `readiness probe failed: ${reason}`
          this.#change()
        })
      } else status.ready = true
      if (spec.livenessProbe) loop(spec.livenessProbe, false, restart("liveness"))
      this.#change()
    }
    const { startupProbe } = spec
    if (!startupProbe) {
      begin()
      return
    }
    const startup = new AbortController()
    signal.addEventListener("abort", () => startup.abort())
    const failed = restart("startup")
    void runProbe({
      probe: startupProbe,
      eager: true,
      signal: startup.signal,
      check: () => this.#check(startupProbe, spec, running),
      onOutcome: (ok, reason) => {
        startup.abort()
        if (ok) begin()
        else failed(false, reason)
      },
      sleep: ms => sleepUntil(ms, startup.signal),
      nowMs: () => performance.now(),
    })
  }

  #check(probe: Probe, spec: Container, running: RunningContainer): Promise<ProbeOutcome> {
    const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000
    if (probe.exec) {
      return execProbe(running.pid, probe.exec.command, timeoutMs, this.#commandOf(spec))
    }
    const target = probe.httpGet ?? probe.tcpSocket ?? probe.grpc
    const named = target?.port ?? 0
    const port = typeof named === "number" ? named : portNamed(spec, named)
    if (port === null) {
      return Promise.resolve({ ok: false, reason: `the container has no port named "${named}"` })
    }
    const http = probe.httpGet
    return this.#host.network.probe({
      kind: http ? (http.scheme?.toUpperCase() === "HTTPS" ? "https" : "http") : "tcp",
      host: (target as { host?: string } | undefined)?.host ?? this.address.v4,
      port,
      path: http?.path ?? "/",
      headers: (http?.httpHeaders ?? []).map(({ name, value }) => [name, value] as const),
      timeoutMs,
    })
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
    const mains = this.#slots.filter(slot => slot.running !== null && slot.status.kind !== "sidecar")
    if (orderly) await Promise.all(mains.map(slot => this.#preStop(slot, left())))
    this.#ending.abort()
    await Promise.all(mains.map(slot => endContainer(slot, left())))
    await this.#endSidecars(orderly ? Math.max(left(), SIDECAR_GRACE_MS) : left())
    this.#sandbox?.kill()
    await this.#running
    await Promise.all(this.#slots.map(slot => slot.done))
    await this.#sandbox?.exited
    rmSync(this.#folder, { recursive: true, force: true })
  }

  /** Native sidecars end after the application, last started first. */
  async #endSidecars(graceMs: number): Promise<void> {
    this.#ending.abort()
    const deadlineMs = performance.now() + graceMs
    for (const slot of this.#slots.filter(slot => slot.status.kind === "sidecar").reverse()) {
      await endContainer(slot, Math.max(0, deadlineMs - performance.now()))
    }
  }

  async #preStop(slot: Slot, graceMs: number): Promise<void> {
    const hook = slot.spec.lifecycle?.preStop
    const running = slot.running
    if (!hook || !running) return
    if (hook.sleep) await Bun.sleep(Math.min(graceMs, hook.sleep.seconds * 1000))
    else if (hook.exec) {
      await execProbe(running.pid, hook.exec.command, graceMs, this.#commandOf(slot.spec))
    } else if (hook.httpGet) {
      await this.#check({ httpGet: hook.httpGet, timeoutSeconds: graceMs / 1000 }, slot.spec, running)
    }
  }

  /** Repeats what needs a ConfigMap or Secret until it is there. */
  async #patiently<T>(make: () => T, slot?: Slot): Promise<T> {
    for (;;) {
      try {
        return make()
      } catch (error) {
        if (!(error instanceof MissingSourceError) || this.#ending.signal.aborted) throw error
        if (slot) Object.assign(slot.status, { state: "waiting", reason: error.message })
        this.#change(slot ? undefined : error.message)
        await this.#sleep(MISSING_RETRY_MS)
        if (!slot) this.reason = ""
      }
    }
  }

  #sleep(ms: number): Promise<void> {
    return sleepUntil(ms, this.#ending.signal)
  }

  get #graceMs(): number {
    return (this.spec.terminationGracePeriodSeconds ?? 30) * 1000
  }

  get #folder(): string {
    return join(this.#host.podsFolder, `${this.namespace}_${this.name}`)
  }

  #change(reason?: string): void {
    if (reason !== undefined) this.reason = reason
    const lasting = this.#slots.filter(slot => slot.status.kind !== "init")
    this.ready = this.phase === "Running" && !this.terminating && lasting.every(slot => slot.status.ready)
    this.#refreshStatus()
    this.#host.onChange(this)
  }

  /** Writes what a kubelet would report into the object, for the control plane. */
  #refreshStatus(): void {
    const ips = this.#host.network.hasV6 ? [this.address.v4, this.address.v6] : [this.address.v4]
    const condition = (type: string, on: boolean) => ({ type, status: on ? "True" : "False" })
    const report = (slot: Slot) => ({
      name: slot.spec.name,
      ready: slot.status.ready,
      started: slot.status.started,
      restartCount: slot.status.restarts,
      image: slot.spec.image ?? "",
      imageID: "",
      state: { [slot.status.state]: slot.status.reason === "" ? {} : { message: slot.status.reason } },
    })
    this.object.status = {
      phase: this.phase,
      hostIP: HOST_IP,
      podIP: this.address.v4,
      podIPs: ips.map(ip => ({ ip })),
      startTime: new Date(this.createdMs).toISOString(),
      conditions: [
        condition("PodScheduled", true),
        condition("Initialized", this.phase !== "Pending"),
        condition("ContainersReady", this.ready),
        condition("Ready", this.ready),
      ],
      initContainerStatuses: this.#slots.filter(slot => slot.status.kind !== "main").map(report),
      containerStatuses: this.#slots.filter(slot => slot.status.kind === "main").map(report),
      ...(this.reason === "" ? {} : { message: this.reason }),
    }
    if (this.terminating) this.object.metadata.deletionTimestamp ??= new Date().toISOString()
  }
}

/** Address that pods are told of as their node's. */
const HOST_IP = "10.244.0.1"

function newSlot(spec: Container, kind: ContainerStatus["kind"]): Slot {
  return {
    spec,
    status: {
      name: spec.name,
      kind,
      state: "waiting",
      reason: "",
      pid: 0,
      ready: false,
      started: false,
      restarts: 0,
      exitCode: null,
      probed: spec.readinessProbe !== undefined,
      runningSinceMs: 0,
    },
    running: null,
    done: Promise.resolve(),
  }
}

async function endContainer(slot: Slot, graceMs: number): Promise<void> {
  const running = slot.running
  if (running === null) return
  running.signal("SIGTERM")
  const late = setTimeout(() => running.kill(), graceMs)
  await running.exited
  clearTimeout(late)
}

function portNamed(spec: Container, name: string): number | null {
  if (/^\d+$/.test(name)) return Number(name)
  return spec.ports?.find(port => port.name === name)?.containerPort ?? null
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve(), { once: true })
  })
}

/** Sleeps, or less when the signal aborts. */
function sleepUntil(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise(resolve => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener("abort", done)
      resolve()
    }
    const timer = setTimeout(done, ms)
    signal.addEventListener("abort", done)
  })
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
