// A local mesh for tests, started and ended by the same `conduit dev` that people type. Whatever happens to the
// test, the mesh goes: on dispose, and on the exit of the test's process.
import { rmSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { LabProcess } from "./netns.ts"
import { tempFolder } from "./temp_folder.ts"

/** Root of the project. */
export const PROJECT_ROOT = resolve(import.meta.dir, "../..")

/** Longest wait for a mesh with all its pods to come up, in milliseconds: two cores, a dozen processes. */
export const UP_TIMEOUT_MS = 120_000
/** Longest wait for one command in a pod, unless told otherwise. */
export const EXEC_TIMEOUT_MS = 60_000

/** How a command ended. */
export interface Ended {
  /** Exit status; 124 when it was ended because it took too long. */
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** A pod as `conduit dev ps -o json` tells it. */
export interface DevPod {
  readonly namespace: string
  readonly deployment: string
  readonly pod: string
  readonly ip: string
  readonly meshed: boolean
  readonly ready: boolean
  readonly pid: number
}

/** How to start a mesh. */
export interface DevMeshOptions {
  /** Short name of what is tested; the mesh's own name is made unique from it. Lower-case letters and digits. */
  readonly name: string
  /** Kubernetes objects to run. */
  readonly objects: readonly unknown[]
  /** More words for `conduit dev up`. */
  readonly flags?: readonly string[]
}

/** How to run a command in a pod. */
export interface ExecOptions {
  /** Default EXEC_TIMEOUT_MS. */
  readonly timeoutMs?: number
}

/** What is still to be ended, should the test's process end first. */
const onExit = new Set<() => void>()

/** Has something done when the test's process ends, also by a signal. Gives what takes it back. */
export function beforeExit(end: () => void): () => void {
  if (onExit.size === 0) {
    process.once("exit", () => {
      for (const each of onExit) each()
    })
    // Without a handler these end a process at once, and nothing is tidied up.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(1))
  }
  onExit.add(end)
  return () => onExit.delete(end)
}

/** A running local mesh. `await using mesh = await DevMesh.up(...)` ends it at the end of the block. */
export class DevMesh implements AsyncDisposable {
  /** Name as `conduit dev --name` takes it. */
  readonly name: string
  readonly #folder: string
  readonly #unguard: () => void
  #pods: readonly DevPod[] = []

  private constructor(name: string, folder: string) {
    this.name = name
    this.#folder = folder
    this.#unguard = beforeExit(() => {
      Bun.spawnSync({
        cmd: conduitCommand(["dev", "down", "--name", name]),
        cwd: PROJECT_ROOT,
        stdin: "ignore",
      })
      rmSync(folder, { recursive: true, force: true })
    })
  }

  /**
   * Starts a mesh and waits until every pod is ready.
   *
   * @throws Error with what `conduit dev up` said, when it does not come up; nothing is left then
   */
  static async up(options: DevMeshOptions): Promise<DevMesh> {
    const name = `${options.name}-${process.pid}`
    const folder = tempFolder(options.name)
    const mesh = new DevMesh(name, folder)
    const words = ["--detach", "--name", name, ...(options.flags ?? [])]
    const up = await conduit(["dev", "up", "-f", mesh.#manifest(options.objects), ...words], {
      timeoutMs: UP_TIMEOUT_MS,
    })
    if (up.status === 0) return mesh
    await mesh[Symbol.asyncDispose]()
    throw new Error(`conduit dev up ended with ${up.status}:\n${up.stdout}${up.stderr}`)
  }

  /** Creates or changes objects, as `conduit dev apply` does. @throws Error with what it said when it does not */
  async apply(...objects: readonly unknown[]): Promise<void> {
    const { status, stderr } = await conduit([
      "dev",
      "apply",
      "-f",
      this.#manifest(objects),
      "--name",
      this.name,
    ])
    if (status !== 0 || stderr !== "") throw new Error(`conduit dev apply ended with ${status}: ${stderr}`)
  }

  /** Deletes objects, as `conduit dev delete` does. */
  async delete(...objects: readonly unknown[]): Promise<Ended> {
    return await conduit(["dev", "delete", "-f", this.#manifest(objects), "--name", this.name])
  }

  #manifest(objects: readonly unknown[]): string {
    const file = join(this.#folder, `${crypto.randomUUID()}.json`)
    writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }))
    return file
  }

  /** Pods as they are now, the control plane's too. */
  async pods(): Promise<readonly DevPod[]> {
    const listed = await conduit(["dev", "ps", "--name", this.name, "-o", "json"])
    if (listed.status !== 0) throw new Error(`conduit dev ps: ${listed.stderr}`)
    this.#pods = JSON.parse(listed.stdout) as DevPod[]
    return this.#pods
  }

  /** The first pod of a Deployment. @throws Error when there is none */
  async pod(namespace: string, deployment: string): Promise<DevPod> {
    const wanted = (pod: DevPod) => pod.namespace === namespace && pod.deployment === deployment
    const pod = this.#pods.find(wanted) ?? (await this.pods()).find(wanted)
    if (pod === undefined) throw new Error(`no pod of ${namespace}/${deployment}`)
    return pod
  }

  /** Runs a command in the first pod of a Deployment. */
  async exec(
    namespace: string,
    deployment: string,
    command: readonly string[],
    options: ExecOptions = {},
  ): Promise<Ended> {
    const { pod } = await this.pod(namespace, deployment)
    return conduit(["dev", "exec", "--name", this.name, "-n", namespace, pod, "--", ...command], options)
  }

  /** Starts a command in the first pod of a Deployment, with its input held open; it is ended by who starts it. */
  async start(namespace: string, deployment: string, command: readonly string[]): Promise<LabProcess> {
    const { pod } = await this.pod(namespace, deployment)
    const words = ["dev", "exec", "-i", "--name", this.name, "-n", namespace, pod, "--", ...command]
    const pipes = { stdin: "pipe", stdout: "pipe", stderr: "pipe" } as const
    return new LabProcess(Bun.spawn({ cmd: conduitCommand(words), cwd: PROJECT_ROOT, ...pipes }))
  }

  /** Runs a command of the CLI against this mesh: `cli("stat", "deploy", "-A", "-o", "json")`. */
  cli(...args: readonly string[]): Promise<Ended> {
    return conduit([...args, "--mesh", this.name])
  }

  /** What a container printed; for messages of failed tests. */
  async logs(namespace: string, deployment: string, container?: string): Promise<string> {
    const { pod } = await this.pod(namespace, deployment)
    const which = container === undefined ? [] : ["-c", container]
    const { stdout, stderr } = await conduit([
      "dev",
      "logs",
      "--name",
      this.name,
      "-n",
      namespace,
      pod,
      ...which,
    ])
    return stdout + stderr
  }

  /** The proxy's own metrics, as Prometheus text, from the first pod of a Deployment. */
  async metrics(namespace: string, deployment: string): Promise<string> {
    const url = "http://127.0.0.1:4191/metrics"
    const { status, stdout, stderr } = await this.exec(namespace, deployment, ["curl", "-sS", "--fail", url])
    if (status !== 0) throw new Error(`${url} in the pod of ${namespace}/${deployment}: ${stderr}`)
    return stdout
  }

  /** Ends the mesh. @throws Error when something is left of it */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#unguard()
    const down = await conduit(["dev", "down", "--name", this.name])
    rmSync(this.#folder, { recursive: true, force: true })
    if (down.status !== 0) throw new Error(`conduit dev down: ${down.stderr}`)
  }
}

function conduitCommand(args: readonly string[]): string[] {
  return [process.execPath, join(PROJECT_ROOT, "cli/main.ts"), ...args]
}

/** Starts the CLI; it is ended by who starts it. */
export function conduitProcess(...args: readonly string[]): LabProcess {
  const pipes = { stdin: "pipe", stdout: "pipe", stderr: "pipe" } as const
  return new LabProcess(Bun.spawn({ cmd: conduitCommand(args), cwd: PROJECT_ROOT, ...pipes }))
}

/** Runs the CLI. */
export async function conduit(args: readonly string[], options: ExecOptions = {}): Promise<Ended> {
  return run(conduitCommand(args), options)
}

/** Runs a command to its end. */
export async function run(cmd: readonly string[], options: ExecOptions = {}): Promise<Ended> {
  const child = Bun.spawn({
    cmd: [...cmd],
    cwd: PROJECT_ROOT,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  let late = false
  const timeoutMs = options.timeoutMs ?? EXEC_TIMEOUT_MS
  const timer = setTimeout(() => {
    late = true
    child.kill("SIGTERM")
    setTimeout(() => child.kill("SIGKILL"), 2000).unref()
  }, timeoutMs)
  const [stdout, stderr, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  clearTimeout(timer)
  if (late) return { status: 124, stdout, stderr: `${stderr}\nended after ${timeoutMs} ms` }
  return { status, stdout, stderr }
}
