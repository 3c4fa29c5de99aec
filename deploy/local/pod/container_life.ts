// The life of one container in its pod, as a kubelet leads it: run, probed, restarted with pauses, ended.
import type { Container, Probe } from "../../inject/mod.ts"
import type { Network } from "../net/network.ts"
import { aborted, sleepUntil } from "./abortable_sleep.ts"
import { awaitSources } from "./await_sources.ts"
import { BackOff } from "./back_off.ts"
import {
  type ContainerCommand,
  type ContainerPlace,
  type RunningContainer,
  startContainer,
} from "./container.ts"
import { type ContainerStatus, statusOf } from "./pod_status.ts"
import { execProbe, type ProbeOutcome, runProbe } from "./probe.ts"

/** What a container needs of its pod. */
export interface ContainerHome {
  /** Aborts when the pod ends: nothing is restarted then. */
  readonly ending: AbortSignal
  /** `Always`, `OnFailure` or `Never`. */
  readonly restartPolicy: string
  /** Time between SIGTERM and SIGKILL when a probe has failed. */
  readonly graceMs: number
  /** Address that probes go to unless they name another. */
  readonly address: string
  readonly network: Network
  placeOf(spec: Container): ContainerPlace
  /** @throws MissingSourceError while a ConfigMap or Secret that it names does not exist */
  commandOf(spec: Container): ContainerCommand
  /** The container's status has changed. */
  changed(): void
}

/** One container of a pod. */
export class ContainerLife {
  readonly spec: Container
  readonly status: ContainerStatus
  /** Resolves when a supervised container is restarted no more. */
  done: Promise<void> = Promise.resolve()
  readonly #home: ContainerHome
  #running: RunningContainer | null = null

  constructor(spec: Container, kind: ContainerStatus["kind"], home: ContainerHome) {
    this.spec = spec
    this.status = statusOf(spec, kind)
    this.#home = home
  }

  /** Host process id of its main process; 0 while it does not run. */
  get pid(): number {
    return this.#running?.pid ?? 0
  }

  /** Whether it runs now. */
  get isRunning(): boolean {
    return this.#running !== null
  }

  /**
   * Runs it until it ends with 0, as an init container.
   *
   * @returns null when it did or the pod ends; its exit code when it failed and is not to be restarted
   */
  async complete(): Promise<number | null> {
    const backOff = new BackOff()
    while (!this.#home.ending.aborted) {
      const code = await this.#runOnce(() => {})
      if (code === 0) {
        this.status.ready = true
        return null
      }
      if (this.#home.restartPolicy === "Never") return code
      await this.#backOff(backOff)
    }
    return null
  }

  /** Keeps it running as its restart policy says. Resolves once it has started, or the pod ends. */
  async keep(): Promise<void> {
    let begun: () => void = () => {}
    const started = new Promise<void>(resolve => {
      begun = resolve
    })
    this.done = this.#supervise(begun)
    await Promise.race([started, aborted(this.#home.ending)])
  }

  /** Runs the preStop hook, if there is one and the container runs. @param graceMs  at most this long */
  async preStop(graceMs: number): Promise<void> {
    const hook = this.spec.lifecycle?.preStop
    const running = this.#running
    if (!hook || !running) return
    if (hook.sleep) await Bun.sleep(Math.min(graceMs, hook.sleep.seconds * 1000))
    else if (hook.exec) {
      await execProbe(running.pid, hook.exec.command, graceMs, this.#home.commandOf(this.spec))
    } else if (hook.httpGet) {
      await this.#check({ httpGet: hook.httpGet, timeoutSeconds: graceMs / 1000 }, running)
    }
  }

  /** SIGTERM, and SIGKILL after `graceMs`. */
  async end(graceMs: number): Promise<void> {
    const running = this.#running
    if (running === null) return
    running.signal("SIGTERM")
    const late = setTimeout(() => running.kill(), graceMs)
    await running.exited
    clearTimeout(late)
  }

  async #supervise(onStarted: () => void): Promise<void> {
    const policy = this.status.kind === "sidecar" ? "Always" : this.#home.restartPolicy
    const backOff = new BackOff()
    while (!this.#home.ending.aborted) {
      const begunMs = Date.now()
      const code = await this.#runOnce(onStarted)
      if (this.#home.ending.aborted) return
      if (policy === "Never" || (policy === "OnFailure" && code === 0)) return
      backOff.ranFor(Date.now() - begunMs)
      await this.#backOff(backOff)
    }
  }

  async #backOff(backOff: BackOff): Promise<void> {
    const { status } = this
    status.state = "waiting"
    const ended = status.exitCode === null ? status.reason : `ended with ${status.exitCode}`
    status.reason = `back-off ${backOff.nextMs / 1000} s, it ${ended}`
    this.#home.changed()
    await sleepUntil(backOff.take(), this.#home.ending)
    status.restarts++
  }

  /** Runs a container once. @returns its exit code; a container that cannot start counts as 128 */
  async #runOnce(onStarted: () => void): Promise<number> {
    const { status, spec } = this
    const home = this.#home
    const run = new AbortController()
    const stop = () => run.abort()
    this.#home.ending.addEventListener("abort", stop)
    try {
      const command = await awaitSources(
        () => home.commandOf(spec),
        home.ending,
        reason => {
          Object.assign(status, { state: "waiting", reason })
          home.changed()
        },
      )
      if (this.#home.ending.aborted) return 128
      const running = await startContainer(spec.name, command, home.placeOf(spec))
      this.#running = running
      Object.assign(status, { state: "running", reason: "", pid: running.pid, runningSinceMs: Date.now() })
      this.#probe(running, run.signal, onStarted)
      this.#home.changed()
      const { code } = await running.exited
      Object.assign(status, { state: "terminated", reason: `ended with ${code}`, exitCode: code })
      return code
    } catch (error) {
      Object.assign(status, { state: "terminated", reason: messageOf(error), exitCode: null })
      return 128
    } finally {
      run.abort()
      this.#home.ending.removeEventListener("abort", stop)
      this.#running = null
      Object.assign(status, { pid: 0, ready: false, started: false })
      this.#home.changed()
    }
  }

  #probe(running: RunningContainer, signal: AbortSignal, onStarted: () => void): void {
    const { spec, status } = this
    const loop = (probe: Probe, eager: boolean, onOutcome: (ok: boolean, reason: string) => void) =>
      void runProbe({
        probe,
        eager,
        signal,
        onOutcome,
        check: () => this.#check(probe, running),
        sleep: ms => sleepUntil(ms, signal),
        nowMs: () => performance.now(),
      })
    const restart = (which: string) => (ok: boolean, reason: string) => {
      if (ok) return
      status.reason = `${which} probe failed: ${reason}`
      running.signal("SIGTERM")
      void sleepUntil(this.#home.graceMs, signal).then(() => {
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
          this.#home.changed()
        })
      } else status.ready = true
      if (spec.livenessProbe) loop(spec.livenessProbe, false, restart("liveness"))
      this.#home.changed()
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
      check: () => this.#check(startupProbe, running),
      onOutcome: (ok, reason) => {
        startup.abort()
        if (ok) begin()
        else failed(false, reason)
      },
      sleep: ms => sleepUntil(ms, startup.signal),
      nowMs: () => performance.now(),
    })
  }

  #check(probe: Probe, running: RunningContainer): Promise<ProbeOutcome> {
    const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000
    if (probe.exec) {
      return execProbe(running.pid, probe.exec.command, timeoutMs, this.#home.commandOf(this.spec))
    }
    const target = probe.httpGet ?? probe.tcpSocket ?? probe.grpc
    const named = target?.port ?? 0
    const port = typeof named === "number" ? named : portNamed(this.spec, named)
    if (port === null) {
      return Promise.resolve({ ok: false, reason: `the container has no port named "${named}"` })
    }
    const http = probe.httpGet
    const overTls = http?.scheme?.toUpperCase() === "HTTPS"
    return this.#home.network.probe({
      kind: probe.grpc ? "grpc" : http ? (overTls ? "https" : "http") : "tcp",
      host: (target as { host?: string } | undefined)?.host ?? this.#home.address,
      port,
      path: probe.grpc ? (probe.grpc.service ?? "") : (http?.path ?? "/"),
      headers: (http?.httpHeaders ?? []).map(({ name, value }) => [name, value] as const),
      timeoutMs,
    })
  }
}

function portNamed(spec: Container, name: string): number | null {
  if (/^\d+$/.test(name)) return Number(name)
  return spec.ports?.find(port => port.name === name)?.containerPort ?? null
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
