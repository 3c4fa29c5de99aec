// `conduit` against a cluster, as a person meets it: a process, a kubeconfig, an API server over real HTTPS and WebSockets
// (deploy/kubernetes/lab.ts), and the API of a control plane behind it, in TLS with a certificate of the mesh.
import { afterEach, beforeAll, beforeEach, expect, test } from "bun:test"
import { createSecureServer, createServer, type Http2SecureServer, type Http2Server } from "node:http2"
import type { AddressInfo } from "node:net"
import { fileURLToPath } from "node:url"
import { connectNodeAdapter } from "@connectrpc/connect-node"
import { makeAuthority } from "../../deploy/identity/mod.ts"
import { FakeApiServer, issue, type KeyPair } from "../../deploy/kubernetes/lab.ts"
import { ApiService, CertificateState, type StatRequest } from "../../protos/mod.ts"

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url))
const CONDUIT = "/api/v1/namespaces/conduit"
const ROW = { resource: { namespace: "shop", kind: "deployment", name: "web" }, meshedPods: 2, totalPods: 2 }

let cluster: FakeApiServer
let mesh: { readonly anchor: string; readonly issuer: KeyPair }
const apis: (Http2Server | Http2SecureServer)[] = []
let asked: StatRequest[] = []
/** What answers wait for. */
let stalled: Promise<void> | null = null

beforeAll(async () => {
  const names = { trustDomain: "mesh.test", controlNamespace: "conduit" }
  const { anchor, issuer, issuerKey } = await makeAuthority({ ...names, nowMs: Date.now() })
  mesh = { anchor, issuer: { cert: issuer, key: issuerKey } }
})
beforeEach(async () => {
  cluster = await FakeApiServer.start()
  asked = []
})
afterEach(async () => {
  await cluster[Symbol.asyncDispose]()
  for (const api of apis.splice(0)) api.close()
})

const handler = connectNodeAdapter({
  routes: router => {
    router.service(ApiService, {
      version: () => ({ controlPlane: "9.9.9", proxies: [{ version: "9.9.8", pods: 1 }] }),
      stat: async request => {
        asked.push(request)
        await stalled
        return { rows: [ROW] }
      },
      async *identities() {
        const end = Date.now() + 23.5 * 3_600_000
        yield {
          ...ROW.resource,
          pod: "web-1",
          state: CertificateState.VALID,
          notAfterMs: end,
          identity: "web",
        }
        await Bun.sleep(20)
        yield {
          ...ROW.resource,
          pod: "web-2",
          state: CertificateState.VALID,
          notAfterMs: end,
          identity: "web",
        }
      },
    })
  },
})

/** The API of a pod. @param certificate  null serves plaintext, as a control plane without identities does */
async function api(certificate: KeyPair | null): Promise<number> {
  const server =
    certificate === null ? createServer(handler) : createSecureServer({ ...certificate }, handler)
  apis.push(server)
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  return (server.address() as AddressInfo).port
}

async function apiCertificate(account = "conduit-api", by = mesh.issuer): Promise<KeyPair> {
  const name = `${account}.conduit.serviceaccount.identity.conduit.mesh.test`
  const { cert, key } = await issue(account, { by, names: [{ type: "dns", value: name }] })
  return { cert: cert + by.cert, key }
}

function pod(name: string, rest: object = {}): object {
  return {
    metadata: { name, namespace: "conduit" },
    spec: { containers: [{ ports: [{ name: "api", containerPort: 8085 }] }] },
    status: { phase: "Running", conditions: [{ type: "Ready", status: "True" }], ...rest },
  }
}

/** A control plane is installed, with these pods of its API. */
function installed(...items: object[]): void {
  cluster.answers.set(`${CONDUIT}/pods`, { items })
  cluster.answers.set("/apis/apps/v1/namespaces/conduit/deployments/conduit-api", {})
  const values = JSON.stringify({ identityTrustDomain: "mesh.test" })
  cluster.answers.set(`${CONDUIT}/configmaps/conduit-config`, { data: { "values.json": values } })
  cluster.answers.set(`${CONDUIT}/configmaps/conduit-identity-trust-roots`, {
    data: { "ca-bundle.crt": mesh.anchor },
  })
}

/** The same with a pod that serves. */
async function running(certificate?: KeyPair | null): Promise<void> {
  installed(pod("conduit-api-1"))
  const own = certificate === undefined ? await apiCertificate() : certificate
  cluster.pods.set("conduit/conduit-api-1:8085", await api(own))
}

interface Ended {
  readonly out: string
  readonly err: string
  readonly code: number
}

function started(words: string, kubeconfig = cluster.kubeconfig()) {
  const { PATH = "" } = process.env
  return Bun.spawn([process.execPath, MAIN, ...words.split(" ")], {
    env: { PATH, HOME: cluster.folder, CONDUIT_DEV_USERNS: "65533", KUBECONFIG: kubeconfig },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: 25_000,
  })
}

async function conduit(words: string, kubeconfig?: string): Promise<Ended> {
  const child = started(words, kubeconfig)
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test("a kubeconfig leads to the API in the cluster, whose identity is checked, and to the context's namespace", async () => {
  await running()
  const { out, err, code } = await conduit("stat deploy -o json")
  expect({ err, code }).toEqual({ err: "", code: 0 })
  expect(JSON.parse(out)[0].name).toBe("web")
  expect(asked[0]?.target?.namespace).toBe("shop")
  expect(cluster.asked.filter(line => line.includes("portforward"))).toEqual([
    "GET /api/v1/namespaces/conduit/pods/conduit-api-1/portforward?ports=8085",
  ])
  expect(cluster.open).toBe(0)
})

test("answers that are streams, and those of a control plane without identities, come the same way", async () => {
  await running()
  expect((await conduit("identity -A")).out.split("\n").length).toBe(4)
  cluster.answers.delete(`${CONDUIT}/configmaps/conduit-identity-trust-roots`)
  cluster.pods.set("conduit/conduit-api-1:8085", await api(null))
  const { out } = await conduit("version")
  expect(out).toContain('control plane  9.9.9 (the cluster of context "prod" of')
})

test("a kubeconfig's token goes to the API server, and never on to the pod", async () => {
  await cluster[Symbol.asyncDispose]()
  cluster = await FakeApiServer.start("token")
  cluster.tokens.add("secret")
  let seen = 0
  installed(pod("conduit-api-1"))
  const own = await apiCertificate()
  const server = createSecureServer(own, (request, response) => {
    seen++
    expect(request.headers.authorization).toBeUndefined()
    handler(request, response)
  })
  apis.push(server)
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", resolve))
  cluster.pods.set("conduit/conduit-api-1:8085", (server.address() as AddressInfo).port)
  expect((await conduit("stat deploy", cluster.kubeconfig({ token: "secret" }))).code).toBe(0)
  expect(seen).toBe(1)
  const { err, code } = await conduit("stat deploy", cluster.kubeconfig({ token: "old" }))
  expect(code).toBe(1)
  expect(err).toMatch(
    /the Kubernetes API at https:\S+ does not accept context "prod" of \S+ \(401 Unauthorized\): log in again/,
  )
})

test("whoever else answers in the API's place is not asked", async () => {
  await running(await apiCertificate("web"))
  const other = await conduit("stat deploy")
  expect(other.code).toBe(1)
  expect(other.err).toContain("pod conduit/conduit-api-1 did not prove to be conduit-api of this mesh")
  const own = { trustDomain: "mesh.test", controlNamespace: "conduit", nowMs: Date.now() }
  const stranger = await makeAuthority(own)
  await running(await apiCertificate("conduit-api", { cert: stranger.issuer, key: stranger.issuerKey }))
  expect((await conduit("stat deploy")).err).toContain("did not prove to be conduit-api of this mesh")
  await running(null)
  expect((await conduit("stat deploy")).err).toContain("did not prove to be conduit-api of this mesh")
  expect(asked).toEqual([])
}, 60_000)

test("of several pods one that is ready is taken, and one that cannot be reached hides no other", async () => {
  await running()
  const port = await api(await apiCertificate())
  installed(
    pod("conduit-api-0", { phase: "Pending", conditions: [] }),
    pod("conduit-api-2"),
    pod("conduit-api-3"),
  )
  cluster.answers.set(`${CONDUIT}/pods/conduit-api-2/portforward`, {
    refused: 500,
    message: "dial tcp: i/o timeout",
  })
  cluster.pods.set("conduit/conduit-api-3:8085", port)
  expect((await conduit("stat deploy")).code).toBe(0)
})

test.each(["between two questions", "while it is asked"])(
  "--watch goes on with another pod when the one that it asks goes away %s, and says so",
  async when => {
    await running()
    const child = started("stat deploy -w")
    const until = async (seen: () => boolean): Promise<void> => {
      while (!seen()) await Bun.sleep(10)
    }
    try {
      await until(() => asked.length >= 2)
      expect(cluster.asked.filter(line => line.includes("portforward")).length).toBe(1)
      const port = await api(await apiCertificate())
      installed(pod("conduit-api-2"))
      cluster.pods.delete("conduit/conduit-api-1:8085")
      cluster.pods.set("conduit/conduit-api-2:8085", port)
      const before = asked.length
      const { promise, resolve } = Promise.withResolvers<void>()
      if (when === "while it is asked") {
        stalled = promise
        await until(() => asked.length > before)
      }
      cluster.cut()
      stalled = null
      resolve()
      await until(() => asked.length >= before + 3)
    } finally {
      child.kill("SIGINT")
    }
    expect(await child.exited).toBe(130)
    expect(await child.stderr.text()).toMatch(
      /the connection to pod conduit\/conduit-api-1 was lost \([^)]+\); (trying again|looking for another)/,
    )
    expect(cluster.asked.at(-1)).toContain("/pods/conduit-api-2/portforward")
  },
  30_000,
)

test.each([
  [
    "nothing is installed",
    {},
    'conduit is not installed in namespace "conduit" of context "prod" of FILE: conduit install | kubectl apply -f -',
  ],
  [
    "its pods are not there yet",
    { deployment: true },
    'no pod of conduit-api in namespace "conduit" is ready (it has none)',
  ],
  [
    "its pod cannot start",
    {
      pods: [
        pod("a", {
          phase: "Pending",
          conditions: [],
          containerStatuses: [{ state: { waiting: { reason: "ImagePullBackOff" } } }],
        }),
      ],
    },
    "is ready (a: ImagePullBackOff): kubectl describe pods -n conduit",
  ],
  [
    "its pod ends",
    { pods: [{ ...pod("a"), metadata: { name: "a", deletionTimestamp: "now" } }] },
    "is ready (a: terminating)",
  ],
  [
    "pods may not be listed",
    { refused: [`${CONDUIT}/pods`, 'pods is forbidden: User "jo" cannot list resource "pods"'] },
    'does not let you: pods is forbidden: User "jo" cannot list resource "pods"',
  ],
  [
    "pods may not be reached",
    {
      ready: true,
      refused: [
        `${CONDUIT}/pods/conduit-api-1/portforward`,
        'User "jo" cannot create resource "pods/portforward"',
      ],
    },
    'does not let you: User "jo" cannot create resource "pods/portforward"',
  ],
  [
    "anchors may not be read",
    {
      ready: true,
      refused: [`${CONDUIT}/configmaps/conduit-identity-trust-roots`, 'cannot get resource "configmaps"'],
    },
    'does not let you: cannot get resource "configmaps"',
  ],
  [
    "nothing listens in the pod",
    { ready: true },
    "nothing listens on port 8085 of pod conduit/conduit-api-1",
  ],
])("when %s it is said, and what to do", async (_, state: Record<string, unknown>, sentence) => {
  if (state.ready === true) installed(pod("conduit-api-1"))
  else cluster.answers.set(`${CONDUIT}/pods`, { items: state.pods ?? [] })
  if (state.deployment === true)
    cluster.answers.set("/apis/apps/v1/namespaces/conduit/deployments/conduit-api", {})
  const [path, message] = (state.refused ?? []) as string[]
  if (path !== undefined) cluster.answers.set(path, { refused: 403, message })
  const kubeconfig = cluster.kubeconfig()
  const { out, err, code } = await conduit("stat deploy", kubeconfig)
  expect({ out, code, lines: err.trim().split("\n").length }).toEqual({ out: "", code: 1, lines: 1 })
  expect(err.replaceAll(kubeconfig, "FILE")).toContain(sentence)
})

test("an API server that is away is told, and that traffic goes on", async () => {
  const kubeconfig = cluster.kubeconfig(undefined, "https://127.0.0.1:1")
  const { err, code } = await conduit("stat deploy", kubeconfig)
  expect(code).toBe(1)
  expect(err).toBe(
    `conduit: cannot reach the API of the control plane in namespace "conduit": the Kubernetes API at https://127.0.0.1:1 of context "prod" of ${kubeconfig} cannot be reached (nothing listens there); traffic of the mesh goes on without it\n`,
  )
})

test("an API server whose certificate has expired or is from elsewhere, and a client certificate that has expired, are told apart", async () => {
  const wrong = cluster.kubeconfig().replace(/[^/]+$/, "wrong.yaml")
  const text = await Bun.file(cluster.kubeconfig()).text()
  const { cert } = await issue("x", { by: cluster.authority })
  const own = Buffer.from(cluster.authority.cert).toString("base64")
  await Bun.write(wrong, text.replace(own, Buffer.from(cert).toString("base64")))
  expect((await conduit("stat deploy", wrong)).err).toContain(
    "its certificate is not from the authority that the kubeconfig trusts",
  )
  await using old = await FakeApiServer.start("certificate", Date.now() - 1_000)
  expect((await conduit("stat deploy", old.kubeconfig())).err).toContain("(its certificate has expired)")
  const ended = await issue("jo", { by: cluster.authority, notAfterMs: Date.now() - 1_000 })
  const { err, code } = await conduit("stat deploy", cluster.kubeconfig(cluster.certificateUser(ended)))
  expect(code).toBe(1)
  expect(err).toMatch(
    /: the client certificate of context "prod" of \S+ has expired \(\S+\): get a new one, or log in again\n$/,
  )
})

test("-c names the control plane's namespace", async () => {
  cluster.answers.set("/api/v1/namespaces/mesh/pods", { items: null })
  expect((await conduit("stat deploy -c mesh")).err).toContain('conduit is not installed in namespace "mesh"')
})

test("a context that is not there, and a kubeconfig that is broken, are told", async () => {
  const kubeconfig = cluster.kubeconfig()
  expect(await conduit("stat deploy --context prd", kubeconfig)).toEqual({
    out: "",
    err: `conduit: kubeconfig ${kubeconfig} has no context "prd" (did you mean "prod"?); it has prod\n`,
    code: 1,
  })
  await Bun.write(kubeconfig, "clusters: [\n")
  expect((await conduit("stat deploy", kubeconfig)).err).toStartWith(
    `conduit: cannot read kubeconfig ${kubeconfig}:2:1: `,
  )
  const none = await conduit("stat deploy", "/none/config")
  expect(none.err).toContain("no control plane found: no local mesh runs on this machine")
})

test("metrics of proxies need the API server only, and tell which could not be asked", async () => {
  const proxy = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("up 1\n") })
  try {
    const labels = { "conduit.io/deployment": "web", app: "web" }
    const one = (name: string, more: object = labels): object => ({
      metadata: { name, namespace: "shop", labels: more },
      spec: { containers: [] },
      status: { phase: "Running" },
    })
    const owned = one("job-1", {}) as { metadata: object }
    const ofJob = {
      ...owned,
      metadata: { ...owned.metadata, ownerReferences: [{ kind: "Job", name: "job" }] },
    }
    cluster.answers.set("/api/v1/namespaces/shop/pods", {
      items: [one("web-2"), one("web-1"), one("cart-1", { "conduit.io/deployment": "cart" }), ofJob],
    })
    cluster.answers.set("/api/v1/namespaces/shop/services", {
      items: [{ metadata: { name: "front", namespace: "shop" }, spec: { selector: { app: "web" } } }],
    })
    for (const name of ["web-1", "cart-1", "job-1"]) cluster.pods.set(`shop/${name}:4191`, proxy.port ?? 0)
    const web = await conduit("metrics deploy/web")
    expect(web.out).toBe("# pod shop/web-1\nup 1\n\n")
    expect(web.err).toContain("no metrics of shop/web-2: nothing listens on port 4191 of pod shop/web-2")
    expect(web.code).toBe(1)
    expect(await conduit("metrics deploy/cart")).toEqual({
      out: "# pod shop/cart-1\nup 1\n\n",
      err: "",
      code: 0,
    })
    expect((await conduit("metrics job/job")).out).toContain("# pod shop/job-1\n")
    expect((await conduit("metrics svc/front")).out).toContain("# pod shop/web-1\n")
    expect((await conduit("metrics pod/web-1 -l app=web")).code).toBe(0)
    expect(cluster.asked).toContain(
      "GET /api/v1/namespaces/shop/pods?labelSelector=conduit.io%2Fcontrol-plane-ns%3Dconduit%2Capp%3Dweb",
    )
    expect((await conduit("metrics deploy -l app=web")).code).toBe(2)
    expect((await conduit("metrics deploy/none")).err).toContain("no meshed pod of deploy/none")
  } finally {
    await proxy.stop(true)
  }
}, 30_000)
