// A Kubernetes API server, for who needs no more of it than requests, lists and watches.
export { CALL_TIMEOUT_MS, KubeApi, type KubeCall, KubeError, type WatchEvent } from "./api.ts"
export {
  type CredentialSource,
  kubeconfigCredentials,
  SERVICE_ACCOUNT_FOLDER,
  serviceAccountCredentials,
} from "./credentials.ts"
