// The face of deploy/plugin_object: Plugin objects as people write them, and what their plugins say of configurations.
export {
  type ConfigurationCheck,
  type ConfigurationComplaint,
  configurationCheck,
  MAX_COMPLAINT_CHARS,
  MAX_CONFIGURATION_COMPLAINTS,
  MAX_PLUGIN_SCHEMA_BYTES,
} from "./configuration.ts"
export {
  comparePlugins,
  DEFAULT_PLUGIN_DEADLINE_MS,
  FAILURE_POLICIES,
  type FailurePolicy,
  MAX_INJECTION_DEADLINE_MS,
  MAX_PLUGIN_COMMAND_WORDS,
  MAX_PLUGIN_CONFIGURATION_BYTES,
  MAX_PLUGIN_DEADLINE_MS,
  MAX_PLUGIN_ORDER,
  PLUGIN_API_VERSION,
  PLUGIN_FIELDS,
  PLUGIN_HOOKS,
  PLUGIN_KIND,
  PLUGIN_PLURAL,
  type Plugin,
  type PluginAddress,
  type PluginHook,
  type PluginHookSettings,
  pluginAddressText,
  type ReadPlugin,
  readPlugin,
} from "./plugin.ts"
export {
  applyPodPatch,
  MAX_PLUGIN_PATCH_BYTES,
  MAX_PLUGIN_PATCH_OPERATIONS,
  readPodPatch,
} from "./pod_patch.ts"
