// What marks an injected template: names of containers, labels and annotations, and the note that lets uninject put
// back what was there before.
import type { PodTemplate } from "./pod_spec.ts"

/** Annotation on a namespace or pod template that opts in or out. */
export const INJECT_ANNOTATION = "conduit.io/inject"
/** Name of the sidecar container. */
export const PROXY_CONTAINER = "conduit-proxy"
/** Name of the init container that redirects the pod's TCP. */
export const INIT_CONTAINER = "conduit-init"

/** Name of the init container that proves the redirect of a pod which the CNI plugin redirects. */
export const VALIDATE_CONTAINER = "conduit-validate"

/** Volume with the token that proves the workload. */
export const TOKEN_VOLUME = "conduit-identity-token"
/** Annotation that marks an injected template: `conduit/` and the version that injected it. */
export const CREATED_BY_ANNOTATION = "conduit.io/created-by"
/**
 * Annotation on a pod that asked for a proxy and got none: why. Nobody sees what a webhook answers to a controller, but
 * everybody who looks at the pod sees this.
 */
export const NOT_INJECTED_ANNOTATION = "conduit.io/not-injected"
/** Annotation with the version of the proxy. */
export const PROXY_VERSION_ANNOTATION = "conduit.io/proxy-version"
/**
 * Annotation that says what uninject puts back besides taking the proxy away: a JSON object of JSON pointers into the
 * template, each with the text that stood there, or null where nothing did. Absent where there is nothing to say.
 */
export const BEFORE_ANNOTATION = "conduit.io/before-inject"
/** Label with the namespace of the control plane. */
export const CONTROL_PLANE_LABEL = "conduit.io/control-plane-ns"
/** Label with the namespace of the pod. */
export const NAMESPACE_LABEL = "conduit.io/workload-ns"
/** What `kubectl logs` and `kubectl exec` take when no container is named. */
export const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
/** The longest value that Kubernetes takes for a label. */
export const MAX_LABEL_BYTES = 63

/** Whether a template bears the mark of inject. */
export function isInjected(template: PodTemplate): boolean {
  return String(template.metadata?.annotations?.[CREATED_BY_ANNOTATION] ?? "").startsWith("conduit/")
}

/** The annotation for uninject about annotations that were given values; none when there are none. */
export function beforeAnnotation(
  annotations: Readonly<Record<string, string>>,
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  const texts = Object.keys(given)
    .filter(name => annotations[name] !== given[name])
    .map(name => {
      const value = annotations[name]
      return [annotationPointer(name), value === undefined ? null : JSON.stringify(value)]
    })
  return texts.length === 0 ? {} : { [BEFORE_ANNOTATION]: JSON.stringify(Object.fromEntries(texts)) }
}

/** JSON pointer (RFC 6901) to an annotation of a template. */
export function annotationPointer(name: string): string {
  return `/metadata/annotations/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`
}
