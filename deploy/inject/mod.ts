// The face of deploy/inject: the proxy into a pod template and out of it.
export { ALREADY_INJECTED, endsByItself } from "./fitness.ts"
export {
  annotate,
  INIT_IMAGE,
  type InjectOptions,
  type InjectResult,
  inject,
  PROXY_IMAGE,
  type WorkloadKind,
} from "./inject.ts"
export { type InjectPatch, injectPatch, jsonPatch, type PatchOperation } from "./json_patch.ts"
export {
  BEFORE_ANNOTATION,
  CONTROL_PLANE_LABEL,
  CREATED_BY_ANNOTATION,
  INIT_CONTAINER,
  INJECT_ANNOTATION,
  isInjected,
  NOT_INJECTED_ANNOTATION,
  PROXY_CONTAINER,
  PROXY_VERSION_ANNOTATION,
  VALIDATE_CONTAINER,
} from "./marks.ts"
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
  Volume,
} from "./pod_spec.ts"
export { checkSettings, complaintAbout, SETTING_NAMES, SETTING_PREFIX, SettingError } from "./settings.ts"
export { MAX_TRUST_ANCHORS_BYTES, TrustAnchorError, trustAnchors } from "./trust_anchors.ts"
export { type Meaning, type UninjectResult, uninject } from "./uninject.ts"
export { proxyRedirect } from "./validate_container.ts"
