// The face of tests/cluster: a real Kubernetes for tests.
export {
  Cluster,
  type ClusterOptions,
  type CommandResult,
  type KubectlOptions,
  type Part,
} from "./cluster.ts"
