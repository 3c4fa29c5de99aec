// `conduit dev up`: starts a local mesh, here in the foreground or as a process of its own.
import { openSync, readFileSync, renameSync, rmSync } from "node:fs"
import {
  checkInject,
  checkOwner,
  culprit,
  endMesh,
  type ForwardRequest,
  findLocalMesh,
  type GivenIdentity,
  isWell,
  type LocalMesh,
  loadManifests,
  logFile,
  type MeshReport,
  meshFolder,
  meshReport,
  meshRoot,
  NameTakenError,
  Patience,
  type PodReport,
  preflight,
  type RunningMesh,
  readGivenIdentity,
  removeRunnerLog,
  runnerLogFile,
  startMesh,
  userNamespace,
} from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { parseDurationMs } from "../command_line/duration.ts"
import { Failure, UsageError } from "../failure.ts"
import { flagValues } from "../flags.ts"
import { CLIENT_VERSION } from "../version.ts"
import { FILE_FLAGS, filesOf, objectsOf } from "./apply.ts"
import { MESH_FLAGS, meshName } from "./mesh.ts"
import { type Progress, progressOn } from "./progress.ts"

/** How long `dev up` waits for all pods. */
export const DEFAULT_TIMEOUT = "120s"
/** Set in the environment of the process that holds a detached mesh. */
const DETACHED = "CONDUIT_DEV_DETACHED"
/** A runner that no longer answers has this long to be gone, before it counts as stuck. */
const LAST_STEPS_MS = 3_000
/** How often pods are looked at while waiting. */
const POLL_MS = 100
/** Lines of a failing container's log that are shown. */
const LOG_LINES = 5

const args = {
  ...MESH_FLAGS,
  ...FILE_FLAGS,
  detach: { type: "boolean", alias: "d", description: "return when all pods are ready; the mesh goes on" },
  timeout: {
    type: "string",
    valueHint: "DURATION",
    description: `how long to wait for pods (default: ${DEFAULT_TIMEOUT})`,
  },
  keep: {
    type: "boolean",
    description: "with --detach: leave the mesh running also when pods do not become ready",
  },
  forward: {
    type: "string",
    valueHint: "PORT:SERVICE[.NS]:PORT",
    description: "lead a port of 127.0.0.1 to a Service; may come several times",
  },
  "conduit-namespace": {
    type: "string",
    valueHint: "NAMESPACE",
    description: "namespace of the control plane (default: conduit)",
  },
  "identity-trust-anchors-file": {
    type: "string",
    valueHint: "FILE",
    description: "PEM bundle of trust anchors (default: the mesh makes its own)",
  },
  "identity-issuer-certificate-file": {
    type: "string",
    valueHint: "FILE",
    description: "PEM certificate of the issuer, its intermediates after it",
  },
  "identity-issuer-key-file": {
    type: "string",
    valueHint: "FILE",
    description: "PEM key of the issuer, ECDSA P-256",
  },
  "identity-issuance-lifetime": {
    type: "string",
    valueHint: "DURATION",
    description: "life of a workload's certificate (default: 24h)",
  },
  "identity-clock-skew-allowance": {
    type: "string",
    valueHint: "DURATION",
    description: "clocks may differ by this (default: 20s)",
  },
} as const

/** `conduit dev up -f FILE`. */
export const up = command({
  meta: { name: "up", description: "Starts a local mesh from manifests" },
  args,
  examples: [
    { line: "conduit dev up -f shop.yaml", why: "in the foreground; Ctrl-C ends it" },
    { line: "conduit dev up -f k8s/ -f extra.yaml --detach", why: "returns when all pods are ready" },
    {
      line: "conduit dev up -f shop.yaml --forward 8080:web.shop:80",
      why: "reach a Service from this machine",
    },
  ],
  async run({ args: given, rawArgs }) {
    const name = meshName(given)
    const files = await filesOf(args, rawArgs, "conduit dev up")
    const timeoutMs = parseDurationMs(given.timeout ?? DEFAULT_TIMEOUT, "--timeout")
    const forwards = await forwardsOf(rawArgs, given.namespace ?? "default")
    const conduitNamespace = given["conduit-namespace"] ?? process.env.CONDUIT_NAMESPACE ?? "conduit"
    const objects = await objectsOf(files, given.namespace, conduitNamespace)
    if (objects.length === 0)
      throw new Failure(`nothing to run: ${files.join(", ")} holds no object that conduit dev runs`)
    const identity = identityOf(given)
    const running = findLocalMesh(name)
    if (running !== null) throw new NameTakenError(name, running.state.runner.pid)
    const namespace = userNamespace({ outlive: given.detach === true })
    if (namespace.length === 0) preflight()
    else checkOwner(meshRoot())
    const progress = progressOn(text => process.stderr.write(text), process.stderr.isTTY === true)
    if (given.detach === true && process.env[DETACHED] === undefined) {
      return await detached(name, namespace, timeoutMs, given.keep === true, progress)
    }
    if (namespace.length > 0) return await inNamespace(namespace)
    const ended = Promise.withResolvers<void>()
    const follow = files.filter(file => file !== "-")
    const mesh = await startMesh({
      name,
      version: CLIENT_VERSION,
      conduitNamespace,
      objects,
      sources: follow.length === files.length ? follow : [],
      reload: () =>
        loadManifests(files, {
          ...(given.namespace === undefined ? {} : { namespace: given.namespace }),
          check: object => void checkInject(object, conduitNamespace),
        }).objects,
      forwards,
      identity,
      workingDir: process.cwd(),
      onMessage: message => progress.line(`conduit: ${message}`),
      onEnd: () => ended.resolve(),
    })
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => ended.resolve())
    if (process.env[DETACHED] === undefined) void foreground(mesh, timeoutMs, progress)
    await ended.promise
    progress.line("conduit: ending the mesh")
    await mesh.stop()
    removeRunnerLog(name)
    process.exit(0)
  },
})

async function foreground(mesh: RunningMesh, timeoutMs: number, progress: Progress): Promise<void> {
  const begunMs = performance.now()
  const outcome = await settle(async () => mesh.report(), timeoutMs, progress)
  progress.end()
  const { name, apiAddr, webAddr } = mesh.state
  if (outcome.unwell.length > 0) {
    const live: LocalMesh = { name, apiAddr, webAddr, state: mesh.state, folder: meshFolder(name) }
    progress.line(unwellText(live, outcome.unwell))
    progress.line("the others run; conduit: edit the manifests to try again, Ctrl-C ends the mesh")
    return
  }
  progress.line(readyText(name, outcome.report, performance.now() - begunMs))
  progress.line("Ctrl-C ends it")
}

/** The same command again, as root of a user namespace. */
async function inNamespace(namespace: readonly string[]): Promise<void> {
  const child = Bun.spawn([...namespace, process.execPath, process.argv[1] ?? "", ...process.argv.slice(2)], {
    stdin: "inherit",
    stdout: "inherit",
    stderr: "inherit",
  })
  // A terminal interrupts both; the one inside ends the mesh, and this one waits for it.
  process.on("SIGINT", () => child.kill("SIGTERM"))
  process.on("SIGTERM", () => child.kill("SIGTERM"))
  process.exit(await child.exited)
}

async function detached(
  name: string,
  namespace: readonly string[],
  timeoutMs: number,
  keep: boolean,
  progress: Progress,
): Promise<void> {
  const begunMs = performance.now()
  const log = new PendingLog(runnerLogFile(name))
  const script = process.argv[1] ?? ""
  const words = process.argv.slice(2)
  const child = Bun.spawn(["setsid", ...namespace, process.execPath, script, ...words], {
    stdin: "ignore",
    stdout: log.descriptor,
    stderr: log.descriptor,
    env: { ...process.env, [DETACHED]: "1" },
  })
  child.unref()
  process.on("SIGINT", () => {
    progress.line("conduit: interrupted, ending the mesh")
    void endMesh(name).then(() => process.exit(130))
  })
  const begin = Date.now()
  let mesh: LocalMesh | null = null
  while (mesh === null) {
    await Bun.sleep(20)
    const { exitCode, signalCode } = child
    if (exitCode !== null || signalCode !== null || Date.now() - begin > timeoutMs) {
      const said = log.lastLines(20)
      // Another runner of that name is not ours to end.
      if (findLocalMesh(name)?.state.runner.pid !== child.pid && findLocalMesh(name) !== null) log.remove()
      else await endMesh(name)
      if (said !== "") throw new Failure(said.replace(/^conduit: /, ""))
      throw new Failure(
        signalCode === null
          ? `the mesh "${name}" did not start`
          : `the mesh "${name}" was ended by ${signalCode} before it was up; nothing is left of it`,
      )
    }
    const found = findLocalMesh(name)
    if (found !== null && found.apiAddr !== "" && found.state.runner.pid === child.pid) mesh = found
  }
  log.keep()
  const live = mesh
  const outcome = await settle(() => meshReport(live), timeoutMs, progress).catch(async (error: unknown) => {
    progress.end()
    const isThere = () => findLocalMesh(name)?.state.id === live.state.id
    for (let waited = 0; waited < LAST_STEPS_MS && isThere(); waited += POLL_MS) await Bun.sleep(POLL_MS)
    if (isThere()) throw error
    const left = findLocalMesh(name) === null && (await endMesh(name))
    throw new Failure(
      `the mesh "${name}" was ended before its pods were ready${left ? "; what it left is removed" : ""}`,
    )
  })
  progress.end()
  if (outcome.unwell.length === 0) {
    progress.line(readyText(name, outcome.report, performance.now() - begunMs))
    return
  }
  const why = unwellText(live, outcome.unwell)
  if (keep) {
    throw new Failure(
      `${why}\nthe mesh is left running: conduit dev logs shows more, conduit dev down --name ${name} ends it`,
    )
  }
  await endMesh(name)
  throw new Failure(`${why}\nthe mesh was ended; --keep leaves it running`)
}

/** What a runner says: a file of its own until the mesh is its own, so that two beginners do not mix theirs. */
class PendingLog {
  readonly descriptor: number
  readonly #path: string
  readonly #pending: string

  constructor(path: string) {
    this.#path = path
    this.#pending = `${path}.${process.pid}`
    this.descriptor = openSync(this.#pending, "a")
  }

  keep(): void {
    renameSync(this.#pending, this.#path)
  }

  remove(): void {
    rmSync(this.#pending, { force: true })
  }

  lastLines(count: number): string {
    return lastLines(this.#pending, count)
  }
}

interface Outcome {
  readonly report: MeshReport
  readonly unwell: readonly PodReport[]
}

/** Waits until all pods are well, the time is over, or those that are not well never will be. */
async function settle(
  ask: () => Promise<MeshReport>,
  timeoutMs: number,
  progress: Progress,
): Promise<Outcome> {
  const deadlineMs = performance.now() + timeoutMs
  const patience = new Patience()
  for (;;) {
    const report = await ask()
    progress.update(report.pods)
    const unwell = report.pods.filter(pod => !isWell(pod, Date.now()))
    // All of them ending is the mesh's own end.
    if (unwell.length === 0 && report.pods.some(pod => !pod.terminating)) return { report, unwell }
    if (patience.isOver(unwell)) return { report, unwell }
    if (performance.now() > deadlineMs) return { report, unwell }
    await Bun.sleep(POLL_MS)
  }
}

function readyText(name: string, report: MeshReport, ms: number): string {
  const meshed = report.pods.filter(pod => pod.meshed).length
  const forwards = report.forwards
    .map(({ port, target }) => `\n  http://127.0.0.1:${port} leads to ${target}`)
    .join("")
  return `the local mesh "${name}" is ready: ${report.pods.length} pods, ${meshed} of them meshed, in ${(ms / 1000).toFixed(1)} s${forwards}`
}

function unwellText(mesh: LocalMesh, unwell: readonly PodReport[]): string {
  const lines = [`${unwell.length} ${unwell.length === 1 ? "pod is" : "pods are"} not ready:`]
  for (const pod of unwell) {
    lines.push(`  ${pod.namespace}/${pod.name}: ${pod.reason}`)
    const guilty = culprit(pod)
    if (guilty === null) continue
    const said = lastLines(logFile(mesh, pod.namespace, pod.name, guilty.name), LOG_LINES)
    for (const line of said === "" ? [] : said.split("\n")) lines.push(`    ${guilty.name} | ${line}`)
  }
  return lines.join("\n")
}

function lastLines(path: string, count: number): string {
  try {
    return readFileSync(path, "utf8").trimEnd().split("\n").slice(-count).join("\n")
  } catch {
    return ""
  }
}

/** Shortest life that leaves time to renew; the identity service takes no less. */
const MIN_LIFETIME_MS = 10_000
/** Longest life; the identity service takes no more. */
const MAX_LIFETIME_MS = 720 * 3_600_000
const MAX_SKEW_MS = 3_600_000

function identityOf(given: Readonly<Record<string, unknown>>): GivenIdentity {
  const text = (flag: string) => (typeof given[flag] === "string" ? (given[flag] as string) : undefined)
  const duration = (flag: string, minMs: number, maxMs: number, range: string): string | undefined => {
    const value = text(flag)
    if (value === undefined) return undefined
    const ms = parseDurationMs(value, `--${flag}`)
    if (ms < minMs || ms > maxMs) throw new UsageError(`--${flag} must be ${range}, not "${value}"`)
    return `${Math.round(ms)}ms`
  }
  const names = [
    "identity-trust-anchors-file",
    "identity-issuer-certificate-file",
    "identity-issuer-key-file",
  ] as const
  const files: Partial<Record<(typeof names)[number], string>> = {}
  for (const name of names) {
    const path = text(name)
    if (path !== undefined) files[name] = path
  }
  let authority: GivenIdentity["authority"]
  try {
    authority = readGivenIdentity(files, Date.now())
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
  return {
    authority,
    issuanceLifetime: duration(
      "identity-issuance-lifetime",
      MIN_LIFETIME_MS,
      MAX_LIFETIME_MS,
      "from 10s to 720h",
    ),
    clockSkewAllowance: duration("identity-clock-skew-allowance", 0, MAX_SKEW_MS, "from 0s to 1h"),
  }
}

async function forwardsOf(rawArgs: readonly string[], namespace: string): Promise<ForwardRequest[]> {
  const given = await flagValues(args, rawArgs, "forward")
  return given.map(text => {
    const match = /^(\d{1,5}):([a-z0-9-]+)(?:\.([a-z0-9-]+))?:(\d{1,5})$/.exec(text)
    if (match === null) {
      throw new UsageError(
        `--forward cannot be "${text}"; write PORT:SERVICE[.NAMESPACE]:PORT, such as 8080:web.shop:80`,
      )
    }
    return {
      localPort: Number(match[1]),
      service: match[2] ?? "",
      namespace: match[3] ?? namespace,
      port: Number(match[4]),
    }
  })
}
