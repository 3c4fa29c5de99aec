// `conduit plugin`: what extends a mesh, and what authors of such need.
import { command } from "../command_line/command.ts"
import { check } from "./check.ts"

/** `conduit plugin check`. */
export const plugin = command({
  meta: { name: "plugin", description: "Extends a mesh: makes plugins, and tries them" },
  subCommands: { check },
  examples: [
    { line: "conduit plugin check 127.0.0.1:9090", why: "whether a plugin does what a mesh needs of it" },
  ],
})
