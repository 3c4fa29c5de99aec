// The face of deploy/cni_node: what puts the plugin on a node.
export { PLUGIN_TYPE } from "./conflist.ts"
export { putIptables, putPlugin } from "./programs.ts"
