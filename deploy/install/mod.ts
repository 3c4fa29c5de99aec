// The control plane's Kubernetes objects, printed for kubectl and as a Helm chart.
export { crds } from "./crds.ts"
