// The meshed pods of one node as they are now: a list, then changes; anew whenever that breaks.
import type { Pod } from "../cni/mod.ts"
import type { KubeApi } from "../kubernetes/mod.ts"

/** The API server sends a bookmark a minute; a connection that is silent for longer is dead. */
export const WATCH_SILENCE_MS = 150_000
/** First pause after a failure. */
export const WATCH_BACKOFF_MIN_MS = 1_000
/** Longest pause between attempts. */
export const WATCH_BACKOFF_MAX_MS = 30_000

/** Which pods, and who is told. */
export interface PodWatchOptions {
  readonly node: string
  readonly signal: AbortSignal
  readonly onPod: (pod: Pod) => void
  /** Told why the API server could not be read, at each attempt. */
  readonly onTrouble: (reason: string) => void
}

/** Tells every meshed pod of a node, and each of its changes, until the signal. */
export async function watchPods(api: KubeApi, options: PodWatchOptions): Promise<void> {
  const { node, signal, onPod, onTrouble } = options
  const selectors = new URLSearchParams({
    fieldSelector: `spec.nodeName=${node}`,
    labelSelector: "conduit.io/control-plane-ns",
  })
  let pauseMs = WATCH_BACKOFF_MIN_MS
  while (!signal.aborted) {
    try {
      const path = `/api/v1/pods?${selectors}`
      const list = (await api.call({ path, signal })) as {
        items?: Pod[] | null
        metadata?: { resourceVersion?: string }
      }
      for (const pod of list.items ?? []) onPod(pod)
      const resume = `&watch=true&allowWatchBookmarks=true&resourceVersion=${list.metadata?.resourceVersion ?? ""}`
      await api.watch({
        path: `${path}${resume}`,
        signal,
        silenceMs: WATCH_SILENCE_MS,
        onOpen: () => {
          pauseMs = WATCH_BACKOFF_MIN_MS
        },
        onEvents: events => {
          for (const { type, object } of events) {
            if (type === "ADDED" || type === "MODIFIED") onPod(object as Pod)
          }
        },
      })
    } catch (error) {
      if (signal.aborted) return
      onTrouble(error instanceof Error ? error.message : String(error))
      await pause(pauseMs, signal)
      pauseMs = Math.min(2 * pauseMs, WATCH_BACKOFF_MAX_MS)
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>(resolve => {
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener("abort", end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener("abort", end)
  })
}
