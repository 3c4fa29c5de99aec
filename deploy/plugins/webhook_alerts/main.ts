// The plugin's process: `bun deploy/plugins/webhook_alerts/main.ts`.
import { webhookAlerts } from "./plugin.ts"
import { runPlugin } from "../serve.ts"

await runPlugin(webhookAlerts)
