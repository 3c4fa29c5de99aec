// All checks of a moment as data, without waiting for what may heal: for who puts them into something larger.
import type { GlobalArgs } from "../flags.ts"
import type { Moment } from "./check.ts"
import { findWorld } from "./command.ts"
import { type CheckReport, reportOf } from "./print.ts"
import { checksFor, runChecks } from "./run.ts"
import { CHECKS } from "./table.ts"

/**
 * Makes the checks.
 *
 * @throws Failure when several local meshes run and none is chosen
 */
export async function checkReport(args: GlobalArgs, moment: Moment): Promise<CheckReport> {
  const world = await findWorld(args, moment, process.env)
  const made = await runChecks(checksFor(CHECKS, world, moment), world, {
    waitMs: 0,
    waitForAll: false,
    onBegin: () => {},
    onMade: () => {},
    onWaiting: () => {},
    nowMs: () => performance.now(),
    sleep: ms => Bun.sleep(ms),
  })
  return reportOf(made)
}
