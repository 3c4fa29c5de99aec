// Talks to the runner of a local mesh: what `conduit dev ps|exec|apply|delete|down` are made of.
import { join } from "node:path"
import type { Change } from "./cluster.ts"
import type { ExecContext } from "./control_server.ts"
import { childrenOf, signal } from "./net/processes.ts"
import type { KubeObject } from "./objects/kube_object.ts"
import { becomeUser, enterFlags, withEnvironment } from "./pod/container.ts"
import type { MeshReport } from "./report.ts"
import {
  isRunning,
  type LocalMesh,
  meshFolder,
  readState,
  removeLeftovers,
  removeRunnerLog,
} from "./state.ts"

/** A pod may take this long to end on `down`, on top of what the runner grants. */
const DOWN_TIMEOUT_MS = 20_000

/** What the runner answered when it could not do as asked; the message is for the person. */
export class MeshRefusal extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = "MeshRefusal"
  }
}

/** Pods and forwards of a mesh. */
export function meshReport(mesh: LocalMesh): Promise<MeshReport> {
  return call(mesh, "GET", "/v1/status")
}

/** Creates or changes objects in a mesh. */
export function applyObjects(mesh: LocalMesh, objects: readonly KubeObject[]): Promise<Change[]> {
  return call(mesh, "POST", "/v1/apply", objects)
}

/** Deletes objects of a mesh. */
export function deleteObjects(mesh: LocalMesh, objects: readonly KubeObject[]): Promise<Change[]> {
  return call(mesh, "POST", "/v1/delete", objects)
}

/** Signals that a terminal sends to all of `execCommand`, and those that a caller passes on to its last process. */
const EXEC_SIGNALS = ["INT", "QUIT", "TERM", "HUP"]

/**
 * The command line that runs `command` in a container as its own processes run: namespaces, user, environment,
 * folder. Only the command itself is ended by signals; what stands before it waits for it, and ends with its exit
 * code or with 128 and its signal's number.
 *
 * @param environment  variables over the container's own, such as TERM
 */
export async function execCommand(
  mesh: LocalMesh,
  target: { readonly namespace: string; readonly pod: string; readonly container: string },
  command: readonly string[],
  environment: Readonly<Record<string, string>>,
): Promise<string[]> {
  const query = new URLSearchParams(target)
  const context = await call<ExecContext>(mesh, "GET", `/v1/exec?${query}`)
  const inside = withEnvironment({ ...context.environment, ...environment }, [
    ...becomeUser(context.user, context.group),
    ...command,
  ])
  // nsenter would end at a signal and leave the command behind; and the runtime that starts it ignores SIGPIPE,
  // which nobody's `| head` wants inherited.
  const unmoved = ["env", `--ignore-signal=${EXEC_SIGNALS.join(",")}`]
  const asUsual = ["env", `--default-signal=${[...EXEC_SIGNALS, "PIPE"].join(",")}`]
  const script = `trap : ${EXEC_SIGNALS.join(" ")}; cd -- "$1" 2>/dev/null; shift; "$@"; exit $?`
  const enterFolder = [...asUsual, "sh", "-c", script, "sh", context.workingDir]
  const [nsenter = "nsenter", ...flags] = enterFlags(context.pid)
  // Without root the mesh is in a user namespace of its own; see user_namespace.ts.
  const user = process.getuid?.() === 0 ? [] : ["--user"]
  return [...unmoved, nsenter, ...user, ...flags, ...enterFolder, ...inside]
}

/**
 * Sends a signal to the command that an `execCommand` runs, as if it had been sent there.
 *
 * @param pid  of the first process of the command line
 */
export function signalExec(pid: number, name: NodeJS.Signals): void {
  const shell = childrenOf(pid)[0]
  const command = shell === undefined ? undefined : childrenOf(shell)[0]
  if (command !== undefined) signal(command, name)
}

/** File that holds what a container printed. */
export function logFile(mesh: LocalMesh, namespace: string, pod: string, container: string): string {
  return join(mesh.folder, "logs", namespace, pod, `${container}.log`)
}

/**
 * Ends a mesh in good order if its runner lives, and removes whatever is left of it.
 *
 * @returns false when there was nothing of that name
 */
export async function endMesh(name: string): Promise<boolean> {
  const state = readState(name)
  if (state !== null && isRunning(state)) {
    const mesh = { name, apiAddr: state.apiAddr, webAddr: state.webAddr, state, folder: meshFolder(name) }
    // One that does not answer yet is still starting: it ends at once, and what it made is removed below.
    await call(mesh, "POST", "/v1/down", {}).catch(() => signal(state.runner.pid, "SIGTERM"))
    for (let waited = 0; waited < DOWN_TIMEOUT_MS && isRunning(state); waited += 20) await Bun.sleep(20)
    if (isRunning(state)) process.kill(state.runner.pid, "SIGKILL")
    for (let waited = 0; waited < 2_000 && isRunning(state); waited += 20) await Bun.sleep(20)
  }
  const left = await removeLeftovers(name)
  removeRunnerLog(name)
  return left || state !== null
}

async function call<T>(mesh: LocalMesh, method: string, path: string, body?: unknown): Promise<T> {
  let response: Response
  try {
    response = await fetch(`http://runner${path}`, {
      method,
      unix: mesh.state.controlSocket,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
  } catch (error) {
    throw new MeshRefusal(
      `the local mesh "${mesh.name}" does not answer on ${mesh.state.controlSocket}; conduit dev down --name ${mesh.name} removes it`,
      { cause: error },
    )
  }
  if (!response.ok) throw new MeshRefusal((await response.text()).trim())
  return (await response.json()) as T
}
