// The public face of ask/: requests about which a plugin decides, asked through the policy service.
export { AskedRequest } from "./asked_request.ts"
export { PluginAsker, type PluginAskerOptions } from "./plugin_asker.ts"
