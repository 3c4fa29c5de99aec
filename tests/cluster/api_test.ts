// The API server alone, as tests of informers, admission and RBAC use it.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { Cluster } from "./mod.ts"

/** What a webhook reads of https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/ */
interface AdmissionReview {
  readonly apiVersion: string
  readonly kind: string
  readonly request: { readonly uid: string; readonly name: string }
}

let cluster: Cluster

beforeAll(async () => {
  cluster = await Cluster.up({ parts: "api" })
}, 30 * 60_000)

afterAll(async () => {
  await cluster[Symbol.asyncDispose]()
})

test("it is the release that was asked for, on both ends", async () => {
  const { clientVersion, serverVersion } = JSON.parse(await cluster.kubectl(["version", "--output=json"]))
  expect(clientVersion.gitVersion).toMatch(/^v1\.\d+\.\d+$/)
  expect(serverVersion.gitVersion).toBe(clientVersion.gitVersion)
})

test("controllers work: a Deployment gets its ReplicaSet and pods, which nobody runs", async () => {
  await cluster.kubectl(["create", "deployment", "web", "--image=web:1", "--replicas=2"])
  await cluster.kubectl(["wait", "deployment/web", "--for=jsonpath={.status.replicas}=2", "--timeout=30s"])
  const pods = await cluster.kubectl(["get", "pods", "--output=jsonpath={.items[*].status.phase}"])
  expect(pods).toBe("Pending Pending")
})

test("a user without rights is refused by name", async () => {
  const kubeconfig = await cluster.kubeconfigOf({ user: "eve", groups: ["visitors"] })
  const { code, stderr } = await cluster.tryKubectl(["get", "pods"], { kubeconfig })
  expect(code).toBe(1)
  expect(stderr).toContain('User "eve" cannot list resource "pods"')
})

test("the cluster calls a webhook of the test, which runs outside", async () => {
  const seen: string[] = []
  const { certificate, key, authority } = await cluster.issue({ user: "webhook", names: "IP:10.99.0.1" })
  using server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: certificate, key },
    async fetch(request) {
      const { apiVersion, kind, request: asked } = (await request.json()) as AdmissionReview
      seen.push(asked.name)
      const status = { message: "not in this house" }
      return Response.json({ apiVersion, kind, response: { uid: asked.uid, allowed: false, status } })
    },
  })
  const url = `https://${await cluster.invite(server.port ?? 0)}/`
  await cluster.kubectl(["apply", "-f", "-"], {
    input: JSON.stringify({
      apiVersion: "admissionregistration.k8s.io/v1",
      kind: "ValidatingWebhookConfiguration",
      metadata: { name: "house" },
      webhooks: [
        {
          name: "house.conduit.test",
          clientConfig: { url, caBundle: Buffer.from(authority).toString("base64") },
          rules: [
            { apiGroups: [""], apiVersions: ["v1"], operations: ["CREATE"], resources: ["configmaps"] },
          ],
          admissionReviewVersions: ["v1"],
          sideEffects: "None",
        },
      ],
    }),
  })
  // A configuration is in force a moment after it was stored.
  let refusal = ""
  for (let n = 0; n < 50 && !refusal.includes("house"); n++) {
    refusal = (await cluster.tryKubectl(["create", "configmap", `guest-${n}`])).stderr
  }
  expect(refusal).toContain("not in this house")
  expect(seen.length).toBe(1)
})

test("the API server goes away and comes back with what it knew", async () => {
  await cluster.kubectl(["create", "namespace", "kept"])
  await cluster.part("kube-apiserver").stop()
  expect((await cluster.tryKubectl(["get", "namespace", "kept"])).code).toBe(1)
  cluster.part("kube-apiserver").start()
  await cluster.apiReady()
  expect(await cluster.kubectl(["get", "namespace", "kept", "--output=name"])).toBe("namespace/kept\n")
})
