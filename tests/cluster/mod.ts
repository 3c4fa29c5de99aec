// The face of tests/cluster: a real Kubernetes for tests.
export { toolchainLack } from "./binaries.ts"
export {
  Cluster,
  type ClusterOptions,
  type CommandResult,
  type KubectlOptions,
  type Part,
} from "./cluster.ts"
