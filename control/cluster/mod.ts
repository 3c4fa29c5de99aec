// The model of the cluster: records, the indexed store, and the sources that fill it.
export { bytesToIp, canonicalIp, ipFamily, ipToBytes } from "./ip_address.ts"
export { readManifestFile } from "./manifest_file.ts"
export { ManifestsSource } from "./manifests.ts"
export {
  type AddedEndpoint,
  type AmendmentRecord,
  type ChangedEndpoint,
  type OwnerRef,
  objectKey,
  type PluginRecord,
  type PodProbe,
  type PodRecord,
  type PolicyRecord,
  type Problem,
  type RouteRecord,
  type ServicePort,
  type ServiceRecord,
  WORKLOAD_KINDS,
  type WorkloadKind,
} from "./model.ts"
export { MultiMap } from "./multi_map.ts"
export { hasPort } from "./port_list.ts"
export { FieldError, readObject } from "./read_object.ts"
export { endpointsOf, podPort, type ServingAddress } from "./serving_addresses.ts"
export type { ClusterSource } from "./source.ts"
export { type ClusterChange, type ClusterDirt, ClusterStore } from "./store.ts"
