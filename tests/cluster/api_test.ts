// The API server alone, as tests of informers, admission and RBAC use it.
import { afterAll, beforeAll, expect, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { parseAllDocuments } from "yaml"
import { inject, type KubeObject, type PodTemplate, type WorkloadKind } from "../../deploy/mod.ts"
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

/** Objects of a file, or of the files in a folder. */
function readObjects(path: string): KubeObject[] {
  const files = path.endsWith(".yaml")
    ? [path]
    : [...new Bun.Glob("*.yml").scanSync({ cwd: path, absolute: true })]
  return files.flatMap(file =>
    parseAllDocuments(readFileSync(file, "utf8")).flatMap(
      document => (document.toJS() as KubeObject | null) ?? [],
    ),
  )
}

/** Objects of manifests, their pod templates injected. */
function injected(paths: readonly string[]): { objects: KubeObject[]; count: number } {
  let count = 0
  const objects = paths.flatMap(readObjects).map((object): KubeObject => {
    const kind = object.kind as WorkloadKind
    const spec = object.spec as { template?: PodTemplate } | undefined
    if (spec?.template === undefined) return object
    const namespace = object.metadata.namespace ?? "default"
    const { template, injected } = inject(spec.template, {
      namespace,
      workload: { kind, name: object.metadata.name },
      byDefault: "enabled",
      conduitNamespace: "conduit",
      version: "0.1.0",
      nativeSidecar: true,
    })
    if (injected) count++
    return { ...object, spec: { ...spec, template } } as KubeObject
  })
  return { objects, count }
}

const ROOT = join(import.meta.dir, "../..")
/** The emojivoto application, as its authors publish it; kept beside the project. */
const EMOJIVOTO = join(ROOT, "../shared/manifests")

test.each([
  ["the demo shop", join(ROOT, "deploy/local/demo/shop.yaml"), 8],
  ...(existsSync(EMOJIVOTO) ? ([["emojivoto", EMOJIVOTO, 4]] as const) : []),
] as const)("%s, injected, is what a strict API server takes", async (_name, path, workloads) => {
  const { objects, count } = injected([path])
  expect(count).toBe(workloads)
  const namespaces = objects.filter(object => object.kind === "Namespace")
  const apply = async (items: readonly KubeObject[], ...flags: string[]): Promise<string> => {
    const args = ["apply", "--server-side", "--validate=strict", ...flags, "-f", "-"]
    return await cluster.kubectl(args, { input: JSON.stringify({ apiVersion: "v1", kind: "List", items }) })
  }
  await apply(namespaces)
  const said = await apply(objects, "--dry-run=server")
  expect(said.trim().split("\n").length).toBe(objects.length)
  // What the test relies on: an unknown field is refused.
  const [first] = objects.filter(object => object.kind === "Deployment")
  const wrong = { ...first, spec: { ...(first?.spec as object), replica: 2 } } as KubeObject
  await expect(apply([wrong], "--dry-run=server")).rejects.toThrow('unknown field "replica"')
})

test("the API server goes away and comes back with what it knew", async () => {
  await cluster.kubectl(["create", "namespace", "kept"])
  await cluster.part("kube-apiserver").stop()
  expect((await cluster.tryKubectl(["get", "namespace", "kept", "--request-timeout=1s"])).code).toBe(1)
  cluster.part("kube-apiserver").start()
  await cluster.apiReady()
  expect(await cluster.kubectl(["get", "namespace", "kept", "--output=name"])).toBe("namespace/kept\n")
})
