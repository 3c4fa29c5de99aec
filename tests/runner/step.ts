// One named check of the tree: a command, how long it may take, and how many tests passed and failed in it.
import { mkdir } from "node:fs/promises"
import { join } from "node:path"

/** A check. */
export interface Step {
  /** The word that `npm test -- WORD` chooses it by. */
  readonly name: string
  /** What it shows, in a few words. */
  readonly what: string
  /** The command; programs of node_modules/.bin are found. */
  readonly command: readonly string[]
  /** It is killed, and has failed, after this long. */
  readonly timeoutMs: number
  /** Whether its output is that of `bun test`, whose tests are counted one by one; otherwise it is one test. */
  readonly counted?: boolean
  /** Whether it needs network namespaces. */
  readonly namespaces?: boolean
  /** Whether it may run beside others that need namespaces. */
  readonly beside?: boolean
  /** Whether nothing may run beside it. */
  readonly alone?: boolean
  /** Whether it needs what the cluster of tests/cluster is made from. */
  readonly cluster?: boolean
  /** Whether it needs a Go toolchain. */
  readonly go?: boolean
  /** Whether it needs programs that no one here wrote. */
  readonly programs?: boolean
}

/** How a step ended. */
export interface StepResult {
  readonly step: Step
  readonly passed: number
  readonly failed: number
  readonly seconds: number
  /** Everything that the command wrote, in order. */
  readonly output: string
  /** Why it did not run; null when it ran. */
  readonly notRun: string | null
}

/** Tests that passed and failed. */
export interface Counts {
  readonly passed: number
  readonly failed: number
}

/**
 * Reads how many tests passed and failed from the end of `bun test`'s output.
 *
 * Errors between tests count as failures; so does a run that ended badly, or that told no figures at all.
 */
export function countBunTests(output: string, exitCode: number): Counts {
  const figure = (word: string): number =>
    Number(new RegExp(`^\\s*(\\d+) ${word}s?$`, "m").exec(output)?.[1] ?? 0)
  const passed = figure("pass")
  const failed = figure("fail") + figure("error")
  const silent = passed + failed === 0
  return { passed, failed: failed === 0 && (exitCode !== 0 || silent) ? 1 : failed }
}

/** How long a command that is told to end may take before it is killed, in milliseconds. */
const END_GRACE_MS = 15_000

/**
 * Runs a step to its end, and keeps its output under `logs`.
 *
 * @param root folder that the command runs in
 */
export async function runStep(
  step: Step,
  root: string,
  logs: string,
  signal: AbortSignal,
): Promise<StepResult> {
  const started = performance.now()
  const child = Bun.spawn([...step.command], {
    cwd: root,
    // A process group of its own, so that a step ends with everything that it started.
    detached: true,
    env: { ...process.env, FORCE_COLOR: "0", NO_COLOR: "1" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  })
  let output = ""
  const collect = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true })
  }
  let ended = ""
  let killer: Timer | undefined
  const end = (why: string): void => {
    if (ended !== "") return
    ended = why
    endGroup(child.pid, "SIGTERM")
    killer = setTimeout(() => endGroup(child.pid, "SIGKILL"), END_GRACE_MS)
  }
  const timer = setTimeout(
    () => end(`\n${step.name}: not done after ${step.timeoutMs / 1000} s, ended\n`),
    step.timeoutMs,
  )
  const onAbort = (): void => end(`\n${step.name}: interrupted\n`)
  signal.addEventListener("abort", onAbort)
  const reading = Promise.all([collect(child.stdout), collect(child.stderr)])
  const code = await child.exited
  clearTimeout(timer)
  clearTimeout(killer)
  signal.removeEventListener("abort", onAbort)
  // A process that the step left behind may hold the pipes open: do not wait for it.
  await Promise.race([reading, Bun.sleep(1000)])
  output += ended
  await mkdir(logs, { recursive: true })
  await Bun.write(join(logs, `${step.name.replaceAll("/", "_")}.log`), output)
  const bad = code !== 0 || ended !== ""
  const counts = step.counted
    ? countBunTests(output, bad ? 1 : 0)
    : { passed: bad ? 0 : 1, failed: bad ? 1 : 0 }
  return { step, ...counts, seconds: (performance.now() - started) / 1000, output, notRun: null }
}

function endGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    // Gone already is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error
  }
}
