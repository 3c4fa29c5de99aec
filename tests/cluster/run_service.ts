// Runs a service of the control plane beside a test cluster, with the rights that its installation gives it and no others.
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createLog } from "../../control/log.ts"
import { type RunningControlPlane, runControlPlane } from "../../control/run.ts"
import { parseSettings, type ServiceName } from "../../control/settings.ts"
import type { Cluster } from "./mod.ts"

/**
 * A kubeconfig of a service account of the control plane, which must be installed.
 *
 * @param folder  where it is written
 * @returns its path
 */
export async function accountKubeconfig(cluster: Cluster, account: string, folder: string): Promise<string> {
  const token = (await cluster.kubectl(["create", "token", account, "-n", "conduit"])).trim()
  const ca = /"?certificate-authority-data"?:\s*"?([^"\s}]+)/.exec(readFileSync(cluster.kubeconfig, "utf8"))
  const path = join(folder, `${account}.kubeconfig`)
  const named = { cluster: "c", user: "u" }
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        { name: "c", cluster: { server: cluster.server, "certificate-authority-data": ca?.[1] ?? "" } },
      ],
      users: [{ name: "u", user: { token } }],
      contexts: [{ name: "x", context: named }],
      "current-context": "x",
    }),
    { mode: 0o600 },
  )
  return path
}

/** @param lines  gets what it logs; @param env  more of its environment */
export async function runService(
  service: ServiceName,
  kubeconfig: string,
  lines: string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunningControlPlane> {
  const args = [service, "--kubernetes", "--kubeconfig", kubeconfig, "--listen-host", "127.0.0.1"]
  const port = `CONDUIT_${service.toUpperCase()}_PORT`
  const settings = parseSettings(args, { [port]: "0", CONDUIT_ADMIN_PORT: "0", ...env })
  if (typeof settings === "string") throw new Error(settings)
  const log = createLog({ format: "plain", write: line => lines.push(line), now: () => new Date(0) })
  return await runControlPlane(settings, log)
}
