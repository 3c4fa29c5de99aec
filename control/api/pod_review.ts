// Pods of a local mesh, which injects them itself and has nobody else that could ask plugins about them.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, ConnectError } from "@connectrpc/connect"
import type { PodTemplate } from "../../deploy/inject/mod.ts"
import type { injectionV1 } from "../../protos/mod.ts"
import { askInjection, type PluginSupervisor } from "../plugins/mod.ts"

/**
 * Answers a Review request.
 *
 * @throws ConnectError InvalidArgument where the pod is none
 */
export async function podReview(
  supervisor: PluginSupervisor,
  { namespace, ownerKind, owner, podJson }: injectionV1.ReviewRequest,
): Promise<MessageInitShape<typeof injectionV1.ReviewResponseSchema>> {
  const pod = podOf(podJson)
  const { denied, warnings, patch, answered } = await askInjection(supervisor, {
    ...{ namespace, ownerKind, owner, pod },
  })
  const patchJson = patch.length === 0 ? "" : JSON.stringify(patch)
  return { denied, warnings: [...warnings], patchJson, answered: [...answered] }
}

function podOf(json: string): PodTemplate {
  try {
    const pod = JSON.parse(json) as Partial<PodTemplate> | null
    if (Array.isArray(pod?.spec?.containers)) return pod as PodTemplate
  } catch {
    // Said below.
  }
  throw new ConnectError("pod_json must be a pod with spec.containers, as JSON", Code.InvalidArgument)
}
