// The face of deploy/inject: the proxy into a pod template.
export {
  INIT_CONTAINER,
  INIT_IMAGE,
  INJECT_ANNOTATION,
  type InjectOptions,
  type InjectResult,
  inject,
  PROXY_CONTAINER,
  PROXY_IMAGE,
  TOKEN_MOUNT_PATH,
  type WorkloadKind,
} from "./inject.ts"
export type {
  Container,
  DownwardItem,
  EnvVar,
  EnvVarSource,
  KeyToPath,
  ObjectMeta,
  OwnerReference,
  PodSpec,
  PodTemplate,
  Probe,
  ProjectedSource,
  SecurityContext,
  Volume,
} from "./pod_spec.ts"
export { SETTING_NAMES, SETTING_PREFIX, SettingError } from "./settings.ts"
