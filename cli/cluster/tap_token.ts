// What proves who taps in a cluster: a token of the account that the API lets tap, made by the API server for who may have
// one (`create` on serviceaccounts/token). The user's own token never leaves for a pod, and the audit log names the user.
import { HEADER_TAPPER, TAPPER } from "../../deploy/install/mod.ts"
import { KubeError } from "../../deploy/kubernetes/mod.ts"
import type { ClusterPlane } from "../connect.ts"
import { Failure } from "../failure.ts"
import { refusal } from "../kubernetes.ts"

/** Audience that the API asks for (control/api/access.ts). */
const API_AUDIENCE = "api.conduit.io"

/** Life of the token, in seconds; the shortest that Kubernetes gives. It is looked at when a tap begins. */
export const TAP_TOKEN_SECONDS = 600

/**
 * Has a token made.
 *
 * @param values  for values of header fields, too
 * @throws Failure with a sentence, also on the right that is missing
 */
export async function tapToken(
  { kubernetes, controlNamespace }: ClusterPlane,
  values: boolean,
): Promise<string> {
  const account = values ? HEADER_TAPPER : TAPPER
  const path = `/api/v1/namespaces/${encodeURIComponent(controlNamespace)}/serviceaccounts/${account}/token`
  const body = {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenRequest",
    spec: { audiences: [API_AUDIENCE], expirationSeconds: TAP_TOKEN_SECONDS },
  }
  try {
    const made = (await kubernetes.api.call({ method: "POST", path, body })) as {
      status?: { token?: string }
    }
    return made.status?.token ?? ""
  } catch (error) {
    if (error instanceof KubeError && error.status === 403)
      throw new Failure(
        `${kubernetes.what} may not tap${values ? " with values of header fields" : ""}: it may not "create" serviceaccounts/token of ` +
          `"${account}" in namespace "${controlNamespace}"; the Role "${account}" there grants it, and is to be bound to who taps`,
        { cause: error },
      )
    throw refusal(
      error,
      kubernetes,
      `get a token of service account ${controlNamespace}/${account} to tap with`,
    )
  }
}
