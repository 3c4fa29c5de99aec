// The API server is away for a minute: traffic goes on, then and as it comes back, and `conduit` says what is wrong.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { type Counts, caller, eventually, INSTALL_FLAGS, Mesh, workload } from "./mesh.ts"
import type { Cluster } from "./mod.ts"

const NAMESPACE = "town"
const TARGET = "http://api/books"
/** web is meshed, plain has opted out. */
const CALLERS = ["web", "plain"]
const UNMESHED = { annotations: { "conduit.io/inject": "disabled" } }
/** How long the API server is away, in milliseconds: longer than a node may be silent (50 s). */
const AWAY_MS = 60_000

let mesh: Mesh
let cluster: Cluster

beforeAll(async () => {
  mesh = await Mesh.up()
  cluster = mesh.cluster
  await mesh.apply((await mesh.conduit(["install", ...INSTALL_FLAGS])).stdout)
  await mesh.controlPlaneRolledOut()
  await mesh.injectedNamespace(NAMESPACE)
  await mesh.applyObjects(
    [...workload("api", {}, { replicas: 2 }), ...caller("web", TARGET), ...caller("plain", TARGET, UNMESHED)],
    NAMESPACE,
  )
  await mesh.rolledOut(NAMESPACE, "api", ...CALLERS)
}, 30 * 60_000)

afterAll(async () => {
  await mesh?.[Symbol.asyncDispose]()
})

/** What a caller's calls came to, asked without an API server. */
async function countedOnNode(address: string): Promise<Counts> {
  const words = ["curl", "--silent", "--fail", "--max-time", "10", `http://${address}:8080/`]
  return JSON.parse(await cluster.onNode(words))
}

test("while it is away no request fails, and conduit says in a sentence what is wrong", async () => {
  const addresses: Record<string, string> = {}
  for (const name of CALLERS) {
    const path = "--output=jsonpath={.items[0].status.podIP}"
    addresses[name] = await cluster.kubectl(["get", "pods", "-n", NAMESPACE, "-l", `app=${name}`, path])
    await mesh.reset(name, NAMESPACE)
  }
  await cluster.part("kube-apiserver").stop()
  const away = performance.now()
  for (const words of ["stat deploy", "endpoints api", "upgrade", "uninstall"]) {
    const { stdout, stderr, code } = await mesh.tryConduit(words.split(" "))
    expect({ words, code, stdout }).toEqual({ words, code: 1, stdout: "" })
    expect(stderr.trim().split("\n")).toHaveLength(1)
    expect(stderr).toMatch(/^conduit: .* cannot be reached \(/)
  }
  // This is what the test is of, so there is nothing else to wait for.
  await Bun.sleep(AWAY_MS - (performance.now() - away))
  const seen = []
  for (const name of CALLERS) seen.push({ name, ...(await countedOnNode(addresses[name] ?? "")) })
  await mesh.expectNoFailure("the API server was away", seen, NAMESPACE)
}, 120_000)

test("as it comes back no request fails, though Kubernetes says of every pod that it is not ready, and news arrive again", async () => {
  cluster.part("kube-apiserver").start()
  await cluster.apiReady()
  // Whoever is not meshed is at the mercy of kube-proxy, which refuses where it is told that no pod is ready.
  const seen = await mesh.underLoad(
    ["web"],
    async () => {
      await cluster.kubectl(["rollout", "restart", "deployment/api", "-n", NAMESPACE])
      // Each of Kubernetes' own parts asks again for what it missed in its own time, half a minute after it failed last.
      const status = ["rollout", "status", "deployment/api", "-n", NAMESPACE, "--timeout=60s"]
      await eventually("api is rolled", async () => (await cluster.tryKubectl(status)).code === 0, 240_000)
      let said = ""
      // Pods are ready again once their kubelet has been heard, which is asked for in its own time.
      const answered = async (): Promise<boolean> => {
        const { code, stderr } = await mesh.tryConduit(["stat", "deploy", "-n", NAMESPACE])
        if (code !== 0 && stderr !== said) console.log(`not yet: ${stderr.trim()}`)
        said = stderr
        return code === 0
      }
      await eventually("conduit is answered again", answered, 150_000)
    },
    NAMESPACE,
  )
  await mesh.expectNoFailure("it came back, and api was rolled", seen, NAMESPACE)
}, 420_000)
