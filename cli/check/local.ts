// A mesh of `conduit dev` on this machine, or the machine alone, as checks see it; and the checks of machine and runner.
import {
  findLocalMesh,
  type LocalMesh,
  MACHINE_CHECKS,
  type MeshReport,
  meshReport,
  type PodReport,
} from "../../deploy/mod.ts"
import { type Check, type Finding, failure, notYet, well } from "./check.ts"
import { type AuthorityText, type PodFacts, World, type WorldOptions } from "./world.ts"

/** This machine, with the mesh that runs on it. */
export class LocalWorld extends World {
  /** Name that was asked for; empty for none. */
  readonly wanted: string
  private found: LocalMesh | null

  /** @param options `mesh`: the one that runs, null for none */
  constructor(options: WorldOptions & { mesh: LocalMesh | null; wanted: string }) {
    super(options)
    this.found = options.mesh
    this.wanted = options.wanted
  }

  /** Null when none runs. */
  get mesh(): LocalMesh | null {
    return this.found
  }

  override forget(): void {
    super.forget()
    this.found = findLocalMesh(this.found?.name ?? (this.wanted || "dev"))
  }

  /** What the runner says. @throws MeshRefusal when it does not answer */
  report(): Promise<MeshReport> {
    const { mesh } = this
    if (mesh === null) throw new Error("no local mesh runs")
    return this.once("report", () => meshReport(mesh))
  }

  async controlPods(): Promise<readonly PodFacts[]> {
    const { pods } = await this.report()
    const plane = this.mesh?.state.conduitNamespace
    return pods.filter(({ namespace }) => namespace === plane).map(podFacts)
  }

  async meshedPods(): Promise<readonly PodFacts[]> {
    const { pods } = await this.report()
    return pods
      .filter(pod => pod.meshed && (this.namespace === "" || pod.namespace === this.namespace))
      .map(podFacts)
  }

  async authority(): Promise<AuthorityText> {
    const { trustAnchors, issuerChain } = await this.told()
    const text = (chain: readonly { readonly pem: string }[]) => chain.map(({ pem }) => pem).join("")
    return { anchors: text(trustAnchors), issuer: text(issuerChain), issuerKey: null }
  }
}

function podFacts(pod: PodReport): PodFacts {
  const { namespace, name, ready, reason } = pod
  const over = pod.terminating || pod.phase === "Succeeded"
  return { namespace, name, ready, over, reason, proxyVersion: "" }
}

/** The machine's own table, as checks. */
export const ON_MACHINE: readonly Check[] = MACHINE_CHECKS.map(({ id, about, complaint }, index) => ({
  id,
  section: "This machine",
  about,
  place: "local" as const,
  at: ["pre", "installed"] as const,
  // Each asks for what the one before it found.
  needs: MACHINE_CHECKS.slice(Math.max(0, index - 1), index).map(before => before.id),
  run: async (): Promise<Finding> => {
    const why = complaint()
    return why === null
      ? well()
      : failure(why, "see to it as said; conduit dev and the demo need it, a mesh on Kubernetes does not")
  },
}))

/** A mesh runs here, and its runner answers. */
export async function runnerAnswers(world: LocalWorld): Promise<Finding> {
  if (world.mesh === null) {
    const wanted = world.wanted === "" ? "" : ` "${world.wanted}"`
    return failure(
      `no local mesh${wanted} runs on this machine, and no kubeconfig leads to a cluster`,
      `conduit dev up -f FILE${world.wanted === "" ? "" : ` --name ${world.wanted}`} starts a mesh; --kubeconfig FILE or --context NAME leads to a cluster`,
    )
  }
  if (world.mesh.apiAddr === "")
    return notYet(`mesh "${world.mesh.name}" is starting`, "conduit dev ps shows how far it is")
  try {
    const { pods } = await world.report()
    return well(`mesh "${world.mesh.name}", ${pods.length} pods`)
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    return failure(why, `conduit dev down --name ${world.mesh.name}, then up again`)
  }
}
