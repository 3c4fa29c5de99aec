// Network configurations of a node, as container runtimes read them: which file counts, and our plugin in it. Whatever
// else stands there is kept (https://www.cni.dev/docs/spec/#section-1-network-configuration-format).

/** `type` of our plugin, which is the name of its executable. */
export const PLUGIN_TYPE = "conduit-cni"
/** What runtimes take for configurations; all else in the folder is nothing to them. */
export const CONFIG_FILE = /\.(conflist|conf|json)$/

/** The plugin as a conflist names it. */
export interface PluginEntry {
  readonly type: typeof PLUGIN_TYPE
  /** Path on the node. */
  readonly kubeconfig: string
  readonly excludeNamespaces: readonly string[]
}

/** A configuration of several plugins. */
export interface NetworkList {
  readonly plugins: readonly Plugin[]
  readonly [field: string]: unknown
}

interface Plugin {
  readonly type: string
  readonly [field: string]: unknown
}

/** The list that a file stands for; null for one that a runtime would not load. */
export function readConfig(name: string, text: string): NetworkList | null {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return null
  }
  if (!isFields(value)) return null
  if (name.endsWith(".conflist")) {
    const { plugins } = value
    return Array.isArray(plugins) && plugins.length > 0 && plugins.every(isPlugin)
      ? { ...value, plugins }
      : null
  }
  // As libcni makes a list of a single plugin.
  if (!isPlugin(value)) return null
  const { name: network, cniVersion } = value
  return { ...(cniVersion === undefined ? {} : { cniVersion }), name: network, plugins: [value] }
}

/** Name of the file that a configuration is kept in once it has our plugin: only a `.conflist` can have several. */
export function listName(name: string): string {
  return name.replace(CONFIG_FILE, ".conflist")
}

/** Whether our plugin is in a list. */
export function hasPlugin({ plugins }: NetworkList): boolean {
  return plugins.some(plugin => plugin.type === PLUGIN_TYPE)
}

/** The list with our plugin once, at its end: it needs the pod's addresses, and changes nothing for the others. */
export function withPlugin(list: NetworkList, entry: PluginEntry): NetworkList {
  return { ...list, plugins: [...withoutPlugin(list).plugins, { ...entry }] }
}

/** The list without our plugin. */
export function withoutPlugin(list: NetworkList): NetworkList {
  return { ...list, plugins: list.plugins.filter(plugin => plugin.type !== PLUGIN_TYPE) }
}

/** A list as text for its file. */
export function listText(list: NetworkList): string {
  return `${JSON.stringify(list, null, 2)}\n`
}

function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function isPlugin(value: unknown): value is Plugin {
  return isFields(value) && typeof value.type === "string" && value.type !== ""
}
