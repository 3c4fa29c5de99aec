// `conduit dev logs`: what a container printed.
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs"
import { logFile, meshReport, rotatedLog } from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure, UsageError } from "../failure.ts"
import { containerOf, findPod, MESH_FLAGS, NAMESPACE_FLAG, runningMesh } from "./mesh.ts"

/** How often a followed log is looked at. */
const FOLLOW_POLL_MS = 100
/** Bytes read at once. */
const BLOCK_BYTES = 64 * 1024

/** `conduit dev logs POD`. */
export const logs = command({
  meta: { name: "logs", description: "Shows what a container of a local mesh printed" },
  args: {
    ...MESH_FLAGS,
    ...NAMESPACE_FLAG,
    container: {
      type: "string",
      alias: "c",
      valueHint: "CONTAINER",
      description: "which container (default: the first)",
    },
    follow: { type: "boolean", alias: "f", description: "go on until interrupted" },
    tail: { type: "string", valueHint: "LINES", description: "only the last lines" },
    pod: { type: "positional", valueHint: "POD", description: "web-5d9c-x1, or deploy/web", required: true },
  },
  examples: [
    { line: "conduit dev logs deploy/web", why: "the application's output" },
    { line: "conduit dev logs deploy/web -c conduit-proxy -f", why: "the proxy's, as it comes" },
    { line: "conduit dev logs web-0 -n shop --tail 20", why: "the last lines" },
  ],
  async run({ args }) {
    if (args.tail !== undefined && !/^\d+$/.test(args.tail)) {
      throw new UsageError(`--tail cannot be "${args.tail}"; it is a number of lines`)
    }
    const mesh = await runningMesh(args)
    const pod = await findPod(mesh, args.pod, args.namespace)
    const container = containerOf(pod, args.container)
    const path = logFile(mesh, pod.namespace, pod.name, container)
    if (!existsSync(path)) {
      const state = pod.containers.find(each => each.name === container)
      if (state?.state === "terminated" || args.follow === true) await Bun.write(path, "")
      else
        throw new Failure(
          `container "${container}" of pod "${pod.name}" has printed nothing: ${state?.reason || "it did not run yet"}`,
        )
    }
    const rotated = rotatedLog(path)
    if (args.tail === undefined && existsSync(rotated)) {
      const old = openSync(rotated, "r")
      copy(old, 0)
      closeSync(old)
    }
    const file = openSync(path, "r")
    const end = statSync(path).size
    let at = args.tail === undefined ? 0 : tailStart(file, end, Number(args.tail))
    at = copy(file, at)
    if (args.follow === true) {
      for (;;) {
        await Bun.sleep(FOLLOW_POLL_MS)
        // A log that was begun anew is shorter than what was read of it.
        if (existsSync(path) && statSync(path).size < at) at = 0
        const before = at
        at = copy(file, at)
        if (at !== before) continue
        const gone = !(await meshReport(mesh).catch(() => ({ pods: [] }))).pods.some(
          each => each.name === pod.name && each.namespace === pod.namespace,
        )
        if (gone) break
      }
    }
    closeSync(file)
  },
})

function copy(file: number, from: number): number {
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  let at = from
  for (;;) {
    const read = readSync(file, block, 0, BLOCK_BYTES, at)
    if (read === 0) return at
    process.stdout.write(Buffer.from(block.subarray(0, read)))
    at += read
  }
}

/** Where the last lines begin. */
function tailStart(file: number, end: number, lines: number): number {
  const block = Buffer.allocUnsafe(BLOCK_BYTES)
  let left = lines
  for (let stop = end; stop > 0; ) {
    const start = Math.max(0, stop - BLOCK_BYTES)
    const read = readSync(file, block, 0, stop - start, start)
    for (let index = read - 1; index >= 0; index--) {
      // The newline that ends the file ends its last line; it does not begin another.
      if (block[index] !== 10 || start + index === end - 1) continue
      left--
      if (left <= 0) return lines === 0 ? end : start + index + 1
    }
    stop = start
  }
  return lines === 0 ? end : 0
}
