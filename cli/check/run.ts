// Makes checks one after the other; waits for what heals by itself.
import { ConnectError } from "@connectrpc/connect"
import { Failure } from "../failure.ts"
import { type Check, type Finding, type Moment, notYet } from "./check.ts"
import { ClusterWorld } from "./cluster_world.ts"
import { refused } from "./kubernetes_checks.ts"
import { LocalWorld } from "./local.ts"

/** Time between two attempts of a check that is waited for. */
export const RETRY_MS = 1_000

/** A check with what came of it. */
export interface Made {
  readonly check: Check
  /** Null when it was not made. */
  readonly finding: Finding | null
  /** The check without whose success it was not made; empty when it was. */
  readonly needed: string
}

/** How checks are made. */
export interface RunOptions {
  /** How long failures are waited for, milliseconds from the first check. */
  readonly waitMs: number
  /** Every failure is waited for, also one that does not look as if it healed. */
  readonly waitForAll: boolean
  /** Told of each check when it begins, and when it is over. */
  readonly onBegin: (check: Check) => void
  readonly onMade: (made: Made) => void
  /** Told of a failure that is waited for, and how long at most. */
  readonly onWaiting: (check: Check, finding: Finding, leftMs: number) => void
  /** Monotonic clock. */
  readonly nowMs: () => number
  readonly sleep: (ms: number) => Promise<void>
}

/** The checks of a place and moment, in order. */
export function checksFor(
  table: readonly Check[],
  world: ClusterWorld | LocalWorld,
  moment: Moment,
): Check[] {
  const place = world instanceof ClusterWorld ? "cluster" : "local"
  return table.filter(check => check.at.includes(moment) && (check.place === place || check.place === "any"))
}

/** Makes checks in order; one whose needs are not met is left out. */
export async function runChecks(
  checks: readonly Check[],
  world: ClusterWorld | LocalWorld,
  options: RunOptions,
): Promise<Made[]> {
  const { waitMs, waitForAll, onBegin, onMade, onWaiting, nowMs, sleep } = options
  const endMs = nowMs() + waitMs
  const all: Made[] = []
  const unmet = new Set<string>()
  for (const check of checks) {
    if (!(await stands(check, world))) continue
    const needed = check.needs?.find(id => unmet.has(id)) ?? ""
    if (needed === "") onBegin(check)
    let finding = needed === "" ? await find(check, world) : null
    while (finding?.state === "failure" && (finding.heals || waitForAll) && nowMs() < endMs) {
      onWaiting(check, finding, endMs - nowMs())
      await sleep(Math.min(RETRY_MS, endMs - nowMs()))
      world.forget()
      finding = await find(check, world)
    }
    if (finding === null || finding.state === "failure") unmet.add(check.id)
    const made = { check, finding, needed }
    all.push(made)
    onMade(made)
  }
  return all
}

async function stands({ where }: Check, world: ClusterWorld | LocalWorld): Promise<boolean> {
  if (where === undefined || !(world instanceof ClusterWorld)) return true
  // Why it cannot be told is what earlier checks say.
  return await where(world).catch(() => false)
}

async function find(check: Check, world: ClusterWorld | LocalWorld): Promise<Finding> {
  try {
    if (check.place === "any") return await check.run(world)
    if (check.place === "cluster" && world instanceof ClusterWorld) return await check.run(world)
    if (check.place === "local" && world instanceof LocalWorld) return await check.run(world)
    throw new Error(`${check.id} is no check of this place`)
  } catch (error) {
    // What a check does not expect, such as a server that refuses one list, is a finding too.
    const todo = "this could not be looked at; try again"
    // A control plane that answers, but not this, is starting or busy.
    if (error instanceof Failure && error.cause instanceof ConnectError) return notYet(error.message, todo)
    return refused(error, todo)
  }
}
