// What a running local mesh leaves on disk for other commands to find it: a folder per mesh with state.json.
//
//   <root>/NAME/state.json     MeshState below, replaced whole
//   <root>/NAME/control.sock   HTTP: status, apply, delete, down (control_server.ts)
//   <root>/NAME/relay.sock     "CONNECT ADDRESS PORT\n" -> "OK\n", then bytes: the way to any address inside
//   <root>/NAME/manifests/     objects as the control plane sees them (objects/manifests_folder.ts)
//   <root>/NAME/logs/NAMESPACE/POD/CONTAINER.log, logs/router.log
//   <root>/NAME.log            what the runner of a detached mesh says
//   <root>/NAME/pods/, volumes/, build/, bin/   the runner's own
//
// <root> is /run/conduit/dev for root, else /tmp/conduit-UID/dev.
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { isAlive, markedPids, signal, startTimeOf } from "./net/processes.ts"

/** Longest name of a mesh: its sockets' paths must fit into 107 bytes. */
export const MAX_NAME_LENGTH = 40

/** Content of state.json. */
export interface MeshState {
  readonly version: 1
  readonly name: string
  /** Marks the mesh's processes: CONDUIT_DEV_ID in their environment. */
  readonly id: string
  /** The runner, by pid and start time, so that a reused pid is not taken for it. */
  readonly runner: { readonly pid: number; readonly startTime: string | null }
  readonly startedAt: string
  /** `127.0.0.1:PORT` of the public API, "" until it listens. */
  readonly apiAddr: string
  /** `127.0.0.1:PORT` of the dashboard, "" until it listens. */
  readonly webAddr: string
  readonly conduitNamespace: string
  readonly controlSocket: string
  readonly relaySocket: string
  /** Files and folders that it follows, absolute; those of an older runner are not known. */
  readonly sources?: readonly string[]
}

/** A mesh that runs on this machine. */
export interface LocalMesh {
  readonly name: string
  /** Address of its public API on this machine, `127.0.0.1:PORT`. */
  readonly apiAddr: string
  /** Address of its dashboard on this machine, `127.0.0.1:PORT`. */
  readonly webAddr: string
  readonly state: MeshState
  readonly folder: string
}

/** Folder that holds a folder per mesh. */
export function meshRoot(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const uid = env.CONDUIT_DEV_USERNS ?? String(process.getuid?.() ?? 0)
  // Not $XDG_RUNTIME_DIR: nobody but its owner can go there, and proxies run as another user.
  return uid === "0" ? "/run/conduit/dev" : `/tmp/conduit-${uid}/dev`
}

/** Folder of the mesh of that name. */
export function meshFolder(name: string): string {
  return join(meshRoot(), name)
}

/** File that gets what the runner of a detached mesh says; beside the folder, which the runner makes anew. */
export function runnerLogFile(name: string): string {
  mkdirSync(meshRoot(), { recursive: true })
  return join(meshRoot(), `${name}.log`)
}

/** Removes that file; the last thing to go, since it says why the rest went wrong. */
export function removeRunnerLog(name: string): void {
  const root = meshRoot()
  for (const entry of filesIn(root)) {
    // Also those of runners that did not come up.
    if (entry === `${name}.log` || entry.startsWith(`${name}.log.`))
      rmSync(join(root, entry), { force: true })
  }
  if (!root.startsWith("/tmp/")) return
  try {
    // Only when the last mesh has gone; rmdir refuses otherwise.
    rmdirSync(root)
    rmdirSync(dirname(root))
  } catch {
    // Another mesh lives there, or nothing ever did.
  }
}

/** A sentence about what is wrong with a mesh's name, null when it can be used. */
export function nameComplaint(name: string): string | null {
  if (/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) && name.length <= MAX_NAME_LENGTH) return null
  return `--name cannot be "${name}": use at most ${MAX_NAME_LENGTH} lower-case letters, digits and "-"`
}

/** State of a mesh, running or left over; null when there is none. */
export function readState(name: string): MeshState | null {
  try {
    return JSON.parse(readFileSync(join(meshFolder(name), "state.json"), "utf8")) as MeshState
  } catch {
    return null
  }
}

/** Replaces state.json. */
export function writeState(state: MeshState): void {
  const folder = meshFolder(state.name)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, ".state.json"), `${JSON.stringify(state, null, 2)}\n`)
  renameSync(join(folder, ".state.json"), join(folder, "state.json"))
}

/** Whether the runner of that state lives. */
export function isRunning(state: MeshState): boolean {
  return isAlive(state.runner.pid, state.runner.startTime)
}

/** Names of all meshes that have a folder, running or left over. */
export function meshNames(): string[] {
  try {
    return readdirSync(meshRoot()).filter(name => readState(name) !== null)
  } catch {
    return []
  }
}

/** The running mesh of that name; null when it does not run. */
export function findLocalMesh(name = "dev"): LocalMesh | null {
  const state = readState(name)
  if (state === null || !isRunning(state)) return null
  return { name, apiAddr: state.apiAddr, webAddr: state.webAddr, state, folder: meshFolder(name) }
}

/** All meshes that run on this machine and whose API can be reached, by name. */
export async function runningMeshes(): Promise<readonly LocalMesh[]> {
  const meshes = meshNames().map(name => findLocalMesh(name))
  return meshes.filter(mesh => mesh !== null && mesh.apiAddr !== "") as LocalMesh[]
}

/**
 * Removes whatever a mesh whose runner is gone has left: marked processes and its folder. Its namespaces and
 * mounts are held by those processes alone and go with them.
 *
 * @returns whether there was anything
 */
export async function removeLeftovers(name: string): Promise<boolean> {
  const state = readState(name)
  const folder = meshFolder(name)
  if (state !== null) {
    for (let round = 0; round < 100; round++) {
      const pids = markedPids(state.id).filter(pid => pid !== process.pid)
      if (pids.length === 0) break
      for (const pid of pids) signal(pid, "SIGKILL")
      await Bun.sleep(20)
    }
  }
  const existed = state !== null || readdirSafe(folder)
  rmSync(folder, { recursive: true, force: true })
  return existed
}

/** This process as the runner of a state. */
export function thisRunner(): MeshState["runner"] {
  return { pid: process.pid, startTime: startTimeOf(process.pid) }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readdirSafe(folder: string): boolean {
  try {
    readdirSync(folder)
    return true
  } catch {
    return false
  }
}
