// A small network of namespaces for tests: a bridge in a namespace of its own, and pods on it, each with an IPv4 and
// an IPv6 address and processes inside. Everything is removed at the end, also after a failure or a crash before.
import { existsSync } from "node:fs"
import type { Subprocess } from "bun"
import { sweepFolders } from "./temp_folder.ts"

/** First part of all namespace names; a process id and a name follow. */
const PREFIX = "cdlab"

/** What a command inside a pod gave. */
export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** How a process inside a pod is run. */
export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  /** User id; default root. */
  readonly uid?: number
  /** Written to its standard input, which is then closed; default: nothing. */
  readonly input?: string
}

/** A process inside a pod, its output collected. */
export class LabProcess {
  readonly process: Subprocess<"pipe", "pipe", "pipe">
  stdout = ""
  stderr = ""
  private readonly waiting = new Set<() => void>()

  constructor(process: Subprocess<"pipe", "pipe", "pipe">) {
    this.process = process
    void this.collect(process.stdout, text => {
      this.stdout += text
    })
    void this.collect(process.stderr, text => {
      this.stderr += text
    })
  }

  /**
   * Resolves when standard output or error has contained `text`.
   *
   * @throws Error with all output when that does not happen in time or the process ends first
   */
  async saw(text: string, timeoutMs = 5_000): Promise<void> {
    const deadline = Date.now() + timeoutMs
    while (!this.stdout.includes(text) && !this.stderr.includes(text)) {
      if (Date.now() > deadline || this.process.exitCode !== null) {
        throw new Error(
          `lab: waited for ${JSON.stringify(text)}, exit code ${this.process.exitCode}\n${this.stdout}\n${this.stderr}`,
        )
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 50)
        this.waiting.add(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Sends a signal; resolves with the exit code. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number> {
    this.process.kill(signal)
    return await this.process.exited
  }

  private async collect(stream: ReadableStream<Uint8Array>, add: (text: string) => void): Promise<void> {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      add(decoder.decode(chunk, { stream: true }))
      for (const wake of this.waiting) wake()
      this.waiting.clear()
    }
  }
}

/** A namespace with an address of each family on the lab's bridge. */
export class Pod {
  readonly name: string
  readonly namespace: string
  readonly ipv4: string
  readonly ipv6: string
  readonly processes: LabProcess[] = []

  constructor(name: string, namespace: string, ipv4: string, ipv6: string) {
    this.name = name
    this.namespace = namespace
    this.ipv4 = ipv4
    this.ipv6 = ipv6
  }

  /** Starts a process; it is killed when the lab ends. */
  start(command: readonly string[], options: RunOptions = {}): LabProcess {
    const user = options.uid === undefined ? [] : ["setpriv", `--reuid=${options.uid}`, "--clear-groups"]
    const child = Bun.spawn(["ip", "netns", "exec", this.namespace, ...user, ...command], {
      env: { ...process.env, ...options.env },
      // Another user may not be let into the folder of the checkout.
      cwd: options.uid === undefined ? process.cwd() : "/",
      stdin: "pipe",
      stdout: "pipe",
      stderr: "pipe",
    })
    if (options.input !== undefined) {
      child.stdin.write(options.input)
      child.stdin.end()
    }
    const started = new LabProcess(child)
    this.processes.push(started)
    return started
  }

  /** Runs a command to its end. */
  async run(command: readonly string[], options: RunOptions = {}): Promise<Result> {
    const child = this.start(command, { input: "", ...options })
    const code = await child.process.exited
    // The pipes' last chunks come right after the exit.
    await Bun.sleep(5)
    return { code, stdout: child.stdout, stderr: child.stderr }
  }

  /** Runs TypeScript in a Bun of its own; what it prints comes back. */
  async script(source: string, options: RunOptions = {}): Promise<Result> {
    return await this.run([process.execPath, "-e", source], options)
  }

  /** Gives the namespace its redirect, in both families, from text for iptables-restore. */
  async redirect(rules: string): Promise<void> {
    for (const tool of ["iptables-restore", "ip6tables-restore"]) {
      const { code, stderr } = await this.run([tool], { input: rules })
      if (code !== 0) throw new Error(`lab: ${tool} in ${this.name} failed: ${stderr}`)
    }
  }
}

/** Namespaces joined by a bridge. Use with `await using`. */
export class Lab implements AsyncDisposable {
  readonly pods: Pod[] = []
  private readonly label: string
  private readonly router: string
  private readonly onExit: () => void
  private gone = false

  private constructor(label: string) {
    this.label = label
    this.router = `${label}-net`
    this.onExit = () => this.remove()
    process.on("exit", this.onExit)
  }

  /**
   * Makes an empty lab.
   *
   * @throws Error saying what the machine lacks (root, iproute2, network namespaces)
   */
  static async create(): Promise<Lab> {
    if (process.getuid?.() !== 0) throw new Error("lab: making network namespaces needs root")
    removeLeftovers()
    sweepFolders()
    const lab = new Lab(`${PREFIX}${process.pid}x${Lab.count++}`)
    try {
      ip("netns", "add", lab.router)
      inside(lab.router, "link", "set", "lo", "up")
      inside(lab.router, "link", "add", "br0", "type", "bridge")
      inside(lab.router, "addr", "add", "10.77.0.1/24", "dev", "br0")
      inside(lab.router, "addr", "add", "fd77::1/64", "dev", "br0", "nodad")
      inside(lab.router, "link", "set", "br0", "up")
    } catch (error) {
      lab.remove()
      throw error
    }
    return lab
  }
  private static count = 0

  /** Adds a pod. */
  pod(name: string): Pod {
    const number = this.pods.length + 10
    const pod = new Pod(name, `${this.label}-${name}`, `10.77.0.${number}`, `fd77::${number.toString(16)}`)
    this.pods.push(pod)
    const end = `p${number}`
    ip("netns", "add", pod.namespace)
    inside(pod.namespace, "link", "set", "lo", "up")
    inside(this.router, "link", "add", end, "type", "veth", "peer", "name", "eth0", "netns", pod.namespace)
    inside(this.router, "link", "set", end, "master", "br0", "up")
    inside(pod.namespace, "addr", "add", `${pod.ipv4}/24`, "dev", "eth0")
    inside(pod.namespace, "addr", "add", `${pod.ipv6}/64`, "dev", "eth0", "nodad")
    inside(pod.namespace, "link", "set", "eth0", "up")
    inside(pod.namespace, "route", "add", "default", "via", "10.77.0.1")
    inside(pod.namespace, "-6", "route", "add", "default", "via", "fd77::1")
    return pod
  }

  /** Kills what runs inside and removes the namespaces. */
  async [Symbol.asyncDispose](): Promise<void> {
    const processes = this.pods.flatMap(pod => pod.processes)
    for (const { process: child } of processes) if (child.exitCode === null) child.kill("SIGKILL")
    await Promise.all(processes.map(({ process: child }) => child.exited))
    this.remove()
    process.off("exit", this.onExit)
  }

  private remove(): void {
    if (this.gone) return
    this.gone = true
    for (const pod of this.pods) removeNamespace(pod.namespace)
    removeNamespace(this.router)
  }
}

function ip(...args: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["ip", ...args], { stderr: "pipe" })
  if (exitCode !== 0) throw new Error(`lab: ip ${args.join(" ")} failed: ${stderr.toString().trim()}`)
}

function inside(namespace: string, ...args: string[]): void {
  ip("-n", namespace, ...args)
}

/** Ends what still runs in a namespace of ours, then removes it. */
function removeNamespace(namespace: string): void {
  if (!existsSync(`/run/netns/${namespace}`)) return
  const pids = Bun.spawnSync(["ip", "netns", "pids", namespace]).stdout.toString().split("\n")
  for (const pid of pids) {
    if (pid === "") continue
    try {
      process.kill(Number(pid), "SIGKILL")
    } catch {
      // It ended by itself meanwhile.
    }
  }
  Bun.spawnSync(["ip", "netns", "del", namespace])
}

/** Removes what runs that crashed have left: namespaces whose process is gone. */
function removeLeftovers(): void {
  const names = Bun.spawnSync(["ip", "netns", "list"]).stdout.toString().split("\n")
  for (const line of names) {
    const name = line.split(" ")[0] ?? ""
    const match = new RegExp(`^${PREFIX}(\\d+)x`).exec(name)
    if (match !== null && !existsSync(`/proc/${match[1]}`)) removeNamespace(name)
  }
}
