// The face of deploy/inject: the proxy into a pod template.
export {
  INIT_CONTAINER,
  INIT_IMAGE,
  type InjectOptions,
  type InjectResult,
  inject,
  PROXY_CONTAINER,
  PROXY_IMAGE,
  type WorkloadKind,
} from "./inject.ts"
export type {
  Container,
  DownwardItem,
  EnvVar,
  EnvVarSource,
  KeyToPath,
  ObjectMeta,
  PodSpec,
  PodTemplate,
  Probe,
  Volume,
} from "./pod_spec.ts"
export { SettingError } from "./settings.ts"
