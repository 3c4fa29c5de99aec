// The policy service over real gRPC: first answers, resumption, pushes, and what it refuses.
import { afterEach, expect, test } from "bun:test"
import { createGrpcTransport } from "@connectrpc/connect-node"
import { createPolicyClient, type policyV1 } from "../../protos/mod.ts"
import { type ClusterStore, readManifestFile, ClusterStore as Store } from "../cluster/mod.ts"
import { ClientPods } from "./client_pods.ts"
import { POLICY_DEFAULTS } from "./compile.ts"
import { servedPolicy } from "./served.ts"
import { servePolicy } from "./service.ts"

const cleanups: (() => void)[] = []

afterEach(() => {
  for (const clean of cleanups.splice(0).reverse()) clean()
})

function put(store: ClusterStore, text: string): void {
  const { objects, problems } = readManifestFile("m.yaml", text)
  expect(problems).toEqual([])
  store.apply([...objects.values()].map(object => ({ put: object })))
}

function pod(name: string, account = "default"): string {
  return `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  namespace: shop
  labels: { pod-template-hash: x }
  ownerReferences: [{ kind: ReplicaSet, name: ${name.slice(0, -2)}, controller: true }]
spec: { serviceAccountName: ${account}, containers: [{ name: app }] }
status: { podIP: 10.0.0.1 }
`
}

function policy(action: string): string {
  return `
apiVersion: policy.conduit.io/v1alpha1
kind: AuthorizationPolicy
metadata: { name: p, namespace: shop }
spec: { target: { kind: Deployment, name: api }, action: ${action}, rules: [{ from: [{ deployments: [web/web] }] }] }
`
}

/** A proxy as the service sees one: asks, and hears what comes. */
class PolicyPeer {
  readonly answers: policyV1.WatchResponse[] = []
  error: unknown = null
  private wake = (): void => {}

  constructor(port: number, requests: readonly object[]) {
    const aborted = new AbortController()
    cleanups.push(() => aborted.abort())
    const client = createPolicyClient(createGrpcTransport({ baseUrl: `http://127.0.0.1:${port}` }))
    const send = async function* () {
      yield* requests
      await new Promise(resolve => aborted.signal.addEventListener("abort", resolve))
    }
    void (async () => {
      try {
        for await (const answer of client.watch(send(), { signal: aborted.signal })) {
          this.answers.push(answer)
          this.wake()
        }
      } catch (error) {
        this.error = error
        this.wake()
      }
    })()
  }

  /** The answer of that number, from 0. */
  async answer(index: number): Promise<policyV1.WatchResponse> {
    while (this.answers.length <= index) {
      if (this.error !== null) throw this.error
      await new Promise<void>(resolve => {
        this.wake = resolve
      })
    }
    // Waited for.
    return this.answers[index] as policyV1.WatchResponse
  }
}

async function serve(store: ClusterStore) {
  const server = await servePolicy(store, { host: "127.0.0.1", port: 0 })
  cleanups.push(() => server.close())
  return server
}

function synced(...texts: string[]): ClusterStore {
  const store = new Store()
  for (const text of texts) put(store, text)
  store.markSynced()
  return store
}

const API = { namespace: "shop", pod: "api-x-1" }

test("a proxy gets its pod's policies, and what changes within 100 ms", async () => {
  const store = synced(pod("api-x-1"), policy("Allow"))
  const { port } = await serve(store)
  const proxy = new PolicyPeer(port, [API])
  const first = await proxy.answer(0)
  expect(first.policy?.policies).toMatchObject([{ namespace: "shop", name: "p", action: 1, allPorts: true }])
  const changedMs = performance.now()
  put(store, policy("Deny"))
  const second = await proxy.answer(1)
  expect(performance.now() - changedMs).toBeLessThan(100)
  expect(second.policy?.policies).toMatchObject([{ action: 2 }])
  expect(second.version).not.toBe(first.version)
})

test("what is said to be served is what is sent, by version and name", async () => {
  const store = synced(pod("api-x-1"), policy("Deny"))
  const { port } = await serve(store)
  const sent = await new PolicyPeer(port, [API]).answer(0)
  const record = store.pod("shop", "api-x-1")
  if (record === undefined) throw new Error("there is no pod")
  expect(servedPolicy(store, record, new ClientPods(store), POLICY_DEFAULTS)).toEqual({
    version: sent.version,
    defaultPolicy: "all-unauthenticated",
    policies: ["AuthorizationPolicy shop/p"],
  })
})

test("a proxy that holds the current version is told so without the state", async () => {
  const store = synced(pod("api-x-1"), policy("Allow"))
  const { port } = await serve(store)
  const { version } = await new PolicyPeer(port, [API]).answer(0)
  const resumed = await new PolicyPeer(port, [{ ...API, version }]).answer(0)
  expect(resumed.version).toBe(version)
  expect(resumed.policy).toBeUndefined()
  // As a control plane that was started anew would tell it.
  const other = await serve(synced(pod("api-x-1"), policy("Allow")))
  expect((await new PolicyPeer(other.port, [{ ...API, version }]).answer(0)).policy).toBeUndefined()
})

test("a pod that comes to run as a client's service account changes the state in another namespace", async () => {
  const client = (name: string) => pod(name, "web").replaceAll("shop", "web")
  const store = synced(pod("api-x-1"), policy("Allow"), client("web-x-1"))
  const { port } = await serve(store)
  const proxy = new PolicyPeer(port, [API])
  const source = (answer: policyV1.WatchResponse) =>
    answer.policy?.policies[0]?.rules[0]?.from[0]?.client.value
  expect(source(await proxy.answer(0))).toMatchObject({ exclusive: true, addresses: [] })
  put(store, client("other-x-1"))
  expect(source(await proxy.answer(1))).toMatchObject({
    exclusive: false,
    addresses: [Uint8Array.of(10, 0, 0, 1)],
  })
})

test("what makes no difference to a pod is not sent", async () => {
  const store = synced(pod("api-x-1"), pod("web-x-1"))
  const server = await serve(store)
  const proxy = new PolicyPeer(server.port, [API])
  await proxy.answer(0)
  put(store, policy("Deny").replace("name: api", "name: web"))
  put(store, pod("more-x-1"))
  put(store, policy("Deny"))
  expect((await proxy.answer(1)).policy?.policies).toHaveLength(1)
  expect(server.counts.updates).toBe(2)
})

test("nothing is answered before the pod is known, nor before the cluster is", async () => {
  const store = new Store()
  const server = await serve(store)
  const proxy = new PolicyPeer(server.port, [API])
  while (server.counts.open === 0) await Bun.sleep(1)
  store.markSynced()
  put(store, policy("Deny"))
  await Bun.sleep(30)
  expect(proxy.answers).toEqual([])
  put(store, pod("api-x-1"))
  expect((await proxy.answer(0)).policy?.policies).toHaveLength(1)
  store.apply([{ remove: "pod/shop/api-x-1" }])
  put(store, policy("Audit"))
  await Bun.sleep(30)
  expect(proxy.answers).toHaveLength(1)
})

test("pods that are alike share one state", async () => {
  const store = synced(pod("api-x-1"), pod("api-x-2"), policy("Allow"))
  const { port } = await serve(store)
  const answers = await Promise.all(
    ["api-x-1", "api-x-2"].map(name => new PolicyPeer(port, [{ ...API, pod: name }]).answer(0)),
  )
  expect(answers[0]?.version).toBe(answers[1]?.version as string)
})

test("a stream without a name, and one that asks twice, are refused with a sentence", async () => {
  const { port } = await serve(synced(pod("api-x-1")))
  await expect(new PolicyPeer(port, [{ namespace: "shop" }]).answer(0)).rejects.toThrow(
    "namespace and pod must both be given",
  )
  await expect(new PolicyPeer(port, [API, API]).answer(1)).rejects.toThrow("a stream takes one WatchRequest")
})
