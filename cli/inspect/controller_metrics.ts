// `conduit diagnostics controller-metrics`: the raw Prometheus text of the control plane's pods.
import { command } from "../command_line/command.ts"
import { type ApiConnection, openApi } from "../connect.ts"
import { Failure } from "../failure.ts"
import { GLOBAL_FLAGS } from "../flags.ts"
import { say, writeOut } from "../output.ts"

/** Admin port of the control plane's processes (the contract with the outside). */
export const PLANE_ADMIN_PORT = 9990

/** `conduit diagnostics controller-metrics`. */
export const controllerMetrics = command({
  meta: { name: "controller-metrics", description: "Raw metrics of the control plane, each pod's" },
  args: GLOBAL_FLAGS,
  examples: [
    { line: "conduit diagnostics controller-metrics", why: "every pod of the control plane" },
    { line: "conduit diagnostics controller-metrics | grep _streams", why: "who is connected to what" },
  ],
  async run({ args }) {
    await using mesh = await openApi(args)
    const answers = await planeMetrics(mesh)
    for (const { pod, text, error } of answers) {
      if (error === "") writeOut(`# pod ${pod}\n${text.trimEnd()}\n\n`)
      else say(`conduit: no metrics of ${pod}: ${error}`)
    }
    const failed = answers.filter(({ error }) => error !== "").length
    if (failed > 0)
      throw new Failure(`${failed} of ${answers.length} pods of the control plane could not be asked`)
  },
})

/** Metrics of one pod of the control plane. */
export interface PlaneMetrics {
  /** `namespace/name`; what it is where there is no pod. */
  readonly pod: string
  readonly text: string
  readonly error: string
}

/**
 * Each pod is asked by itself: through the API server in a cluster, through the relay of a local mesh. Of an API that was given
 * by its address only the process behind it is known.
 *
 * @throws Failure when there is no control plane, or it cannot be asked
 */
export async function planeMetrics(mesh: ApiConnection): Promise<PlaneMetrics[]> {
  if (mesh.cluster !== null) {
    const { controllerMetrics: ofPods } = await import("../cluster/controller_metrics.ts")
    return await ofPods(mesh.cluster.kubernetes, mesh.cluster.controlNamespace)
  }
  if (mesh.local !== null) return await ofLocalMesh(mesh.local)
  const { text } = await mesh.call(async api => await api.controllerMetrics({}))
  return [{ pod: mesh.what, text, error: "" }]
}

async function ofLocalMesh(name: string): Promise<PlaneMetrics[]> {
  const { askPod, findLocalMesh, meshReport } = await import("../../deploy/mod.ts")
  const mesh = findLocalMesh(name)
  if (mesh === null) throw new Failure(`the local mesh "${name}" does not run any more`)
  const { pods } = await meshReport(mesh)
  const planes = pods.filter(({ namespace }) => namespace === mesh.state.conduitNamespace)
  return await Promise.all(
    planes.map(async ({ namespace, name: pod, ip }) => {
      const at = { pod: `${namespace}/${pod}` }
      try {
        return { ...at, text: await askPod(mesh, ip, PLANE_ADMIN_PORT, "/metrics"), error: "" }
      } catch (error) {
        return { ...at, text: "", error: error instanceof Error ? error.message : String(error) }
      }
    }),
  )
}
