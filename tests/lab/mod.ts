// The public face of tests/lab: networks of namespaces, and a mesh inside.

export { type KeyPair, LabCa } from "../../proxy/identity/test_ca.ts"
export type { Table, TableEndpoint, TableEntry } from "./fake_control_plane.ts"
export { anchorOf, Mesh, type MeshedPod, type MeshedPodOptions, metric, ready } from "./mesh.ts"
export { Lab, LabProcess, Pod, type Result, type RunOptions } from "./netns.ts"
