// Startup, readiness and liveness probes with the kubelet's thresholds (kubernetes.io: "Configure Liveness,
// Readiness and Startup Probes").
import type { Probe } from "../../inject/mod.ts"
import { becomeUser, enterFlags, withEnvironment } from "./container.ts"

/** Until the first success a probe is tried this often, whatever its period: people wait for `dev up`. */
export const EAGER_PERIOD_MS = 100
/** Eager tries end after this long; then the period of the manifest holds. */
export const EAGER_FOR_MS = 10_000

/** Outcome of one try. */
export interface ProbeOutcome {
  readonly ok: boolean
  /** Why it failed; "" when it did not. */
  readonly reason: string
}

/** Runs one probe over and over until stopped. */
export interface ProbeOptions {
  readonly probe: Probe
  readonly check: () => Promise<ProbeOutcome>
  /** Called whenever the settled outcome changes, and with false whenever the failure threshold is reached. */
  readonly onOutcome: (ok: boolean, reason: string) => void
  readonly signal: AbortSignal
  readonly sleep: (ms: number) => Promise<void>
  readonly nowMs: () => number
  /** Whether tries before the first success are eager; liveness probes are not. */
  readonly eager: boolean
}

/** Tries until `signal` aborts. Failures count only at the manifest's period, so eager tries can only help. */
export async function runProbe(options: ProbeOptions): Promise<void> {
  const { probe, check, onOutcome, signal } = options
  const periodMs = (probe.periodSeconds ?? 10) * 1000
  const needed = Math.max(1, probe.successThreshold ?? 1)
  const allowed = Math.max(1, probe.failureThreshold ?? 3)
  await options.sleep((probe.initialDelaySeconds ?? 0) * 1000)
  const startedMs = options.nowMs()
  let settled: boolean | null = null
  let successes = 0
  let failures = 0
  let countedMs = startedMs
  while (!signal.aborted) {
    const outcome = await check()
    if (signal.aborted) return
    const now = options.nowMs()
    if (outcome.ok) {
      failures = 0
      successes++
      if (successes >= needed && settled !== true) {
        settled = true
        onOutcome(true, "")
      }
    } else {
      successes = 0
      const first = failures === 0 && countedMs === startedMs
      if (settled === true || first || now - countedMs >= periodMs) {
        failures++
        countedMs = now
        if (failures >= allowed) {
          failures = 0
          settled = false
          onOutcome(false, outcome.reason)
        }
      }
    }
    const eager = options.eager && settled !== true && now - startedMs < EAGER_FOR_MS
    await options.sleep(eager ? Math.min(EAGER_PERIOD_MS, periodMs) : periodMs)
  }
}

/** How a command is run inside a container. */
export interface ExecContext {
  readonly environment: Readonly<Record<string, string>>
  readonly user: number | null
  readonly group: number | null
}

/**
 * Runs a command in a container's namespaces; exit 0 is success. Never throws.
 *
 * @param pid  host process id of the container's main process
 */
export async function execProbe(
  pid: number,
  command: readonly string[],
  timeoutMs: number,
  context: ExecContext,
): Promise<ProbeOutcome> {
  const inside = withEnvironment(context.environment, [
    ...becomeUser(context.user, context.group),
    ...command,
  ])
  const process = Bun.spawn([...enterFlags(pid), ...inside], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  })
  const late = setTimeout(() => process.kill("SIGKILL"), timeoutMs)
  const [code, stderr] = await Promise.all([process.exited, new Response(process.stderr).text()])
  clearTimeout(late)
  if (code === 0) return { ok: true, reason: "" }
  const said = stderr.trim().split("\n").at(-1) ?? ""
  return { ok: false, reason: `${command[0]} ended with ${code}${said === "" ? "" : `: ${said}`}` }
}
