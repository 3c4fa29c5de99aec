// The face of deploy/local: a cluster on one Linux machine, and how to find and drive one that runs.
export { askPod } from "./ask_pod.ts"
export type { Change } from "./cluster.ts"
export {
  applyObjects,
  deleteObjects,
  endMesh,
  execCommand,
  logFile,
  MeshRefusal,
  meshReport,
  signalExec,
} from "./control_client.ts"
export { type GivenIdentity, readGivenIdentity } from "./given_identity.ts"
export { rotatedLog } from "./log_rotation.ts"
export { MACHINE_CHECKS, type MachineCheck, preflight } from "./machine_checks.ts"
export { type KubeObject, objectKey } from "./objects/kube_object.ts"
export { type LoadOptions, loadManifests, ManifestError, type Manifests } from "./objects/load.ts"
export { type FieldOfObject, type FileLine, placesIn } from "./objects/places.ts"
export { PreflightError } from "./preflight.ts"
export { culprit, isWell, type MeshReport, Patience, type PodReport } from "./report.ts"
export {
  type ForwardRequest,
  NameTakenError,
  type RunnerOptions,
  type RunningMesh,
  startMesh,
} from "./runner.ts"
export {
  findLocalMesh,
  isRunning,
  type LocalMesh,
  type MeshState,
  meshFolder,
  meshNames,
  meshRoot,
  nameComplaint,
  readState,
  removeRunnerLog,
  runnerLogFile,
  runningMeshes,
} from "./state.ts"
export { checkOwner, userNamespace } from "./user_namespace.ts"
export { checkInject } from "./workloads/pod_object.ts"
