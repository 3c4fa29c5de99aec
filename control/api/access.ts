// Who may ask the public API in a Kubernetes cluster. Two ways lead to it, and Kubernetes' RBAC decides on both:
//
// - Through the API server (`pods/portforward` in the control plane's namespace): the connection comes from the pod's own
//   loopback interface, and the API server has decided already. That suffices for what changes nothing. A kubeconfig's own
//   token is not asked for: whoever holds it is that user, and a pod is no place to send it to.
// - From elsewhere, over TLS only: the caller proves a service account, by its certificate of the mesh or by a token of
//   audience API_AUDIENCE, and a SubjectAccessReview says whether that one may `get` the path of the call (`post`, for one
//   that changes something). The nonResourceURLs of RBAC are such paths.
import type { IncomingMessage } from "node:http"
import type { Http2ServerRequest } from "node:http2"
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt"
import {
  Code,
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect"
import { grpcHealthV1, grpcReflectionV1, grpcReflectionV1alpha } from "../../protos/grpc/mod.ts"
import { TapService } from "../../protos/mod.ts"
import type { Reviews } from "../kubernetes/mod.ts"
import { apiError } from "../rpc/mod.ts"
import { fromLoopback } from "../serve/mod.ts"
import { type Peer, peerOf } from "../tls/mod.ts"

/** Services for whoever reaches the port: probes prove nothing, and the API's shape is in this repository. */
const OPEN_SERVICES: ReadonlySet<string> = new Set([
  grpcHealthV1.Health.typeName,
  grpcReflectionV1.ServerReflection.typeName,
  grpcReflectionV1alpha.ServerReflection.typeName,
])

/** Audience of tokens that prove a caller; a token for the API server itself is not taken, so that nobody sends one. */
export const API_AUDIENCE = "api.conduit.io"

/** Who asks, as far as the connection and the request tell. */
export interface Asker {
  /** The connection comes from the loopback interface of this process's own network. */
  readonly local: boolean
  /** It is TLS. */
  readonly secure: boolean
  /** Who the connection's certificate proves; null for nobody. */
  readonly peer: Peer | null
  /** The request's bearer token; null for none. */
  readonly token: string | null
}

const ASKER = createContextKey<Asker>({ local: false, secure: false, peer: null, token: null })

/** Context of a request with who asks. */
export function contextOf(request: IncomingMessage | Http2ServerRequest) {
  return createContextValues().set(ASKER, askerOf(request))
}

/** Who asks, in a handler. */
export function askerIn(values: ContextValues): Asker {
  return values.get(ASKER)
}

/** Who sends a request. */
export function askerOf(request: IncomingMessage | Http2ServerRequest): Asker {
  const session = "stream" in request ? request.stream.session : undefined
  const { authorization = "" } = request.headers
  return {
    local: fromLoopback(request),
    secure: session?.encrypted === true,
    peer: peerOf(session),
    token: /^bearer +(\S+)$/i.exec(authorization)?.[1] ?? null,
  }
}

/**
 * Lets in who may ask, before anything of the request is read; others get Unauthenticated or PermissionDenied, with a
 * sentence that says what to do.
 */
export function accessGate(reviews: Pick<Reviews, "token" | "access">) {
  return async ({ service, method, values }: HandlerContext): Promise<void> => {
    if (OPEN_SERVICES.has(service.typeName)) return
    // Taps ask for a right of their own (tap.ts).
    if (service.typeName === TapService.typeName) return
    const changes = method.idempotency !== MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS
    await admit(reviews, values.get(ASKER), `/${service.typeName}/${method.name}`, changes)
  }
}

/**
 * Decides about one call.
 *
 * @param path  of the call, such as `/conduit.api.v1.ApiService/Stat`
 * @param changes  whether it changes something
 * @throws ConnectError for who may not
 */
export async function admit(
  reviews: Pick<Reviews, "token" | "access">,
  { local, secure, peer, token }: Asker,
  path: string,
  changes: boolean,
): Promise<void> {
  if (local && !changes && peer === null && token === null) return
  if (!local && !secure)
    throw refused("from outside of its pod this API is served over TLS only", "TLS_REQUIRED")
  const account = peer ?? (await accountOf(reviews, token))
  const { namespace, serviceAccount } = account
  const verb = changes ? "post" : "get"
  const { allowed } = await asked(
    reviews.access({ user: userOf(account), groups: groupsOf(account), verb, path }),
  )
  if (allowed) return
  throw apiError(
    Code.PermissionDenied,
    `service account ${namespace}/${serviceAccount} may not "${verb}" the nonResourceURL ${path}; a ClusterRole that grants it is to be bound to it`,
    { reason: "NOT_GRANTED" },
  )
}

/** An error for who has not proved enough. */
export function refused(sentence: string, reason: string) {
  return apiError(Code.Unauthenticated, sentence, { reason })
}

/** A service account. */
interface Account {
  readonly namespace: string
  readonly serviceAccount: string
}

/** A service account as RBAC names it. */
export function userOf({ namespace, serviceAccount }: Account): string {
  return `system:serviceaccount:${namespace}:${serviceAccount}`
}

/** The groups that it is of. */
export function groupsOf({ namespace }: Account): string[] {
  return ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"]
}

/** The account that a token is of. @throws ConnectError Unauthenticated without one that holds */
export async function accountOf(reviews: Pick<Reviews, "token">, token: string | null) {
  if (token === null)
    throw refused(
      `the caller did not prove who it is: by a certificate of the mesh, or by a service account's token of audience ${API_AUDIENCE}`,
      "NO_PROOF",
    )
  const verdict = await asked(reviews.token(token, API_AUDIENCE))
  if (!verdict.holds) throw refused(`the token does not hold: ${verdict.why}`, "TOKEN_INVALID")
  return verdict
}

/** An answer of the API server. @throws ConnectError Unavailable where it gives none */
export async function asked<T>(review: Promise<T>): Promise<T> {
  try {
    return await review
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    const sentence = `the Kubernetes API did not say who may ask (${reason}); try again`
    throw apiError(Code.Unavailable, sentence, { reason: "REVIEW_FAILED" }, error)
  }
}
