// The cluster's state out of the Kubernetes API.
export { type KubernetesOptions, KubernetesSource } from "./kubernetes_source.ts"
export { RESOURCES, type Resource } from "./resources.ts"
export { type Access, type AccessVerdict, Reviews, type TokenVerdict } from "./reviews.ts"
