// The control plane's Kubernetes objects, printed for kubectl and as a Helm chart.
export { chartFiles } from "./chart.ts"
export { crds } from "./crds.ts"
export {
  ANCHORS_NAME,
  CONFIG_NAME,
  ISSUER_SECRET,
  installObjects,
  PART_OF_LABEL,
  type Part,
  PLANE_LABEL,
  partTrees,
} from "./objects.ts"
export { printTree } from "./print.ts"
export { READER_RULES } from "./rights.ts"
export { fill, type InstallObject } from "./template.ts"
export { parseSet, readValues, type Values, ValuesError } from "./values.ts"
