// Plugins as the control plane calls them: supervised, within deadlines, their answers checked, the last good ones kept.
export { authorize } from "./authorize.ts"
export { pluginConditions } from "./conditions.ts"
export { reasonOf } from "./hook_calls.ts"
export { MAX_PLUGIN_MESSAGE_BYTES, type PluginState } from "./link.ts"
export { type HookAnswer, type PluginReport, PluginSupervisor } from "./supervisor.ts"
export { pluginWays } from "./way.ts"
export { WindowFeed } from "./window_feed.ts"
