// `conduit plugin`: what extends the control plane.
import { command } from "../command_line/command.ts"
import { list } from "./list.ts"

/** `conduit plugin list`. */
export const plugin = command({
  meta: { name: "plugin", description: "Plugins of the control plane: their state, calls and errors" },
  subCommands: { list },
  examples: [{ line: "conduit plugin list", why: "whether every plugin answers, and how fast" }],
})
