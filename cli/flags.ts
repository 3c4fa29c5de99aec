// Flags that every command takes, and the ones that several share.
import type { ArgsDef } from "citty"
import { argumentsOf } from "./command_line/command.ts"
import { parseWords } from "./command_line/parse.ts"

/** Flags of every command. */
export const GLOBAL_FLAGS = {
  namespace: {
    type: "string",
    alias: "n",
    valueHint: "NAMESPACE",
    description: "namespace to look in (default: the context's, or default)",
  },
  "all-namespaces": { type: "boolean", alias: "A", description: "look in every namespace" },
  output: { type: "string", alias: "o", valueHint: "FORMAT", description: "table, wide, json or yaml" },
  "conduit-namespace": {
    type: "string",
    alias: "c",
    valueHint: "NAMESPACE",
    description: "namespace of the control plane (CONDUIT_NAMESPACE; default: conduit)",
  },
  mesh: { type: "string", valueHint: "NAME", description: "which local mesh, of several (CONDUIT_DEV_NAME)" },
  "api-addr": {
    type: "string",
    valueHint: "HOST:PORT",
    description: "address of the API (CONDUIT_API_ADDR)",
  },
  kubeconfig: { type: "string", valueHint: "FILE", description: "kubeconfig of the cluster" },
  context: { type: "string", valueHint: "NAME", description: "context of the kubeconfig" },
} as const satisfies ArgsDef

/** Which control plane is meant, in order; shown by `--help`. */
export const SEARCH_ORDER = [
  "--api-addr, --mesh, or --context and --kubeconfig; then CONDUIT_API_ADDR and CONDUIT_DEV_NAME",
  "the local mesh that runs on this machine (conduit dev); of several the one called dev",
  "the current context of KUBECONFIG or ~/.kube/config; in a pod, the cluster around it",
] as const

/** What a command sees of the global flags. */
export interface GlobalArgs {
  readonly namespace?: string | undefined
  readonly "all-namespaces"?: boolean | undefined
  readonly output?: string | undefined
  readonly "conduit-namespace"?: string | undefined
  readonly mesh?: string | undefined
  readonly "api-addr"?: string | undefined
  readonly kubeconfig?: string | undefined
  readonly context?: string | undefined
}

/** Namespace that a command looks in: `-A` is "", then `-n`, then that of the context, as kubectl. */
export function namespaceOf(args: GlobalArgs, ofContext = "default"): string {
  return args["all-namespaces"] ? "" : (args.namespace ?? ofContext)
}

/** The window of traffic figures. */
export const WINDOW_FLAG = {
  "time-window": {
    type: "string",
    alias: ["t", "window"],
    valueHint: "DURATION",
    description: "how far back to look, 1s to 24h (default: 1m)",
  },
} as const satisfies ArgsDef

/** Keep showing. */
export const WATCH_FLAG = {
  watch: { type: "boolean", alias: "w", description: "show again every second until interrupted" },
} as const satisfies ArgsDef

/** Every value of a flag that may come several times. */
export async function flagValues(args: ArgsDef, rawArgs: readonly string[], name: string): Promise<string[]> {
  const { flags } = await argumentsOf({ args: { ...GLOBAL_FLAGS, ...args } })
  return [...(parseWords(rawArgs, flags).flags.get(name) ?? [])]
}
