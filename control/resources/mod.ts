// The resources that a call of the API means, and what of the cluster has called.
export { accountOf, ClientNames, calledSide, callerOf, spiffeIdOf, workloadOf } from "./callers.ts"
export {
  calledBy,
  compareResources,
  isSelected,
  type PodName,
  type ResourceName,
  resourceKey,
  resourcesOfName,
  resourcesOfPod,
  type Selection,
  select,
  unknownNamespace,
  unknownObject,
} from "./resources.ts"
