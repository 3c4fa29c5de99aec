// Plugins with the hook Injection are asked about pods as an API server has the injector ask them: by the control plane.
import { createInjectionClient } from "../../protos/mod.ts"
import type { PodTemplate } from "../inject/mod.ts"
import { type Plugin, readPlugin } from "../plugin_object/mod.ts"
import type { KubeObject } from "./objects/kube_object.ts"

/** The control plane and plugins that were started with the pod are waited for so long; then they count as gone. */
export const PLUGIN_PATIENCE_MS = 10_000
const RETRY_MS = 200
/** A review asks all plugins at once, each within its own deadline. */
const CALL_MS = 12_000

/** A pod that is about to be injected. */
export interface ReviewedPod {
  readonly namespace: string
  /** In lower case; `pod` when it has no owner. */
  readonly ownerKind: string
  readonly owner: string
  /** As its author wrote it. */
  readonly pod: PodTemplate
}

/** What plugins say of it. */
export interface PodReview {
  /** Why the pod is refused; empty where it is not. */
  readonly denied: string
  readonly warnings: readonly string[]
  /** JSON Patch (RFC 6902) of labels and annotations; empty for none. */
  readonly patchJson: string
}

/** Plugins that are to be asked, of all objects. */
export function injectionPlugins(objects: Iterable<KubeObject>): Plugin[] {
  return [...objects].flatMap(object => {
    const { plugin } = object.kind === "Plugin" ? readPlugin(object) : { plugin: null }
    return plugin?.hooks.some(({ name }) => name === "Injection") ? [plugin] : []
  })
}

/**
 * Asks them; never throws.
 *
 * @param apiUrl   where the control plane's API is
 * @param plugins  those that have to answer; who does not within PLUGIN_PATIENCE_MS is treated by its failurePolicy
 */
export async function reviewPod(
  apiUrl: string,
  { pod, ...rest }: ReviewedPod,
  plugins: readonly Plugin[],
  signal: AbortSignal,
): Promise<PodReview> {
  // Costs each start of the command line, which few pods make up for.
  const { createConnectTransport } = await import("@connectrpc/connect-node")
  const client = createInjectionClient(createConnectTransport({ baseUrl: apiUrl, httpVersion: "1.1" }))
  const request = { ...rest, podJson: JSON.stringify(pod) }
  const endMs = performance.now() + PLUGIN_PATIENCE_MS
  for (;;) {
    const late = performance.now() >= endMs
    try {
      const answer = await client.review(request, { timeoutMs: CALL_MS, signal })
      if (late || plugins.every(({ name }) => answer.answered.includes(name))) return answer
    } catch (error) {
      if (late || signal.aborted) return unanswered(plugins, error)
    }
    await Bun.sleep(RETRY_MS)
  }
}

function unanswered(plugins: readonly Plugin[], error: unknown): PodReview {
  const why = `the control plane does not answer: ${error instanceof Error ? error.message : String(error)}`
  const fails = plugins.find(({ hooks }) =>
    hooks.some(({ name, failurePolicy }) => name === "Injection" && failurePolicy === "Fail"),
  )
  const denied = fails === undefined ? "" : `the plugin "${fails.name}" has not decided about it: ${why}`
  return { denied, warnings: [`plugins were not asked: ${why}`], patchJson: "" }
}
