// `conduit dev apply` and `conduit dev delete`: change the objects of a running local mesh.
import type { ArgsDef } from "citty"
import {
  applyObjects,
  type Change,
  checkInject,
  deleteObjects,
  type KubeObject,
  loadManifests,
} from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { Failure, UsageError } from "../failure.ts"
import { flagValues } from "../flags.ts"
import { say, writeOut } from "../output.ts"
import { MESH_FLAGS, runningMesh } from "./mesh.ts"

/** Flags that name manifests. */
export const FILE_FLAGS = {
  file: {
    type: "string",
    alias: ["f", "filename"] as string[],
    valueHint: "FILE",
    description: "manifest file or folder, - for standard input; may come several times",
  },
  namespace: {
    type: "string",
    alias: "n",
    valueHint: "NAMESPACE",
    description: "namespace of objects that name none (default: default)",
  },
} as const

/** Every value of `-f`. @throws UsageError when there is none */
export async function filesOf(args: ArgsDef, rawArgs: readonly string[], usage: string): Promise<string[]> {
  const files = await flagValues(args, rawArgs, "file")
  if (files.length === 0) throw new UsageError(`${usage}: -f FILE is missing; ${usage} --help shows how`)
  return files
}

/** Objects of some files, checked; what was ignored is said on standard error. @throws Failure (from ManifestError) */
export async function objectsOf(
  files: readonly string[],
  namespace: string | undefined,
  conduitNamespace: string,
): Promise<KubeObject[]> {
  const stdin = files.includes("-") ? await Bun.stdin.text() : undefined
  const { objects, notes } = loadManifests(files, {
    ...(namespace === undefined ? {} : { namespace }),
    ...(stdin === undefined ? {} : { stdin }),
    check: object => void checkInject(object, conduitNamespace),
  })
  for (const note of notes) say(note)
  return objects
}

const args = { ...MESH_FLAGS, ...FILE_FLAGS } as const

/** `conduit dev apply -f FILE`. */
export const apply = command({
  meta: { name: "apply", description: "Creates or changes objects of a running local mesh" },
  args,
  examples: [
    { line: "conduit dev apply -f web.yaml", why: "a changed Deployment is rolled without losing a request" },
    { line: "conduit dev apply -f - < web.yaml", why: "from standard input" },
  ],
  async run({ args: given, rawArgs }) {
    const files = await filesOf(args, rawArgs, "conduit dev apply")
    const mesh = await runningMesh(given)
    const objects = await objectsOf(files, given.namespace, mesh.state.conduitNamespace)
    print(await applyObjects(mesh, objects))
  },
})

/** `conduit dev delete -f FILE`. */
export const remove = command({
  meta: { name: "delete", description: "Deletes objects of a running local mesh" },
  args,
  examples: [{ line: "conduit dev delete -f web.yaml", why: "everything that the file describes" }],
  async run({ args: given, rawArgs }) {
    const files = await filesOf(args, rawArgs, "conduit dev delete")
    const mesh = await runningMesh(given)
    const objects = await objectsOf(files, given.namespace, mesh.state.conduitNamespace)
    const changes = await deleteObjects(mesh, objects)
    print(changes.filter(change => change.action !== "not found"))
    const missing = changes.filter(change => change.action === "not found")
    if (missing.length > 0) {
      const list = missing.map(
        ({ kind, namespace, name }) =>
          `${kind} "${name}"${namespace === "" ? "" : ` in namespace "${namespace}"`}`,
      )
      throw new Failure(`not found in the local mesh "${mesh.name}": ${list.join(", ")}`)
    }
  },
})

function print(changes: readonly Change[]): void {
  for (const { kind, name, action } of changes) writeOut(`${kind.toLowerCase()}/${name} ${action}\n`)
}
