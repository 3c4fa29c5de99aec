// The search for the control plane.
import { expect, test } from "bun:test"
import { findControlPlane, type LocalMesh } from "./connect.ts"
import type { GlobalArgs } from "./flags.ts"

const DEV: LocalMesh = { name: "dev", apiAddr: "127.0.0.1:4001" }
const SHOP: LocalMesh = { name: "shop", apiAddr: "127.0.0.1:4002" }
const LAB: LocalMesh = { name: "lab", apiAddr: "127.0.0.1:4003" }

async function found(
  meshes: readonly LocalMesh[],
  args: GlobalArgs = {},
  env: Record<string, string> = {},
): Promise<string> {
  return (await findControlPlane(args, { env, localMeshes: async () => meshes })).url
}

test("the only local mesh is taken, and of several the one called dev", async () => {
  expect(await found([SHOP])).toBe("http://127.0.0.1:4002")
  expect(await found([SHOP, DEV])).toBe("http://127.0.0.1:4001")
})

test("a mesh is chosen by flag before environment", async () => {
  expect(await found([SHOP, LAB], { mesh: "lab" }, { CONDUIT_DEV_NAME: "shop" })).toBe(
    "http://127.0.0.1:4003",
  )
  expect(await found([SHOP, LAB], {}, { CONDUIT_DEV_NAME: "shop" })).toBe("http://127.0.0.1:4002")
})

test("several meshes and no choice are told by name", async () => {
  await expect(found([SHOP, LAB])).rejects.toThrow(
    "several local meshes run (shop, lab): choose one with --mesh NAME",
  )
})

test("no mesh, and a mesh that does not run, say what to do", async () => {
  await expect(found([])).rejects.toThrow("conduit dev up -f FILE starts one")
  await expect(found([SHOP], { mesh: "lab" })).rejects.toThrow(
    'no local mesh "lab" runs on this machine (running: shop)',
  )
})

test("an address given wins over everything, with the API's port unless it names one", async () => {
  expect(await found([DEV], { "api-addr": "10.0.0.1" })).toBe("http://10.0.0.1:8085")
  expect(await found([DEV], { "api-addr": "[::1]:9000" })).toBe("http://[::1]:9000")
  expect(await found([DEV], {}, { CONDUIT_API_ADDR: "https://mesh.example" })).toBe("https://mesh.example")
  await expect(found([DEV], { "api-addr": "not an address" })).rejects.toThrow("write HOST:PORT")
})

test("a kubeconfig or a context is answered plainly", async () => {
  await expect(found([DEV], { context: "prod" })).rejects.toThrow("--context names a Kubernetes cluster")
  await expect(found([DEV], { kubeconfig: "x" })).rejects.toThrow("--kubeconfig names a Kubernetes cluster")
})
