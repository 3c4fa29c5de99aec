// `conduit plugin`: what extends a mesh, and what authors of such need.
import { command } from "../command_line/command.ts"
import { check } from "./check.ts"
import { list } from "./list.ts"
import { newProject } from "./new.ts"

/** `conduit plugin list|check|new`. */
export const plugin = command({
  meta: { name: "plugin", description: "What extends a mesh: its state, a test for it, a new one" },
  subCommands: { list, check, new: newProject },
  examples: [
    { line: "conduit plugin list", why: "whether every plugin answers, and how fast" },
    { line: "conduit plugin new quiet-hours --lang python", why: "a working plugin in ./quiet-hours" },
    { line: "conduit plugin check 127.0.0.1:9090", why: "whether a plugin does what a mesh needs of it" },
  ],
})
