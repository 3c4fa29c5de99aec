// The stage of one program: its servers and a client twice in one local mesh, once without the mesh (namespace
// `direct`) and once within it (namespace `meshed`).
import { chmodSync, mkdirSync, rmSync } from "node:fs"
import { join } from "node:path"
import { beforeExit, DevMesh, type Ended, run } from "../lab/dev_mesh.ts"
import { tempFolder } from "../lab/temp_folder.ts"
import type { Case, Program } from "./program.ts"

/** The two sides of the stage, which are namespaces. */
export type Side = "direct" | "meshed"
const SIDES: readonly Side[] = ["direct", "meshed"]

/** A program made ready to be tried. */
export class Stage implements AsyncDisposable {
  readonly mesh: DevMesh
  readonly #folder: string
  readonly #removeFolder: () => void

  private constructor(mesh: DevMesh, folder: string, removeFolder: () => void) {
    this.mesh = mesh
    this.#folder = folder
    this.#removeFolder = removeFolder
  }

  /** Prepares the program's files, and starts its servers and clients. @throws Error when they do not get ready */
  static async set(program: Program): Promise<Stage> {
    const folder = tempFolder(`program-${program.name}`)
    const remove = () => rmSync(folder, { recursive: true, force: true })
    const unguard = beforeExit(remove)
    const removeFolder = () => {
      unguard()
      remove()
    }
    try {
      // Servers that give up root must still find their files.
      chmodSync(folder, 0o755)
      for (const each of ["shared", ...SIDES]) mkdirSync(join(folder, each))
      if (program.prepare !== undefined) {
        const prepare = `cd "$SHARED" && ${program.prepare}`
        const prepared = await run(["env", `SHARED=${folder}/shared`, "bash", "-c", prepare])
        if (prepared.status !== 0) throw new Error(`${program.name}: cannot prepare: ${prepared.stderr}`)
      }
      const objects = SIDES.flatMap(side => objectsOf(program, side, folder))
      return new Stage(await DevMesh.up({ name: program.name, objects }), folder, removeFolder)
    } catch (error) {
      removeFolder()
      throw error
    }
  }

  /** Runs a case on one side. */
  run(one: Case, side: Side): Promise<Ended> {
    return this.mesh.exec(side, "client", ["bash", "-c", inFolder(this.#folder, side, one.script)], {
      timeoutMs: one.timeoutMs ?? 60_000,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.mesh[Symbol.asyncDispose]()
    } finally {
      this.#removeFolder()
    }
  }
}

function inFolder(folder: string, side: Side, script: string): string {
  return `export DIR=${folder}/${side} SHARED=${folder}/shared && cd "$DIR" || exit 1\n${script}`
}

function objectsOf(program: Program, side: Side, folder: string): unknown[] {
  const workload = (name: string, container: Record<string, unknown>) => ({
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: side },
    spec: {
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: { terminationGracePeriodSeconds: 2, containers: [{ name, image: "none", ...container }] },
      },
    },
  })
  return [
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: side,
        annotations: { "conduit.io/inject": side === "meshed" ? "enabled" : "disabled" },
      },
    },
    workload("client", { command: ["sleep", "infinity"] }),
    ...program.servers.flatMap(server => [
      workload(server.name, {
        command: ["bash", "-c", inFolder(folder, side, server.script)],
        ports: server.ports.map(containerPort => ({ containerPort })),
        readinessProbe: { tcpSocket: { port: server.ports[0] }, periodSeconds: 1, failureThreshold: 60 },
      }),
      {
        apiVersion: "v1",
        kind: "Service",
        metadata: { name: server.name, namespace: side },
        spec: {
          selector: { app: server.name },
          ports: server.ports.map(port => ({ name: `port-${port}`, port })),
        },
      },
    ]),
  ]
}
