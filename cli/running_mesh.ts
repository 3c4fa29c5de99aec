// What `conduit inject` and `conduit install` ask the cluster for, where there is one: which mesh it has.
import { existsSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import type { InstalledMesh } from "../deploy/install/mod.ts"
import { Failure } from "./failure.ts"
import type { GlobalArgs } from "./flags.ts"

/** Longest wait for a cluster that an installation can do without. */
export const INSTALLED_TIMEOUT_MS = 3_000

/**
 * The mesh of the cluster that the flags or a kubeconfig lead to.
 *
 * @returns the mesh; or why there is none, a clause that follows "no trust anchors given, and"
 * @throws Failure when there is a cluster that cannot be asked: proxies without identity would reach nothing in its mesh
 */
export async function runningMesh(args: GlobalArgs): Promise<InstalledMesh | string> {
  if (!hasKubeconfig(args)) return "no kubeconfig leads to a cluster that could be asked for them"
  // Only who has a cluster pays for the client.
  const { planeNamespace, withKubernetes } = await import("./kubernetes.ts")
  const { findMesh } = await import("../deploy/install/mod.ts")
  const namespace = planeNamespace(args)
  let mesh: InstalledMesh | null
  try {
    mesh = await withKubernetes(args, "ask for the mesh of the proxies", api => findMesh(api, namespace))
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    throw new Failure(
      `${error.message}; --identity-trust-anchors-file FILE injects without asking, --ignore-cluster without identity`,
      { cause: error },
    )
  }
  return mesh ?? `no control plane is installed in namespace "${namespace}" of the cluster (-c names another)`
}

/**
 * Whether a control plane is known to be in the cluster that the flags or a kubeconfig lead to. What cannot be asked is
 * taken to have none: an installation is printed without a cluster too.
 */
export async function isInstalled(args: GlobalArgs): Promise<boolean> {
  if (!hasKubeconfig(args)) return false
  const { planeNamespace, withKubernetes } = await import("./kubernetes.ts")
  const { findMesh } = await import("../deploy/install/mod.ts")
  const signal = AbortSignal.timeout(INSTALLED_TIMEOUT_MS)
  try {
    const mesh = await withKubernetes(args, "look for a control plane", api =>
      findMesh({ call: call => api.call({ ...call, signal }) }, planeNamespace(args)),
    )
    return mesh !== null
  } catch (error) {
    if (error instanceof Failure) return false
    throw error
  }
}

function hasKubeconfig({ kubeconfig, context }: GlobalArgs): boolean {
  const named = kubeconfig || context || process.env.KUBECONFIG
  return Boolean(named) || existsSync(join(process.env.HOME ?? homedir(), ".kube", "config"))
}
