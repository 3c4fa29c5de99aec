// The local mesh that the demo runs in, started and ended by the same `conduit dev` that people type.
import type { Subprocess } from "bun"
import { findLocalMesh, isWell, type LocalMesh, meshReport, Patience } from "../mod.ts"

/** What the demo asks of its mesh. */
export interface LocalMeshOptions {
  /** Its name: `conduit dev ... --name NAME`. */
  readonly name: string
  /** Manifest of what runs in it. */
  readonly manifest: string
  /** Root of the project: where the mesh is started, and paths in manifests begin. */
  readonly root: string
  /** Told lines of progress of `conduit dev up`. */
  readonly onProgress: (line: string) => void
}

/** Something went wrong with the mesh; the message is for the person who runs the demo. */
export class MeshError extends Error {}

/** Longest wait for all pods to be ready. */
const READY_LIMIT_MS = 120_000
/** Between two looks at the pods. */
const POLL_MS = 100
/** Longest wait for the mesh to end when told to. */
const END_LIMIT_MS = 30_000

/** A mesh that runs for as long as this process does: it ends by itself should this process be killed. */
export class DemoMesh {
  readonly #options: LocalMeshOptions
  readonly #runner: Subprocess
  #mesh: LocalMesh | null = null

  private constructor(options: LocalMeshOptions, runner: Subprocess) {
    this.#options = options
    this.#runner = runner
  }

  /** Starts the mesh. `ready` waits for its pods. @throws MeshError when a mesh of that name runs already */
  static start(options: LocalMeshOptions): DemoMesh {
    if (findLocalMesh(options.name) !== null)
      throw new MeshError(
        `a local mesh named "${options.name}" runs already; --name gives this one another name`,
      )
    const runner = Bun.spawn({
      // A session of its own: Ctrl-C is for the demo, which tells the mesh when it has shown what it has to show.
      cmd: ["setsid", ...DIE_WITH_DEMO, ...conduitDev("up", options.name, ["-f", options.manifest])],
      cwd: options.root,
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    })
    void text(runner.stderr, options.onProgress)
    return new DemoMesh(options, runner)
  }

  /**
   * Waits until all pods are ready. Gives the address of the public API, `http://HOST:PORT`.
   *
   * @throws MeshError when they do not get ready, or the mesh ends; what it said was told as progress
   */
  async ready(signal: AbortSignal): Promise<string> {
    const startMs = performance.now()
    const patience = new Patience()
    while (!signal.aborted) {
      if (this.#runner.exitCode !== null) throw new MeshError("the local mesh did not start")
      this.#mesh = findLocalMesh(this.#options.name)
      if (this.#mesh !== null && this.#mesh.apiAddr !== "") {
        const { pods } = await meshReport(this.#mesh)
        const unwell = pods.filter(pod => !isWell(pod, Date.now()))
        if (unwell.length === 0 && pods.length > 0) break
        if (patience.isOver(unwell)) throw new MeshError(`not ready: ${names(unwell)}`)
        if (performance.now() - startMs > READY_LIMIT_MS)
          throw new MeshError(`not ready within ${READY_LIMIT_MS / 1000} s: ${names(unwell)}`)
      }
      await Bun.sleep(POLL_MS)
    }
    return `http://${this.#mesh?.apiAddr}`
  }

  /** Address of the dashboard; once the mesh is ready. */
  get dashboardUrl(): string {
    return `http://${this.#mesh?.webAddr}/`
  }

  /** Ends the mesh. @throws MeshError when something is left of it */
  async end(): Promise<void> {
    this.#runner.kill("SIGTERM")
    const force = setTimeout(() => this.#runner.kill("SIGKILL"), END_LIMIT_MS)
    await this.#runner.exited
    clearTimeout(force)
    // Finds nothing, after a good end.
    const down = await conduit(this.#options, ["down"])
    if (down.status !== 0) throw new MeshError(`the local mesh could not be ended: ${lastLine(down.stderr)}`)
  }

  /**
   * What a command prints that runs in the pod of a Deployment with one replica.
   *
   * @throws MeshError when there is no such pod, or the command fails
   */
  async exec(namespace: string, deployment: string, command: readonly string[]): Promise<string> {
    const what = ["exec", "-n", namespace, `deploy/${deployment}`, "--", ...command]
    const { status, stdout, stderr } = await conduit(this.#options, what)
    if (status === 0) return stdout
    throw new MeshError(`${command[0]} failed in ${namespace}/${deployment}: ${lastLine(stderr)}`)
  }
}

/** Runs a command that is sent SIGTERM when this process is gone, killed or not. */
const DIE_WITH_DEMO = ["setpriv", "--pdeathsig", "TERM"]

function conduitDev(subcommand: string, name: string, args: readonly string[]): string[] {
  return [process.execPath, "cli/main.ts", "dev", subcommand, "--name", name, ...args]
}

function names(pods: readonly { readonly namespace: string; readonly name: string }[]): string {
  return pods.map(pod => `${pod.namespace}/${pod.name}`).join(", ")
}

interface Done {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

async function conduit(
  options: LocalMeshOptions,
  [subcommand = "", ...args]: readonly string[],
): Promise<Done> {
  const child = Bun.spawn({
    // A session of its own: Ctrl-C does not end what the demo is just asking.
    cmd: ["setsid", "--wait", ...conduitDev(subcommand, options.name, args)],
    cwd: options.root,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  const ignore = () => undefined
  const [stdout, stderr] = await Promise.all([text(child.stdout, ignore), text(child.stderr, ignore)])
  return { status: await child.exited, stdout, stderr }
}

async function text(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<string> {
  const decoder = new TextDecoder()
  let all = ""
  let rest = ""
  for await (const chunk of stream) {
    const piece = decoder.decode(chunk, { stream: true })
    all += piece
    const lines = (rest + piece).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) onLine(line)
  }
  if (rest !== "") onLine(rest)
  return all
}

function lastLine(text: string): string {
  return text.trimEnd().split("\n").at(-1) ?? "no reason given"
}
