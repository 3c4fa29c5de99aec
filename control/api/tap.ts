// Tap: live requests, for who may see them. Figures are one thing, what requests say is another: RBAC must grant it by a
// rule of its own, to a caller who proves a service account, also where a port-forward leads here.
import type { MessageInitShape } from "@bufbuild/protobuf"
import { Code, type HandlerContext } from "@connectrpc/connect"
import { TapHeaders, type TapRequest, type TapResponseSchema } from "../../protos/mod.ts"
import type { Reviews } from "../kubernetes/mod.ts"
import { apiError } from "../rpc/mod.ts"
import { type Asker, accountOf, asked, askerIn, groupsOf, refused, userOf } from "./access.ts"

/** API group of the rules that grant taps; there are no objects of it. */
export const TAP_GROUP = "tap.conduit.io"

/** Makes taps; the tap service's. */
export type Relay = (
  request: TapRequest,
  asker: string,
  signal: AbortSignal,
) => AsyncIterable<MessageInitShape<typeof TapResponseSchema>>

/**
 * Tells of requests.
 *
 * @param relay  undefined where the control plane has no tap service
 * @param reviews  undefined: whoever reaches the API may, as in a local mesh
 * @throws ConnectError Unauthenticated or PermissionDenied for who may not, with the rule that is missing; and what the tap
 *   service throws
 */
export async function* tap(
  request: TapRequest,
  { values, signal }: Pick<HandlerContext, "values" | "signal">,
  relay: Relay | undefined,
  reviews: Pick<Reviews, "token" | "access"> | undefined,
): AsyncGenerator<MessageInitShape<typeof TapResponseSchema>> {
  const asker = askerIn(values)
  let who = asker.peer?.dnsName ?? "whoever reaches the API"
  if (reviews !== undefined) {
    if (!asker.local && !asker.secure)
      throw refused("from outside of its pod this API is served over TLS only", "TLS_REQUIRED")
    const account = await tapperOf(reviews, asker)
    who = `${account.namespace}/${account.serviceAccount}`
    await mayTap(reviews, account, request, "tap")
    if (request.headers === TapHeaders.VALUES) await mayTap(reviews, account, request, "tapheaders")
  }
  if (relay === undefined)
    throw apiError(Code.FailedPrecondition, "this control plane has no tap service", {
      reason: "NO_TAP_SERVICE",
    })
  yield* relay(request, who, signal)
}

/**
 * Who taps: a token decides, also by a connection that proves somebody else, since the dashboard passes on that of who looks.
 *
 * @throws ConnectError Unauthenticated for who proves nothing, or a token that does not hold
 */
export async function tapperOf(
  reviews: Pick<Reviews, "token">,
  { peer, token }: Pick<Asker, "peer" | "token">,
) {
  return token === null && peer !== null ? peer : await accountOf(reviews, token)
}

async function mayTap(
  reviews: Pick<Reviews, "access">,
  account: { readonly namespace: string; readonly serviceAccount: string },
  { target }: TapRequest,
  subresource: string,
): Promise<void> {
  const { kind = "", namespace = "", name = "" } = target ?? {}
  const resource = `${kind}s`
  const access = {
    group: TAP_GROUP,
    resource,
    subresource,
    namespace: kind === "namespace" ? name : namespace,
    name,
  }
  const question = { user: userOf(account), groups: groupsOf(account), verb: "watch", ...access }
  if ((await asked(reviews.access(question))).allowed) return
  const where = access.namespace === "" ? "in all namespaces" : `in namespace ${access.namespace}`
  throw apiError(
    Code.PermissionDenied,
    `service account ${account.namespace}/${account.serviceAccount} may not "watch" ${resource}/${subresource} of the API group ${TAP_GROUP} ${where}: ` +
      `bind it a role with the rule apiGroups: [${TAP_GROUP}], resources: [${resource}/${subresource}], verbs: [watch]`,
    { reason: "NOT_GRANTED" },
  )
}
