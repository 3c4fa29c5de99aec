// A Kubernetes API server, for who needs no more of it than requests, lists, watches and connections to pods.
export { CALL_TIMEOUT_MS, KubeApi, type KubeCall, KubeError, NO_CREDENTIALS, type WatchEvent } from "./api.ts"
export { type CredentialSource, SERVICE_ACCOUNT_FOLDER, serviceAccountCredentials } from "./credentials.ts"
export { kernelSocket } from "./kernel_socket.ts"
export { type KubeconfigPlaces, kubeconfigCredentials, NoKubeconfigError } from "./kubeconfig.ts"
export { connectToPod, type PodPort } from "./pod_connection.ts"
export { getFromPod, type PodRequestLimits } from "./pod_http.ts"
