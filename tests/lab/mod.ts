// The public face of tests/lab: networks of namespaces, and a mesh inside.
export type { Table, TableEndpoint, TableEntry } from "./fake_control_plane.ts"
export { Mesh, type MeshedPod, type MeshedPodOptions, metric } from "./mesh.ts"
export { Lab, LabProcess, Pod, type Result, type RunOptions } from "./netns.ts"
