// The control plane's Kubernetes objects, printed for kubectl and as a Helm chart.
export { HEADER_TAPPER, TAPPER } from "./api_access.ts"
export { CNI_NAME } from "./cni.ts"
export { withAuthority } from "./authority.ts"
export { chartFiles } from "./chart.ts"
export { crds } from "./crds.ts"
export {
  findConfig,
  findInjected,
  findInstalled,
  findMesh,
  type Installed,
  type InstalledConfig,
  type InstalledMesh,
  resourceNameOf,
} from "./inventory.ts"
export {
  ANCHORS_KEY,
  ANCHORS_NAME,
  COMPONENT_LABEL,
  CONFIG_NAME,
  ISSUER_SECRET,
  installObjects,
  installYaml,
  PART_OF_LABEL,
  type Part,
  PLANE_LABEL,
  partTrees,
} from "./objects.ts"
export { CONDITION_RULES, READER_RULES, REVIEWER_RULES, ROUTE_CONDITION_RULES } from "./rights.ts"
export { type Filling, fill, type InstallObject } from "./template.ts"
export { parseSet, readValues, type Values, ValuesError } from "./values.ts"
