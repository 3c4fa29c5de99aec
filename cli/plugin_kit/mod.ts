// The face of cli/plugin_kit: the conformance kit for plugins.
export type { BenchOptions } from "./bench.ts"
export type { Finding, FindingState } from "./finding.ts"
export { checkPlugin } from "./kit.ts"
