// A container's environment: literal, from fields, ConfigMaps and Secrets, with $(NAME) expanded as Kubernetes
// does (kubernetes.io: "Define Dependent Environment Variables").
import type { Container, EnvVarSource } from "../../inject/mod.ts"
import type { KubeObject } from "../objects/kube_object.ts"

/** Where values come from. */
export interface EnvironmentSources {
  /** The pod as it is, with `status.podIP`. */
  readonly pod: KubeObject
  /** data of a ConfigMap in the pod's namespace, null when there is none. */
  configMap(name: string): Readonly<Record<string, string>> | null
  /** Decoded data of a Secret in the pod's namespace, null when there is none. */
  secret(name: string): Readonly<Record<string, string>> | null
}

/** Something that a container needs and that is not there (yet); the pod waits for it. */
export class MissingSourceError extends Error {
  constructor(message: string) {
    super(message)
    this.name = "MissingSourceError"
  }
}

/**
 * The environment of a container, over `base`.
 *
 * @throws MissingSourceError when a ConfigMap, Secret or key that is not optional does not exist
 */
export function environmentOf(
  container: Container,
  base: Readonly<Record<string, string>>,
  sources: EnvironmentSources,
): Record<string, string> {
  const result: Record<string, string> = { ...base }
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const data = configMapRef
      ? found(sources.configMap(configMapRef.name), "ConfigMap", configMapRef)
      : secretRef
        ? found(sources.secret(secretRef.name), "Secret", secretRef)
        : null
    for (const [key, value] of Object.entries(data ?? {})) result[prefix + key] = value
  }
  for (const { name, value, valueFrom } of container.env ?? []) {
    if (valueFrom === undefined) result[name] = expand(value ?? "", result)
    else {
      const resolved = fromSource(valueFrom, container, sources)
      if (resolved !== null) result[name] = resolved
    }
  }
  return result
}

/** Replaces `$(NAME)` by a known variable; `$$(NAME)` stays `$(NAME)`, and so does an unknown one. */
export function expand(text: string, variables: Readonly<Record<string, string>>): string {
  return text.replace(/\$\$|\$\(([^()]*)\)/g, (whole, name: string | undefined) => {
    if (name === undefined) return "$"
    return Object.hasOwn(variables, name) ? (variables[name] ?? "") : whole
  })
}

/** Value of a field of the downward API. @throws Error for a field that it does not offer */
export function fieldValue(pod: KubeObject, path: string): string {
  const { metadata } = pod
  const status = (pod.status ?? {}) as { podIP?: string; podIPs?: { ip: string }[]; hostIP?: string }
  const spec = (pod.spec ?? {}) as { nodeName?: string; serviceAccountName?: string }
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path)
  if (keyed !== null) {
    const map = keyed[1] === "labels" ? metadata.labels : metadata.annotations
    return map?.[keyed[2] ?? ""] ?? ""
  }
  const values: Record<string, string> = {
    "metadata.name": metadata.name,
    "metadata.namespace": metadata.namespace ?? "default",
    "metadata.uid": metadata.uid ?? "",
    "metadata.labels": lines(metadata.labels),
    "metadata.annotations": lines(metadata.annotations),
    "spec.nodeName": spec.nodeName ?? "",
    "spec.serviceAccountName": spec.serviceAccountName ?? "default",
    "status.podIP": status.podIP ?? "",
    "status.podIPs": (status.podIPs ?? []).map(entry => entry.ip).join(","),
    "status.hostIP": status.hostIP ?? "",
    "status.hostIPs": status.hostIP ?? "",
  }
  const value = Object.hasOwn(values, path) ? values[path] : undefined
  if (value === undefined) throw new Error(`fieldRef "${path}" is not a field that pods offer`)
  return value
}

/** Value of a resource of the downward API; unlimited reads as 0. */
export function resourceValue(container: Container, resource: string): string {
  const [kind, name] = resource.split(".", 2)
  const amounts = kind === "limits" ? container.resources?.limits : container.resources?.requests
  const text = amounts?.[name ?? ""] ?? "0"
  const match = /^(\d+(?:\.\d+)?)(m|k|Ki|M|Mi|G|Gi)?$/.exec(text)
  if (match === null) return "0"
  const scale: Record<string, number> = {
    m: 0.001,
    k: 1e3,
    Ki: 2 ** 10,
    M: 1e6,
    Mi: 2 ** 20,
    G: 1e9,
    Gi: 2 ** 30,
  }
  return String(Math.ceil(Number(match[1]) * (scale[match[2] ?? ""] ?? 1)))
}

function fromSource(source: EnvVarSource, container: Container, sources: EnvironmentSources): string | null {
  if (source.fieldRef) return fieldValue(sources.pod, source.fieldRef.fieldPath)
  if (source.resourceFieldRef) return resourceValue(container, source.resourceFieldRef.resource)
  if (source.configMapKeyRef) {
    const ref = source.configMapKeyRef
    return keyOf(found(sources.configMap(ref.name), "ConfigMap", ref), "ConfigMap", ref)
  }
  if (source.secretKeyRef) {
    const ref = source.secretKeyRef
    return keyOf(found(sources.secret(ref.name), "Secret", ref), "Secret", ref)
  }
  return null
}

function found<T>(data: T | null, kind: string, ref: { name: string; optional?: boolean }): T | null {
  if (data === null && ref.optional !== true)
    throw new MissingSourceError(`${kind} "${ref.name}" does not exist`)
  return data
}

function keyOf(
  data: Readonly<Record<string, string>> | null,
  kind: string,
  ref: { name: string; key: string; optional?: boolean },
): string | null {
  const value = data?.[ref.key]
  if (value !== undefined) return value
  if (ref.optional === true) return null
  throw new MissingSourceError(`${kind} "${ref.name}" has no key "${ref.key}"`)
}

function lines(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n")
}
