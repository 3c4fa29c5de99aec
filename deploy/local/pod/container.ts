// One run of one container: a local process in the pod's namespaces, in process and mount namespaces of its
// own, so that whatever it starts ends with it and its volumes are seen by nobody else.
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { childrenOf, signal } from "../net/processes.ts"
import { quote } from "./sandbox.ts"

/** Mounts and `exec` take milliseconds; a machine that needs longer than this is stuck. */
const START_TIMEOUT_MS = 15_000
/** Pause between two looks for the container's process. */
const START_POLL_MS = 2

/** What to run. */
export interface ContainerCommand {
  readonly command: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly workingDir: string
  /** null runs as the runner's own user. */
  readonly user: number | null
  readonly group: number | null
  /** Lines of sh that mount its volumes; see volumes.ts. */
  readonly mounts: readonly string[]
}

/** Where to run it. */
export interface ContainerPlace {
  /** Host process id of the sandbox. */
  readonly sandboxPid: number
  /** Folder for scripts; only root reads it, since environments hold secrets. */
  readonly folder: string
  readonly logFile: string
}

/** How a run ended. `code` is 128 + the signal's number when a signal ended it, as a shell says it. */
export interface ContainerExit {
  readonly code: number
}

/** A running container. */
export interface RunningContainer {
  /** Host process id of its main process. */
  readonly pid: number
  readonly exited: Promise<ContainerExit>
  /** Sends a signal to its main process. */
  signal(name: NodeJS.Signals): void
  /** Kills it with everything it started. */
  kill(): void
}

/** Flags of nsenter that enter a sandbox, or a container when given a process in one. */
export function enterFlags(pid: number): string[] {
  return ["nsenter", `--target=${pid}`, "--mount", "--uts", "--ipc", "--net", "--pid"]
}

/**
 * Starts a container and waits until its own command runs.
 *
 * @throws Error with a sentence when it could not be started; a command that is not found does not throw, it
 *   ends with 127 as in a shell
 */
export async function startContainer(
  name: string,
  what: ContainerCommand,
  place: ContainerPlace,
): Promise<RunningContainer> {
  mkdirSync(place.folder, { recursive: true, mode: 0o700 })
  mkdirSync(dirname(place.logFile), { recursive: true })
  const script = join(place.folder, `${name}.sh`)
  const started = join(place.folder, `${name}.started`)
  rmSync(started, { force: true })
  writeFileSync(script, startScript(what, started, place.logFile), { mode: 0o600 })
  // What the tools themselves say is not the container's output.
  const complaints = join(place.folder, `${name}.err`)
  const log = openSync(complaints, "w")
  let outer: Bun.Subprocess<"ignore", number, number>
  try {
    outer = Bun.spawn(
      [
        ...enterFlags(place.sandboxPid),
        "unshare",
        "--fork",
        "--kill-child=KILL",
        "--pid",
        "--mount-proc",
        "sh",
        script,
      ],
      {
        stdin: "ignore",
        stdout: log,
        stderr: log,
        env: { PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin" },
      },
    )
  } finally {
    closeSync(log)
  }
  // nsenter -> unshare -> sh, first process of the container's namespace -> the command
  const first = await waitFor(outer, () => {
    if (!existsSync(started)) return undefined
    const shell = childrenOf(childrenOf(outer.pid)[0] ?? -1)[0]
    const main = shell === undefined ? undefined : childrenOf(shell)[0]
    return shell === undefined || main === undefined ? undefined : { shell, main }
  })
  // Once it has ended its process ids may be anyone's.
  let ended = false
  const exited = outer.exited.then(code => {
    ended = true
    return { code }
  })
  if (first === null) {
    // It ended before it was seen, or before its command began; the log has the reason.
    if (!existsSync(started)) {
      const { code } = await exited
      const said = readFileSync(complaints, "utf8").trim().split("\n").at(-1) ?? ""
      throw new Error(`it could not be set up: ${said === "" ? `exit ${code}, see its log` : said}`)
    }
    return { pid: 0, exited, signal: () => {}, kill: () => {} }
  }
  return {
    pid: first.main,
    exited,
    signal: which => {
      if (!ended) signal(first.main, which)
    },
    kill: () => {
      if (!ended) signal(first.shell, "SIGKILL")
    },
  }
}

/** Arguments that become another user without any of root's groups; none for the runner's own user. */
export function becomeUser(user: number | null, group: number | null): string[] {
  if (user === null && group === null) return []
  const gid = group ?? user ?? 0
  return ["setpriv", ...(user === null ? [] : [`--reuid=${user}`]), `--regid=${gid}`, "--clear-groups", "--"]
}

/** `env -i` with a command, safe for commands that look like assignments. */
export function withEnvironment(
  environment: Readonly<Record<string, string>>,
  command: readonly string[],
): string[] {
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  const plain = command[0]?.includes("=") === true ? ["sh", "-c", 'exec "$@"', "sh", ...command] : command
  return ["env", "-i", ...assignments, ...plain]
}

function startScript(what: ContainerCommand, started: string, logFile: string): string {
  const command = withEnvironment(what.environment, [...becomeUser(what.user, what.group), ...what.command])
  return [
    "set -e",
    ...what.mounts,
    `cd ${quote(what.workingDir)}`,
    `exec >>${quote(logFile)} 2>&1`,
    `: > ${quote(started)}`,
    "set +e",
    command.map(quote).join(" "),
    // Not the last command's own status: sh must stay as the first process and reap, not become the command.
    "exit $?",
    "",
  ].join("\n")
}

async function waitFor<T>(outer: Bun.Subprocess, look: () => T | undefined): Promise<T | null> {
  for (let waited = 0; waited < START_TIMEOUT_MS; waited += START_POLL_MS) {
    const found = look()
    if (found !== undefined) return found
    if (outer.exitCode !== null || outer.signalCode !== null) return null
    await Bun.sleep(START_POLL_MS)
  }
  outer.kill("SIGKILL")
  return null
}
