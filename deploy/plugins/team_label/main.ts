// The plugin's process: `bun deploy/plugins/team_label/main.ts`.
import { teamLabel } from "./plugin.ts"
import { runPlugin } from "../serve.ts"

await runPlugin(teamLabel)
