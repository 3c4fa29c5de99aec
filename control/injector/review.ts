// An AdmissionReview as the API server sends it, checked, and the answer to it
// (https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request).
import type { PatchOperation, PodTemplate } from "../../deploy/inject/mod.ts"

const API_VERSION = "admission.k8s.io/v1"
/** RFC 1123 label, at most 63 characters: what a namespace is. */
const NAMESPACE = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

/** A body that is no review; the message says in a sentence what is wrong with it. */
export class ReviewError extends Error {
  override readonly name = "ReviewError"
}

/** What is asked. */
export interface Review {
  readonly uid: string
  /** The pod that is to be made, as far as it is looked at; null for anything else, which is none of our business. */
  readonly pod: PodTemplate | null
  /** Namespace that it is made in. */
  readonly namespace: string
}

/** What is answered. */
export interface Answer {
  readonly uid: string
  /** Why the pod is refused; null when it is let in. */
  readonly refusal: string | null
  readonly patch: readonly PatchOperation[]
  /** Shown to who makes the pod. */
  readonly warnings: readonly string[]
}

type Fields = Readonly<Record<string, unknown>>

/** Reads a body. @throws ReviewError */
export function parseReview(text: string): Review {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw new ReviewError(`the body is no JSON: ${(error as Error).message}`)
  }
  const { apiVersion, kind, request } = fields(body, "the body")
  if (apiVersion !== API_VERSION || kind !== "AdmissionReview")
    throw new ReviewError(
      `the body is ${String(kind)} of ${String(apiVersion)}; it must be AdmissionReview of ${API_VERSION}`,
    )
  const asked = fields(request, "request")
  const { uid, operation } = asked
  if (typeof uid !== "string" || uid === "") throw new ReviewError("request.uid is missing")
  const what = fields(asked.kind, "request.kind")
  const isPod = what.group === "" && what.kind === "Pod" && (asked.subResource ?? "") === ""
  if (!isPod || operation !== "CREATE") return { uid, pod: null, namespace: "" }
  const { namespace } = asked
  if (typeof namespace !== "string" || !NAMESPACE.test(namespace))
    throw new ReviewError("request.namespace is not the name of a namespace")
  return { uid, namespace, pod: checkedPod(asked.object) }
}

/** The API server sends pods that it has decoded itself; what others may send must not get far. */
function checkedPod(object: unknown): PodTemplate {
  const pod = fields(object, "request.object")
  const spec = fields(pod.spec, "request.object.spec")
  const metadata = optional(pod.metadata, "request.object.metadata")
  for (const name of ["labels", "annotations"]) {
    const map = optional(metadata[name], `request.object.metadata.${name}`)
    if (Object.values(map).some(value => typeof value !== "string"))
      throw new ReviewError(`request.object.metadata.${name} holds something that is no text`)
  }
  items(metadata.ownerReferences, "request.object.metadata.ownerReferences")
  items(spec.volumes, "request.object.spec.volumes")
  if (!Array.isArray(spec.containers)) throw new ReviewError("request.object.spec.containers is no list")
  for (const list of ["containers", "initContainers"]) {
    const place = `request.object.spec.${list}`
    for (const one of items(spec[list], place)) {
      if (typeof one.name !== "string") throw new ReviewError(`${place} holds a container without a name`)
      items(one.ports, `${place}.ports`)
      const lifecycle = optional(one.lifecycle, `${place}.lifecycle`)
      optional(optional(lifecycle.preStop, `${place}.lifecycle.preStop`).sleep, `${place}.lifecycle`)
      optional(one.securityContext, `${place}.securityContext`)
    }
  }
  for (const name of ["securityContext", "nodeSelector", "os"])
    optional(spec[name], `request.object.spec.${name}`)
  return pod as unknown as PodTemplate
}

function fields(value: unknown, what: string): Fields {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ReviewError(`${what} is missing or no object`)
  return value as Fields
}

function optional(value: unknown, what: string): Fields {
  return value === undefined || value === null ? {} : fields(value, what)
}

function items(value: unknown, what: string): readonly Fields[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw new ReviewError(`${what} is no list`)
  return value.map(one => fields(one, `an item of ${what}`))
}

/** The answer as the API server reads it. */
export function answerText({ uid, refusal, patch, warnings }: Answer): string {
  const response = {
    uid,
    allowed: refusal === null,
    // 422: what was asked is well-formed and cannot be done (RFC 9110 section 15.5.21), as for any invalid field.
    ...(refusal === null ? {} : { status: { code: 422, reason: "Invalid", message: refusal } }),
    ...(patch.length === 0
      ? {}
      : { patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(patch)).toString("base64") }),
    ...(warnings.length === 0 ? {} : { warnings }),
  }
  return JSON.stringify({ apiVersion: API_VERSION, kind: "AdmissionReview", response })
}
