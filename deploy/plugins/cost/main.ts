// The plugin's process: `bun deploy/plugins/cost/main.ts`.
import { cost } from "./plugin.ts"
import { runPlugin } from "../serve.ts"

await runPlugin(cost)
