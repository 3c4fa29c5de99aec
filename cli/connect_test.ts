// The search for the control plane.
import { expect, test } from "bun:test"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import manifest from "../package.json" with { type: "json" }
import { ApiService } from "../protos/mod.ts"
import { ApiConnection, findControlPlane, type LocalMesh } from "./connect.ts"
import { UsageError } from "./failure.ts"
import type { GlobalArgs } from "./flags.ts"
import type { Kubernetes } from "./kubernetes.ts"

const DEV: LocalMesh = { name: "dev", apiAddr: "127.0.0.1:4001" }
const SHOP: LocalMesh = { name: "shop", apiAddr: "127.0.0.1:4002" }
const LAB: LocalMesh = { name: "lab", apiAddr: "127.0.0.1:4003" }

async function found(
  meshes: readonly LocalMesh[],
  args: GlobalArgs = {},
  env: Record<string, string> = {},
  cluster: Kubernetes | null = null,
): Promise<string> {
  const around = { env, localMeshes: async () => meshes, kubernetes: async () => cluster }
  const plane = await findControlPlane(args, around)
  return plane.kubernetes === undefined ? plane.url : `${plane.what}, ${plane.controlNamespace}`
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

/** Nothing of it is asked: finding makes no call. */
const PROD = { what: 'context "prod" of config', namespace: "shop" } as Kubernetes

test("--context and --kubeconfig lead to a cluster, whatever the environment names and whichever local mesh runs", async () => {
  const env = { CONDUIT_API_ADDR: "127.0.0.1:1", CONDUIT_DEV_NAME: "dev", CONDUIT_NAMESPACE: "mesh" }
  const cluster = 'the cluster of context "prod" of config, mesh'
  expect(await found([DEV], { context: "prod" }, env, PROD)).toBe(cluster)
  expect(await found([DEV], { kubeconfig: "x", context: "prod" }, env, PROD)).toBe(cluster)
})

test("a cluster is taken by itself only where no local mesh runs, and the environment names no other", async () => {
  expect(await found([], {}, {}, PROD)).toBe('the cluster of context "prod" of config, conduit')
  expect(await found([DEV], {}, {}, PROD)).toBe("http://127.0.0.1:4001")
  expect(await found([], {}, { CONDUIT_API_ADDR: "127.0.0.1:1" }, PROD)).toBe("http://127.0.0.1:1")
})

test("two flags that each name a control plane are wrong usage", async () => {
  await expect(found([DEV], { mesh: "dev", context: "prod" }, {}, PROD)).rejects.toThrow(
    "--mesh and --context each name a control plane",
  )
  await expect(found([DEV], { "api-addr": "x:1", kubeconfig: "y" }, {}, PROD)).rejects.toBeInstanceOf(
    UsageError,
  )
})

test("a namespace is that of the flags, else the context's", () => {
  const plane = { kubernetes: PROD, controlNamespace: "conduit", what: "" }
  const meant = (args: GlobalArgs): string => new ApiConnection(args, plane, async () => plane).namespace
  expect([meant({}), meant({ namespace: "web" }), meant({ "all-namespaces": true })]).toEqual([
    "shop",
    "web",
    "",
  ])
})

/** What a request is answered with by an API of another release, which knows its version and no more. */
async function toldBy(controlPlane: string): Promise<string> {
  const version = () => ({ controlPlane })
  const routes = connectNodeAdapter({ routes: router => router.service(ApiService, { version }) })
  const server = createServer((request, response) => {
    // One of a release before Version had its name does not serve its path at all.
    if (controlPlane !== "") return routes(request, response)
    response.statusCode = 404
    response.end()
  })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  const plane = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    what: 'the local mesh "dev"',
  }
  await using connection = new ApiConnection({}, plane, async () => plane)
  try {
    return await connection
      .call(api => api.check({}))
      .then(
        () => "answered",
        (error: Error) => error.message,
      )
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test("what an API does not know says which of the two is older, and what to do", async () => {
  const own = manifest.version
  const begin = 'the local mesh "dev" does not know this request'
  expect(await toldBy("0.0.9")).toBe(
    `${begin}: its control plane is older (0.0.9) than this conduit (${own}); conduit upgrade prints what brings it up to date, and npx conduit@0.0.9 is of its release`,
  )
  expect(await toldBy("99.10.0")).toBe(
    `${begin}: this conduit is older (${own}) than its control plane (99.10.0), which gave it up; npx conduit@99.10.0 is of the same release`,
  )
  expect(await toldBy(own)).toContain(`though its control plane is of the same release (${own})`)
  expect(await toldBy("")).toStartWith(`${begin}: its control plane is older than this conduit (${own})`)
})
