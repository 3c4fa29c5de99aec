// `conduit dev down`: ends a local mesh; nothing is left of it, also when its runner was killed.
import { endMesh } from "../../deploy/mod.ts"
import { command } from "../command_line/command.ts"
import { say } from "../output.ts"
import { MESH_FLAGS, meshName } from "./mesh.ts"

/** `conduit dev down`. */
export const down = command({
  meta: { name: "down", description: "Ends a local mesh and removes everything of it" },
  args: MESH_FLAGS,
  examples: [
    { line: "conduit dev down", why: 'ends the mesh "dev"' },
    { line: "conduit dev down --name other", why: "ends another one" },
  ],
  async run({ args }) {
    const name = meshName(args)
    const ended = await endMesh(name)
    say(ended ? `the local mesh "${name}" is gone` : `nothing to do: there is no local mesh "${name}"`)
  },
})
