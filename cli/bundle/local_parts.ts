// What only a local mesh has: its pods as its runner tells them, and the files that hold what containers printed.
import { closeSync, existsSync, fstatSync, openSync, readSync } from "node:fs"
import { findLocalMesh, logFile, type MeshReport, meshReport } from "../../deploy/mod.ts"
import { Failure } from "../failure.ts"
import { type Collection, MAX_LOG_BYTES } from "./collect.ts"

/** Pods and logs. @param name  of the mesh; null for an API that was given by its address: nothing around it is known */
export async function ofLocalMesh(
  name: string | null,
  namespace: string,
  proxies: number,
  taken: Collection,
): Promise<void> {
  await taken.part("pods and logs of the local mesh", async () => {
    const mesh = name === null ? null : findLocalMesh(name)
    if (mesh === null) throw new Failure("only the API's address is known, and what is around it is not")
    const report: MeshReport = await meshReport(mesh)
    taken.addJson("pods.json", report)
    const own = mesh.state.conduitNamespace
    const meshed = report.pods.filter(
      pod => pod.meshed && pod.namespace !== own && (namespace === "" || pod.namespace === namespace),
    )
    const planes = report.pods.filter(pod => pod.namespace === own)
    for (const pod of [...planes, ...meshed.slice(0, proxies)]) {
      for (const { name: container } of pod.containers) {
        // What applications print is theirs.
        if (pod.namespace !== own && !container.startsWith("conduit-")) continue
        const folder = pod.namespace === own ? "control-plane" : `proxies/${pod.namespace}`
        const file = logFile(mesh, pod.namespace, pod.name, container)
        if (existsSync(file)) taken.add(`${folder}/${pod.name}/${container}.log`, endOf(file))
      }
    }
  })
}

/** The last bytes of a file. */
function endOf(path: string): string {
  const file = openSync(path, "r")
  try {
    const { size } = fstatSync(file)
    const bytes = Buffer.alloc(Math.min(size, MAX_LOG_BYTES))
    readSync(file, bytes, 0, bytes.length, size - bytes.length)
    return bytes.toString()
  } finally {
    closeSync(file)
  }
}
