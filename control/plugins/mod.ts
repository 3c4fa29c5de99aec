// Plugins as the control plane calls them: supervised, within deadlines, their answers checked, the last good ones kept.
export { authorize, wouldAuthorize } from "./authorize.ts"
export { pluginConditions } from "./conditions.ts"
export { reasonOf } from "./hook_calls.ts"
export { askIdentity, type IdentityVeto } from "./identity_review.ts"
export { type AskedPod, askInjection, type InjectionVerdict, NOBODY_ASKED } from "./injection.ts"
export { MAX_PLUGIN_MESSAGE_BYTES, type PluginState } from "./link.ts"
export {
  type HookAnswer,
  MAX_PLUGINS,
  type PluginReport,
  PluginSupervisor,
  type Supplied,
} from "./supervisor.ts"
export { namedWay, pluginWays } from "./way.ts"
export { WindowFeed } from "./window_feed.ts"
