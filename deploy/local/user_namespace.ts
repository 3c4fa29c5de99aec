// A local cluster without root: the runner lives in a user namespace in which it is root, with a range of user
// ids of its own, since proxies need one that applications do not have (user_namespaces(7), newuidmap(1)).
import { readFileSync, statSync } from "node:fs"
import { DIE_WITH_PARENT } from "./net/processes.ts"
import { completePath, PreflightError } from "./preflight.ts"

/** Ids that the namespace needs: the proxy's is 2102. */
const LEAST_IDS = 4096

/** Set inside the namespace to the user id outside of it. */
export const USERNS_VARIABLE = "CONDUIT_DEV_USERNS"

/**
 * The command line that makes what follows it root of a new user namespace; empty for root, and inside.
 *
 * @param options  `outlive`: what is run goes on when the process that started it ends
 * @throws PreflightError that says what an ordinary user lacks
 */
export function userNamespace(options: { readonly outlive: boolean }): string[] {
  const uid = process.getuid?.() ?? 0
  if (uid === 0) return []
  const path = completePath(process.env.PATH ?? "")
  const name = nameOf(uid)
  const needs = "conduit dev without root needs a user namespace with user ids of its own"
  if (Bun.which("newuidmap", { PATH: path }) === null || Bun.which("newgidmap", { PATH: path }) === null) {
    throw new PreflightError(
      `${needs}, and newuidmap is missing (on Debian: apt-get install uidmap); or run it with sudo`,
    )
  }
  for (const file of ["/etc/subuid", "/etc/subgid"]) {
    if (idsIn(file, name, uid) >= LEAST_IDS) continue
    throw new PreflightError(
      `${needs}, and ${file} grants user "${name}" none (as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 ${name}); or run it with sudo`,
    )
  }
  const enter = ["unshare", "--user", "--map-root-user", "--map-auto", "--"]
  const attempt = Bun.spawnSync([...enter, "true"], { stdin: "ignore", stdout: "ignore", stderr: "pipe" })
  if (attempt.exitCode !== 0) {
    const said = attempt.stderr.toString().trim().split("\n").at(-1) ?? ""
    throw new PreflightError(`${needs}, and this machine refuses one: ${said}; run it with sudo`)
  }
  return [
    ...enter,
    ...(options.outlive ? [] : [...DIE_WITH_PARENT, "--"]),
    "env",
    `${USERNS_VARIABLE}=${uid}`,
  ]
}

/** @throws PreflightError when somebody else made the folder that is to be ours */
export function checkOwner(folder: string): void {
  let owner: number
  try {
    owner = statSync(folder).uid
  } catch {
    return
  }
  if (owner !== (process.getuid?.() ?? 0)) {
    throw new PreflightError(`${folder} belongs to another user (${owner}); remove it first`)
  }
}

function nameOf(uid: number): string {
  const asked = Bun.spawnSync(["id", "-un"], { stdin: "ignore", stderr: "ignore" })
  const name = asked.stdout.toString().trim()
  return name === "" ? String(uid) : name
}

function idsIn(file: string, name: string, uid: number): number {
  try {
    const lines = readFileSync(file, "utf8").split("\n")
    const mine = lines.map(line => line.split(":")).filter(([who]) => who === name || who === String(uid))
    return mine.reduce((sum, [, , count]) => sum + Number(count), 0)
  } catch {
    return 0
  }
}
