// The face of deploy/cni: the plugin that redirects pods from outside.
export { COPY_FOLDER, COPY_LINKER, COPY_MODULES } from "./iptables_copy.ts"
export { type KubeconfigFacts, kubeconfigText } from "./kubeconfig.ts"
export { enterNetwork, ownNetwork } from "./network_namespace.ts"
export { type ContainerStatus, type Pod, podRedirect } from "./pod_redirect.ts"
