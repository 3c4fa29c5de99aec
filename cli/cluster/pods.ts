// Pods as the API server shows them, as far as commands look at them.
import type { KubeApi } from "../../deploy/kubernetes/mod.ts"

/** A pod. */
export interface Pod {
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly deletionTimestamp?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string }[]
  }
  readonly spec: {
    readonly containers: readonly {
      readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[]
    }[]
  }
  readonly status?: {
    readonly phase?: string
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly message?: string
    }[]
    readonly containerStatuses?: readonly {
      readonly state?: { readonly waiting?: { readonly reason?: string } }
    }[]
  }
}

/**
 * Pods that bear labels, in the order of their names.
 *
 * @param namespace  "" for all
 * @param selector  as kubectl's -l
 * @throws KubeError when the API server refuses or cannot be reached
 */
export async function podsOf(api: KubeApi, namespace: string, selector: string): Promise<Pod[]> {
  const where = namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`
  const path = `/api/v1${where}/pods?labelSelector=${encodeURIComponent(selector)}`
  const answer = (await api.call({ path })) as { items?: Pod[] | null }
  const key = ({ metadata }: Pod): string => `${metadata.namespace}/${metadata.name}`
  return (answer.items ?? []).sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

/** Whether a pod serves. */
export function isReady({ metadata, status }: Pod): boolean {
  if (metadata.deletionTimestamp !== undefined || status?.phase !== "Running") return false
  return status.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") === true
}

/** What a pod that is not ready waits for, in a few words. */
export function stateOf({ metadata, status }: Pod): string {
  if (metadata.deletionTimestamp !== undefined) return "terminating"
  const waiting = status?.containerStatuses?.find(({ state }) => state?.waiting?.reason !== undefined)
  const unmet = status?.conditions?.find(({ status: is, message }) => is === "False" && message !== undefined)
  return waiting?.state?.waiting?.reason ?? unmet?.message ?? status?.phase ?? "unknown"
}
