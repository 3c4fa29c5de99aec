// What `conduit check` finds: a cluster that is well, and one fault after the other, against an API server and a control
// plane on the loopback interface.
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { connectNodeAdapter, createConnectTransport } from "@connectrpc/connect-node"
import { type AuthorityPem, makeAuthority } from "../../deploy/identity/mod.ts"
import { installObjects, readValues } from "../../deploy/install/mod.ts"
import { KubeApi, kubeconfigCredentials } from "../../deploy/kubernetes/mod.ts"
import { ApiService, CertificateState, createApiClient, FaultKind } from "../../protos/mod.ts"
import { CLIENT_VERSION } from "../version.ts"
import type { Finding, Moment } from "./check.ts"
import { ClusterWorld } from "./cluster_world.ts"
import { FakeKubernetes, type StoredObject } from "./fake_kubernetes.ts"
import { checksFor, type Made, runChecks } from "./run.ts"
import { CHECKS } from "./table.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const DAY_MS = 24 * 3_600_000
const LABEL = { "conduit.io/control-plane-ns": "conduit" }

let kubernetes: FakeKubernetes
let api: Server
let apiAddr = ""
let folder = ""
let authority: AuthorityPem
let faults: { kind: FaultKind; where: string; message: string }[] = []
let certificate: CertificateState = CertificateState.VALID
let controlPlane = CLIENT_VERSION

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "conduit-check-"))
  authority = await authorityFrom(Date.now())
  const routes: Parameters<typeof connectNodeAdapter>[0]["routes"] = router => {
    router.service(ApiService, {
      version: () => ({ controlPlane, proxies: [] }),
      check: () => ({ nowMs: Date.now(), faults }),
      async *identities() {
        yield { namespace: "shop", pod: "web-1", state: certificate }
      },
    })
  }
  api = createServer(connectNodeAdapter({ routes }))
  await new Promise<void>(resolve => api.listen(0, "127.0.0.1", resolve))
  apiAddr = `127.0.0.1:${(api.address() as AddressInfo).port}`
})

beforeEach(async () => {
  await kubernetes?.stop()
  kubernetes = new FakeKubernetes()
  kubernetes.objects = installed(authority)
  faults = []
  certificate = CertificateState.VALID
  controlPlane = CLIENT_VERSION
  writeFileSync(kubeconfig(), kubernetes.kubeconfig)
})

afterAll(async () => {
  await kubernetes.stop()
  api.closeAllConnections()
  api.close()
  rmSync(folder, { recursive: true, force: true })
})

function kubeconfig(): string {
  return join(folder, "kubeconfig")
}

function authorityFrom(nowMs: number, lifetimeMs = 365 * DAY_MS): Promise<AuthorityPem> {
  const names = { trustDomain: "cluster.local", controlNamespace: "conduit" }
  return makeAuthority({ ...names, nowMs, anchorLifetimeMs: 3650 * DAY_MS, issuerLifetimeMs: lifetimeMs })
}

/** What an API server has once an installation was applied and its pods run. */
function installed({ anchor, issuer, issuerKey }: AuthorityPem, trusted = anchor): StoredObject[] {
  const identity = { issuer: { crtPEM: issuer, keyPEM: issuerKey } }
  const values = readValues([{ values: { identityTrustAnchorsPEM: trusted, identity }, from: "test" }])
  const objects = installObjects({ namespace: "conduit", version: CLIENT_VERSION, values }) as StoredObject[]
  return [...objects, web({ ready: true }), injectorSlice(true)].map(object => {
    if (object.kind === "MutatingWebhookConfiguration") return { ...object, webhooks: webhooksOf(trusted) }
    if (object.kind === "Deployment") return { ...object, status: { availableReplicas: 1 } }
    if (object.kind === "CustomResourceDefinition")
      return { ...object, status: { conditions: [{ type: "Established", status: "True" }] } }
    const secret = object.stringData as Record<string, string> | undefined
    if (secret === undefined) return object
    const data = Object.entries(secret).map(([name, text]) => [name, Buffer.from(text).toString("base64")])
    return { ...object, stringData: undefined, data: Object.fromEntries(data) }
  })
}

/** What the injector has written into its webhook. */
function webhooksOf(certificate: string): object[] {
  const service = { namespace: "conduit", name: "conduit-injector" }
  const caBundle = Buffer.from(certificate).toString("base64")
  return [{ name: "injector.conduit.io", clientConfig: { service, caBundle } }]
}

function injectorSlice(ready: boolean): StoredObject {
  const labels = { "kubernetes.io/service-name": "conduit-injector" }
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "injector", namespace: "conduit", labels },
    endpoints: [{ conditions: { ready } }],
  }
}

function web({
  ready,
  annotations = {},
}: {
  ready: boolean
  annotations?: Record<string, string>
}): StoredObject {
  const proxy = { "conduit.io/created-by": "conduit/1", "conduit.io/proxy-version": CLIENT_VERSION }
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web-1", namespace: "shop", labels: LABEL, annotations: { ...proxy, ...annotations } },
    status: { phase: "Running", conditions: [{ type: "Ready", status: ready ? "True" : "False" }] },
  }
}

function change(kind: string, name: string, with_: object): void {
  kubernetes.objects = kubernetes.objects.map(object =>
    object.kind === kind && object.metadata.name === name ? { ...object, ...with_ } : object,
  )
}

function without(kind: string, name: string): void {
  kubernetes.objects = kubernetes.objects.filter(
    object => object.kind !== kind || object.metadata.name !== name,
  )
}

function worldOf(namespace: string): ClusterWorld {
  const client = createApiClient(createConnectTransport({ baseUrl: `http://${apiAddr}`, httpVersion: "1.1" }))
  return new ClusterWorld({
    planeNamespace: "conduit",
    namespace,
    version: CLIENT_VERSION,
    ask: call => call(client),
    connect: async () => new KubeApi(await kubeconfigCredentials(kubeconfig(), "")),
  })
}

/** What a run finds, by check; null for one that was not made. */
async function findings(moment: Moment, namespace = ""): Promise<Map<string, Finding | null>> {
  const world = worldOf(namespace)
  const made = await runChecks(checksFor(CHECKS, world, moment), world, {
    waitMs: 0,
    waitForAll: false,
    onBegin: () => {},
    onMade: () => {},
    onWaiting: () => {},
    nowMs: () => 0,
    sleep: async () => {},
  })
  return new Map(made.map(({ check, finding }) => [check.id, finding]))
}

function notWell(found: ReadonlyMap<string, Finding | null>): Record<string, string> {
  const wrong = [...found].flatMap(([id, finding]) =>
    finding === null || finding.state === "success" ? [] : [[id, `${finding.state}: ${finding.why}`]],
  )
  return Object.fromEntries(wrong)
}

async function conduit(words: string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, MAIN, ...words], {
    // Local meshes of this machine are somebody else's; those of a user who is nobody are none.
    env: {
      PATH: process.env.PATH ?? "",
      HOME: folder,
      CONDUIT_API_ADDR: apiAddr,
      CONDUIT_DEV_USERNS: "65533",
      ...env,
    },
    stdout: "pipe",
    stderr: "pipe",
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("every check is explained in CHECKS.md under its name, and nothing else is", () => {
  const text = readFileSync(join(import.meta.dir, "../../CHECKS.md"), "utf8")
  const anchors = [...text.matchAll(/^### (.+)$/gm)].map(match => match[1] ?? "")
  expect(anchors.sort()).toEqual([...new Set(CHECKS.map(({ id }) => id))].sort())
})

test("what a check needs is made before it, wherever both are made", () => {
  for (const place of ["cluster", "local"] as const) {
    for (const moment of ["pre", "installed", "proxy"] as const) {
      const made = CHECKS.filter(
        check => check.at.includes(moment) && (check.place === place || check.place === "any"),
      )
      const ids = made.map(({ id }) => id)
      expect(new Set(ids).size).toBe(ids.length)
      for (const [index, { id, needs = [] }] of made.entries())
        expect({ id, moment, lacking: needs.filter(need => !ids.slice(0, index).includes(need)) }).toEqual({
          id,
          moment,
          lacking: [],
        })
    }
  }
})

test("nothing is wrong with a mesh that is well, at any moment", async () => {
  expect(notWell(await findings("installed"))).toEqual({})
  expect(notWell(await findings("proxy"))).toEqual({})
  kubernetes.objects = []
  expect(notWell(await findings("pre"))).toEqual({})
})

test("a cluster before an installation is told what stands in the way", async () => {
  kubernetes.denies = ["create clusterroles", "patch secrets"]
  kubernetes.version = { major: "1", minor: "24", gitVersion: "v1.24.9" }
  kubernetes.podRefusal = 'pods "conduit-check-x" is forbidden: violates PodSecurity "baseline:latest"'
  kubernetes.skewMs = -90_000
  const wrong = notWell(await findings("pre"))
  expect(Object.keys(wrong)).toEqual([
    "kubernetes-version",
    "kubernetes-clocks",
    "install-rights",
    "install-leftovers",
    "install-pod-security",
  ])
  expect(wrong["kubernetes-version"]).toBe("failure: Kubernetes v1.24.9 is older than 1.25")
  expect(wrong["kubernetes-clocks"]).toMatch(
    /^warning: this machine's clock is (89|90|91) s ahead of the API/,
  )
  expect(wrong["install-rights"]).toContain("create clusterroles.rbac.authorization.k8s.io")
  expect(wrong["install-leftovers"]).toContain('of a control plane in namespace "conduit"')
  expect(wrong["install-pod-security"]).toContain('violates PodSecurity "baseline:latest"')
})

test("definitions that are left alone, old clusters and other control planes are warned of", async () => {
  kubernetes.objects = kubernetes.objects.filter(({ kind }) => kind === "CustomResourceDefinition")
  kubernetes.version = { major: "1", minor: "27+", gitVersion: "v1.27.3" }
  const left = notWell(await findings("pre"))
  expect(left["install-leftovers"]).toStartWith("warning: left over from a control plane that is gone")
  expect(left["kubernetes-version"]).toContain("warning: Kubernetes v1.27.3 has no native sidecars")
  kubernetes.objects = installed(authority).map(object => ({
    ...object,
    metadata: { ...object.metadata, namespace: "other", labels: { "app.kubernetes.io/part-of": "conduit" } },
  }))
  expect(notWell(await findings("pre"))["install-leftovers"]).toContain('is in namespace "other"')
})

test("a Gateway API that is too old is warned of; one that fits, or none, is not", async () => {
  kubernetes.gatewayVersions = ["v1beta1"]
  expect(notWell(await findings("installed"))["gateway-api"]).toBe(
    "warning: the cluster serves gateway.networking.k8s.io in v1beta1, and routes are read in v1",
  )
  kubernetes.gatewayVersions = ["v1", "v1beta1"]
  expect((await findings("installed")).get("gateway-api")).toEqual({ state: "success", detail: "v1" })
})

test("a node whose clock is ahead is named", async () => {
  const lease = { apiVersion: "coordination.k8s.io/v1", kind: "Lease" }
  const at = (ms: number) => ({ renewTime: new Date(Date.now() + ms).toISOString() })
  const metadata = { namespace: "kube-node-lease" }
  kubernetes.objects.push(
    { ...lease, metadata: { ...metadata, name: "fast" }, spec: at(45_000) },
    { ...lease, metadata: { ...metadata, name: "well" }, spec: at(-9_000) },
  )
  expect(notWell(await findings("installed"))["kubernetes-clocks"]).toMatch(
    /^warning: the clock of node fast is 4[456] s ahead of the API server's$/,
  )
})

test("a namespace that enforces Pod Security and wants proxies is warned of", async () => {
  kubernetes.objects = [
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: {
        name: "shop",
        labels: { "pod-security.kubernetes.io/enforce": "restricted" },
        annotations: { "conduit.io/inject": "enabled" },
      },
    },
  ]
  expect(notWell(await findings("pre"))["install-pod-security"]).toBe(
    'warning: namespace shop enforces "restricted", which refuses the container conduit-init',
  )
})

test("an API server that refuses fails the check that asked, with its words", async () => {
  kubernetes.refuses = ["/version"]
  const all = await findings("installed")
  expect(notWell(all)).toEqual({ "kubernetes-api": "failure: it refuses: someone cannot ask for /version" })
  expect(all.get("control-plane-namespace")).toBeNull()
  kubernetes.refuses = ["/api/v1/namespaces/conduit/secrets"]
  const secrets = notWell(await findings("installed"))
  expect(Object.keys(secrets)).toEqual(["identity-anchors"])
  expect(secrets["identity-anchors"]).toStartWith("failure: it refuses: someone")
})

test("an API server that cannot be reached, and a broken kubeconfig, are one failure each and no stack", async () => {
  await kubernetes.stop()
  const unreachable = await conduit(["check", "--kubeconfig", kubeconfig()])
  expect(unreachable.code).toBe(1)
  expect(unreachable.out).toContain("[fail] the API server answers")
  expect(unreachable.out).toContain("it cannot be reached (")
  expect(unreachable.out).toContain("see CHECKS.md#kubernetes-api")
  writeFileSync(kubeconfig(), "clusters: [")
  const broken = await conduit(["check", "--pre", "--kubeconfig", kubeconfig()])
  expect(broken.code).toBe(1)
  expect(broken.out).toContain(`cannot read kubeconfig ${kubeconfig()}`)
  expect(`${unreachable.out}${broken.out}${unreachable.err}${broken.err}`).not.toMatch(/\n\s+at /)
  expect(`${unreachable.out}${broken.out}`).not.toContain("\u001b")
  expect(broken.err).toBe("")
  kubernetes = new FakeKubernetes()
})

test("without a control plane the first thing that is missing is told, and the rest is not looked at", async () => {
  kubernetes.objects = []
  const all = await findings("installed")
  expect(notWell(all)).toEqual({ "control-plane-namespace": 'failure: there is no namespace "conduit"' })
  expect(all.get("identity-anchors")).toBeNull()
  expect(all.get("mesh-policies")).toBeNull()
})

test("an issuer that has ended, is about to, or is another anchor's is told", async () => {
  kubernetes.objects = installed(await authorityFrom(Date.now() - 30 * DAY_MS, 29 * DAY_MS))
  const ended = notWell(await findings("installed"))
  expect(ended["identity-issuer"]).toMatch(/^failure: tls\.crt: "CN=identity[^"]*" expired on /)
  expect(Object.keys(ended)).toEqual(["identity-issuer"])
  kubernetes.objects = installed(await authorityFrom(Date.now(), 30 * DAY_MS))
  const ending = notWell(await findings("installed"))
  expect(ending["identity-expiry"]).toMatch(/^warning: CN=identity\S* ends in 29d, at /)
  expect(Object.keys(ending)).toEqual(["identity-expiry"])
  kubernetes.objects = installed(await authorityFrom(Date.now()), authority.anchor)
  expect(notWell(await findings("installed"))["identity-chain"]).toContain(
    "signed by none of the trust anchors",
  )
})

test("trust anchors that are missing or have ended are told", async () => {
  without("ConfigMap", "conduit-identity-trust-roots")
  expect(notWell(await findings("installed"))["identity-anchors"]).toContain(
    "failure: the control plane has no trust anchors",
  )
  const old = await makeAuthority({
    trustDomain: "cluster.local",
    controlNamespace: "conduit",
    nowMs: Date.now() - 2 * DAY_MS,
    anchorLifetimeMs: DAY_MS,
  })
  kubernetes.objects = installed(authority, `${authority.anchor}${old.anchor}`)
  expect(notWell(await findings("installed"))["identity-anchors"]).toMatch(
    /^warning: CN=root\S* has ended, at /,
  )
})

test("a pod that is not ready is named with its reason", async () => {
  change("Deployment", "conduit-api", { status: { availableReplicas: 0 } })
  kubernetes.objects.push({
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name: "conduit-api-5f-x",
      namespace: "conduit",
      labels: { "app.kubernetes.io/part-of": "conduit" },
    },
    status: {
      phase: "Pending",
      containerStatuses: [
        { name: "api", state: { waiting: { reason: "ImagePullBackOff", message: "no such image" } } },
      ],
    },
  })
  const all = await findings("installed")
  expect(notWell(all)).toEqual({
    "control-plane-pods":
      "failure: conduit-api: 0 of 1 ready (pod conduit/conduit-api-5f-x: container api: ImagePullBackOff: no such image)",
  })
  expect(all.get("api-answers")).toBeNull()
})

test("objects and definitions that are missing are named", async () => {
  const crd = "authorizationpolicies.policy.conduit.io"
  change("CustomResourceDefinition", crd, { status: {} })
  expect((await findings("installed")).get("control-plane-crds")).toMatchObject({ heals: true })
  without("CustomResourceDefinition", crd)
  without("Service", "conduit-policy")
  expect(notWell(await findings("installed"))).toEqual({
    "control-plane-crds": `failure: not served: ${crd}`,
    "control-plane-objects": "failure: missing:\nService conduit/conduit-policy",
  })
})

test("a control plane of another version is warned of", async () => {
  const config = kubernetes.objects.find(({ metadata }) => metadata.name === "conduit-config")
  change("ConfigMap", "conduit-config", { data: { ...(config?.data as object), version: "0.0.1" } })
  controlPlane = "0.0.1"
  const wrong = notWell(await findings("installed"))
  expect(Object.keys(wrong)).toEqual(["control-plane-version", "api-version"])
  expect(wrong["api-version"]).toStartWith("warning: the control plane is 0.0.1")
})

test("a webhook without a CA bundle or without endpoints is told", async () => {
  const name = "conduit-conduit-injector"
  without("EndpointSlice", "injector")
  change("MutatingWebhookConfiguration", name, { webhooks: webhooksOf("") })
  expect(notWell(await findings("installed"))["injector-webhook"]).toBe(
    "failure: injector.conduit.io: it has no CA bundle, so the API server trusts no answer of it\n" +
      "injector.conduit.io: Service conduit/conduit-injector has no endpoint that is ready",
  )
  change("MutatingWebhookConfiguration", name, { webhooks: webhooksOf(authority.anchor) })
  const objects = kubernetes.objects
  kubernetes.objects = [...objects, injectorSlice(false)]
  expect((await findings("installed")).get("injector-webhook")).toMatchObject({
    state: "failure",
    heals: true,
  })
  kubernetes.objects = [...objects, injectorSlice(true)]
  expect(notWell(await findings("installed"))).toEqual({})
})

test("what the control plane finds wrong stands under the check that it belongs to", async () => {
  faults = [
    { kind: FaultKind.OBJECT, where: "HTTPRoute shop/a", message: "spec.rules is no list" },
    {
      kind: FaultKind.POLICY,
      where: "AuthorizationPolicy shop/b",
      message: "spec.target.name: there is no x",
    },
    { kind: FaultKind.ROUTE, where: "HTTPRoute shop/r", message: "NoMatchingParent: There is no Service." },
    { kind: FaultKind.PLUGIN, where: "Plugin hours", message: "Unreachable: it is away" },
    { kind: FaultKind.OPAQUE_PORT, where: "Service shop/c", message: "port 1 is opaque" },
    { kind: FaultKind.NO_IDENTITY, where: "Service shop/d", message: "port 2: 1 of 2" },
  ]
  expect(notWell(await findings("installed"))).toEqual({
    "mesh-objects": "warning: HTTPRoute shop/a: spec.rules is no list",
    "mesh-policies": "warning: AuthorizationPolicy shop/b: spec.target.name: there is no x",
    "mesh-routes": "warning: HTTPRoute shop/r: NoMatchingParent: There is no Service.",
    "mesh-opaque-ports": "warning: Service shop/c: port 1 is opaque",
    "mesh-plugins": "warning: Plugin hours: Unreachable: it is away",
    "mesh-identities": "warning: Service shop/d: port 2: 1 of 2",
  })
})

test("the data plane is told of pods that are not ready, old, uncertified, left out or stuck", async () => {
  kubernetes.objects = kubernetes.objects.filter(({ metadata }) => metadata.name !== "web-1")
  const annotations = {
    "conduit.io/proxy-version": "0.0.1",
    "config.conduit.io/default-inbound-policy": "everybody",
  }
  const job = web({ ready: true })
  const owner = { ownerReferences: [{ kind: "Job", name: "import" }] }
  kubernetes.objects.push(
    web({ ready: false, annotations }),
    {
      ...job,
      metadata: { ...job.metadata, name: "import-1", ...owner },
      status: {
        phase: "Running",
        conditions: [{ type: "Ready", status: "True" }],
        containerStatuses: [
          { name: "conduit-proxy", ready: true, state: { running: {} } },
          { name: "import", state: { terminated: { exitCode: 0 } } },
        ],
      },
    },
    {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "shop", annotations: { "conduit.io/inject": "enabled" } },
    },
    {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "bare", namespace: "shop" },
      status: { phase: "Running" },
    },
  )
  certificate = CertificateState.EXPIRED
  const wrong = notWell(await findings("proxy", "shop"))
  expect(wrong).toEqual({
    "proxy-ready": "failure: pod shop/web-1: phase Running",
    "proxy-left-out": "warning: pods of namespaces with conduit.io/inject: enabled have no proxy:\nshop/bare",
    "proxy-jobs": "warning: these Jobs are done, and their proxies go on:\nshop/import-1",
    "proxy-default-policy": expect.stringContaining("failure: pod shop/web-1: "),
    "proxy-version": expect.stringContaining(`pod shop/web-1: 0.0.1`),
    "proxy-certificates": "failure: pod shop/web-1: its certificate has ended",
  })
  expect(notWell(await findings("proxy", "nowhere"))["proxy-ready"]).toContain(
    'no pod of namespace "nowhere" has a proxy',
  )
})

test("what heals is waited for until it is well; what does not heal is not", async () => {
  change("Deployment", "conduit-api", { status: { availableReplicas: 0 } })
  without("Service", "conduit-policy")
  const world = worldOf("")
  let clock = 0
  const waited: string[] = []
  const run = (waitForAll: boolean, heal: () => void): Promise<Made[]> =>
    runChecks(checksFor(CHECKS, world, "installed"), world, {
      waitMs: 5_000,
      waitForAll,
      onBegin: () => {},
      onMade: () => {},
      onWaiting: ({ id }, _finding, leftMs) => {
        waited.push(`${id} ${leftMs}`)
        if (waited.length === 3) heal()
      },
      nowMs: () => clock,
      sleep: async ms => {
        clock += ms
      },
    })
  const heal = () => change("Deployment", "conduit-api", { status: { availableReplicas: 1 } })
  const made = await run(false, heal)
  expect(waited).toEqual(["control-plane-pods 5000", "control-plane-pods 4000", "control-plane-pods 3000"])
  expect(made.filter(({ finding }) => finding?.state === "failure").map(({ check }) => check.id)).toEqual([
    "control-plane-objects",
  ])
  clock = 0
  waited.length = 0
  await run(true, () => {})
  expect(waited).toHaveLength(5)
  expect(waited[0]).toStartWith("control-plane-objects")
})

test("-o json is sections of checks with a link on failure, short shows only what is wrong, exit code 1", async () => {
  without("Service", "conduit-policy")
  controlPlane = "9.9.9"
  const flags = ["check", "--wait", "0s"]
  const env = { KUBECONFIG: kubeconfig() }
  const [json, short] = await Promise.all([
    conduit([...flags, "-o", "json"], env),
    conduit([...flags, "-o", "short"], env),
  ])
  const report = JSON.parse(json.out)
  expect({ code: json.code, err: json.err, success: report.success }).toEqual({
    code: 1,
    err: "",
    success: false,
  })
  expect(report.sections[0]).toEqual({
    name: "Kubernetes",
    checks: expect.arrayContaining([
      {
        id: "kubernetes-api",
        about: "the API server answers",
        result: "success",
        detail: "v1.34.1",
        why: null,
        todo: null,
        link: null,
      },
    ]),
  })
  const plane = report.sections.find(({ name }: { name: string }) => name === "Control plane")
  expect(plane.checks.find(({ id }: { id: string }) => id === "control-plane-objects")).toMatchObject({
    result: "failure",
    why: "missing:\nService conduit/conduit-policy",
    link: "CHECKS.md#control-plane-objects",
  })
  expect(short.out).toBe(
    [
      "Control plane",
      "  [fail] its objects are all there",
      "         missing:",
      "         Service conduit/conduit-policy",
      "         -> conduit upgrade | kubectl apply --server-side -f - puts them back",
      "         see CHECKS.md#control-plane-objects",
      "",
      "API of the control plane",
      "  [warn] it is of this version",
      `         the control plane is 9.9.9, and this conduit ${CLIENT_VERSION}`,
      "         -> conduit upgrade, or the conduit of that version: answers of another one may lack what this one shows",
      "         see CHECKS.md#api-version",
      "",
      "26 checks: 1 failed, 1 warns",
      "",
    ].join("\n"),
  )
})

test("warnings alone are success", async () => {
  controlPlane = "9.9.9"
  const { out, code } = await conduit(["check"], { KUBECONFIG: kubeconfig() })
  expect({ code, last: out.trimEnd().split("\n").at(-1) }).toEqual({ code: 0, last: "26 checks: 1 warns" })
})

test("a control plane that cannot be reached fails the check of it, and what it would tell is not made up", async () => {
  const { out, code } = await conduit(["check", "--wait", "0s", "--verbose"], {
    KUBECONFIG: kubeconfig(),
    CONDUIT_API_ADDR: "127.0.0.1:1",
  })
  expect(code).toBe(1)
  expect(out).toContain("[fail] it answers\n         cannot reach 127.0.0.1:1")
  expect(out).toContain("[skip] policies name what is there\n         it needs api-answers")
})

test("this machine is looked at where no kubeconfig leads anywhere", async () => {
  const { out } = await conduit(["check", "--pre", "-o", "json"])
  const [section] = JSON.parse(out).sections
  expect(section.name).toBe("This machine")
  expect(section.checks[0]).toMatchObject({ id: "machine-linux", result: "success" })
})

test("help shows the flags that mean something else here than elsewhere, once", async () => {
  const { out } = await conduit(["check", "--help"])
  expect(out.match(/-o, --output FORMAT .*/g)).toEqual([
    "-o, --output FORMAT        table, short, json or yaml",
  ])
  expect(out.match(/--namespace NAMESPACE/g)).toHaveLength(1)
  expect(out).toContain("are looked at (default: all)")
})

test("flags that contradict each other, and words that are none, are wrong usage", async () => {
  expect(await conduit(["check", "--pre", "--proxy"])).toMatchObject({ code: 2, out: "" })
  expect((await conduit(["check", "-o", "shrot"])).err).toContain('did you mean "short"?')
  expect((await conduit(["check", "--wait", "soon"])).err).toContain("write a duration")
})
